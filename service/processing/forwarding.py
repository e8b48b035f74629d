"""Headers that a forecast takes over from its reading's record, and tombstones among forecasts,
where the settings ask for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from eddycast.service.processing.chunks import Decoded
from eddycast.service.processing.outputs import Output
from eddycast.service.records import PartitionBatch


def with_headers(output: Output, batch: PartitionBatch, names: Collection[str]) -> Output:
    """Forecasts with the headers of these names of their readings' records, in `batch`; a record of
    several readings has several forecasts with its headers."""
    if batch.headers is None or output.offsets is None:
        return output
    rows = np.searchsorted(batch.offsets, output.offsets).tolist()
    own = {row: [pair for pair in batch.headers[row] if pair[0] in names] for row in set(rows)}
    if not any(own.values()):
        return output
    return replace(output, headers=[own[row] for row in rows])


def with_tombstones(
    topic: str, outputs: Sequence[Output], chunk: Sequence[Decoded]
) -> list[Output]:
    """The forecasts of a chunk and a tombstone for each stream that it forgets, in the order of
    their input records, which does not depend on how the input is cut."""
    found = {output.partition: output for output in outputs}
    for one in chunk:
        gone, partition = one.tombstones, one.batch.partition
        if not len(gone):
            continue
        own = found.get(partition, Output(topic, partition, [], [], None, gone.offsets[:0]))
        before = np.empty(0, np.int64) if own.offsets is None else own.offsets
        offsets = np.concatenate([before, gone.offsets])
        order = np.argsort(offsets, kind="stable")
        keys, values = [*own.keys, *gone.streams], [*own.values, *[None] * len(gone)]
        headers = None if own.headers is None else [*own.headers, *[[]] * len(gone)]
        found[partition] = Output(
            topic,
            partition,
            [keys[i] for i in order.tolist()],
            [values[i] for i in order.tolist()],
            None if headers is None else [headers[i] for i in order.tolist()],
            offsets[order],
        )
    return list(found.values())
