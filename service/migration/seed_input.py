"""The input of a seed: its records up to an end, and the part of them that files hold as well."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from eddycast.service.broker.port import Reader
from eddycast.service.errors import BrokerUnavailable
from eddycast.service.processing.chunks import Decoded, records_between, select
from eddycast.service.records import PartitionBatch

_POLL_S = 0.5


def records_until(
    reader: Reader, topic: str, ends: Mapping[int, int], size: int, patience_s: float
) -> Iterator[list[PartitionBatch]]:
    """Yield the committed records of each partition from the first one that is left to its end, at
    most `size` at a time.

    `reader` reads `topic`. Raises BrokerUnavailable if nothing arrives for `patience_s`, OffsetGone
    if retention deletes records before they are read.
    """
    first = reader.first(ends)
    left = {partition for partition in ends if first[partition] < ends[partition]}
    reader.start({partition: first[partition] for partition in left})
    deadline = time.monotonic() + patience_s
    try:
        while left:
            batches = [
                records_between(batch, 0, ends[batch.partition])
                for batch in reader.poll(_POLL_S, size)
            ]
            if found := [batch for batch in batches if len(batch)]:
                yield found
                deadline = time.monotonic() + patience_s
            read = {
                partition for partition in left if reader.position(partition) >= ends[partition]
            }
            reader.stop(read)
            left -= read
            if left and time.monotonic() > deadline:
                what = f"{topic} partition {min(left)} cannot be read to offset {ends[min(left)]}"
                raise BrokerUnavailable(what, "try again; a transaction may be open there")
    finally:
        reader.stop(left)


class Overlap:
    """Leaves out readings of the input that are not after the last one of their stream in files."""

    def __init__(self, until: Mapping[bytes, int]) -> None:
        """`until`: the last stamp of each stream in the files, ms."""
        self._until = dict(until)
        #: Number of readings left out.
        self.left_out = 0

    def removed(self, one: Decoded) -> Decoded:
        """The records of a partition, as they come next, without those readings. After the
        tombstone of a stream all of its readings stay."""
        seen, until = one.observations, self._until
        if not until:
            return one
        removed_at = dict[bytes, int]()
        for stream, offset in zip(
            one.tombstones.streams, one.tombstones.offsets.tolist(), strict=True
        ):
            if stream in until:
                removed_at.setdefault(stream, offset)
        after = zip(seen.streams, seen.timestamps.tolist(), seen.offsets.tolist(), strict=True)
        kept = np.array(
            [
                stamp > until.get(stream, -1) or offset > removed_at.get(stream, offset)
                for stream, stamp, offset in after
            ],
            np.bool_,
        )
        for stream in removed_at:
            del until[stream]
        self.left_out += int(np.count_nonzero(~kept))
        return replace(one, observations=select(seen, np.flatnonzero(kept)))
