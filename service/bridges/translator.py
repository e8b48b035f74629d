"""Records of a topic become readings, dead letters and tombstones, exactly as the service would
read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.dead_letters.headers import LETTER_BYTES
from eddycast.service.formats.json_decoder import tombstones
from eddycast.service.processing.chunks import Decoded
from eddycast.service.processing.decoding import RecordDecoder, decode_without
from eddycast.service.processing.outputs import merged_letters
from eddycast.service.records import DeadLetter, Headers, PartitionBatch, headers_bytes
from eddycast.service.state.stream_time import Clock, with_record_time


class Translator:
    """Decodes batches, each partition with a clock of its own."""

    def __init__(self, decoder: RecordDecoder) -> None:
        self._decoder = decoder
        self._clocks: dict[int, Clock] = {}

    def translate(self, batch: PartitionBatch, outgoing: Outgoing) -> int:
        """Add what becomes of a batch; returns the number of readings that are filtered."""
        clock = self._clocks.get(batch.partition, Clock())
        latest = self._decoder.latest(batch, clock)
        self._clocks[batch.partition] = with_record_time(clock, batch)
        found = decode_without(self._decoder, batch, batch.damaged, latest, tombstones(batch))
        headers = batch.headers or [[]] * len(batch)
        heavy = {
            row for row, own in enumerate(headers) if own and headers_bytes(own) > LETTER_BYTES
        }
        letters = found.letters + [_too_large(batch, row, headers[row]) for row in heavy]
        _add_in_order(found, headers, heavy, outgoing)
        for letter in merged_letters(letters):
            outgoing.add_letter(letter)
        return len(found.filtered)


def _add_in_order(
    found: Decoded, headers: Sequence[Headers], heavy: set[int], outgoing: Outgoing
) -> None:
    """Add readings and tombstones in the order of their records, but for the rows in `heavy`."""
    batch, readings, removals = found.batch, found.observations, found.tombstones
    rows = np.searchsorted(batch.offsets, readings.offsets).tolist()
    gone = np.searchsorted(batch.offsets, removals.offsets).tolist()
    done = 0
    columns = zip(
        rows, readings.streams, readings.timestamps.tolist(), readings.values.tolist(), strict=True
    )
    for row, stream, timestamp, values in columns:
        while done < len(gone) and gone[done] < row:
            outgoing.add_tombstone(removals.streams[done], headers[gone[done]])
            done += 1
        if row not in heavy:
            outgoing.add_reading(stream, timestamp, values, headers[row])
    for at in range(done, len(gone)):
        outgoing.add_tombstone(removals.streams[at], headers[gone[at]])


def _too_large(batch: PartitionBatch, row: int, headers: Headers) -> DeadLetter:
    size = headers_bytes(headers)
    reason = f"the headers have {size} bytes; {LETTER_BYTES} are allowed"
    return DeadLetter.of(batch, row, "too_large", reason)
