"""An undo journal: changes to the arena since the last commit, and the rows as they were before.

A row is copied when it is first touched in a transaction. At a commit the journal lists the rows to
write to the changelog and is then cleared; after a failure it restores every row, and with them
streams that were added or evicted. Rows of evicted streams are not reused before the commit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Int64
from eddycast.service.state.arena import Arena
from eddycast.service.state.partition_rows import PartitionRows, RowsByPartition, Touched

Bool = NDArray[np.bool_]


class Journal:
    """Changes of all partitions of one arena. Code that changes a row calls `touch` first."""

    def __init__(self, arena: Arena, partitions: RowsByPartition) -> None:
        self._arena, self._partitions = arena, partitions
        # by slot: touched since the last commit
        self._seen: Bool = np.zeros(len(arena.prefix), np.bool_)

    def touch(
        self,
        partition: int,
        streams: Sequence[bytes],
        slots: Int64,
        new: Bool | None = None,
    ) -> None:
        """Copy rows that are about to change: `slots` int64 [n] of `streams`, repeats allowed.
        `new` bool [n] marks streams without a row; by default those without an observation."""
        if len(self._seen) < len(self._arena.prefix):
            self._seen = np.concatenate(
                [self._seen, np.zeros(len(self._arena.prefix) - len(self._seen), np.bool_)]
            )
        unseen = np.flatnonzero(~self._seen[slots])
        if not len(unseen):
            return
        first_slots, first = np.unique(slots[unseen], return_index=True)
        is_new = (
            self._arena.prefix["observations"][first_slots] == 0
            if new is None
            else new[unseen[first]]
        )
        # new streams first: copying the others may run out of memory
        for which in (is_new, ~is_new):
            if which.any():
                names = [streams[i] for i in unseen[first[which]].tolist()]
                self._copy(partition, names, first_slots[which], is_new=which is is_new)

    def _copy(self, partition: int, streams: list[bytes], slots: Int64, is_new: bool) -> None:
        """Copy rows as they are; for new streams, whose rows are zeros, only the names."""
        tensors = {} if is_new else self._arena.gather(slots)
        before = Touched(streams, slots, self._arena.prefix[slots], tensors, is_new)
        self._partitions[partition].touched.append(before)
        self._seen[slots] = True

    def evict(self, partition: int, before_timestamp: int) -> int:
        """Evict as `Arena.evict` does, undoable until the next commit;
        return the number of streams."""
        streams, slots = self._arena.detach(partition, before_timestamp)
        if streams:
            self._partitions[partition].evicted.append((streams, slots))
        return len(streams)

    def remove(self, partition: int, streams: Sequence[bytes]) -> None:
        """Remove streams, undoable until the next commit; unknown ones are ignored."""
        known, slots = self._arena.detach_streams(partition, streams)
        if known:
            self._partitions[partition].evicted.append((known, slots))

    def rows(self, partition: int) -> tuple[list[bytes], Int64]:
        """Return streams and slots [n] of rows touched since the last commit, each once."""
        streams: list[bytes] = []
        slots: list[Int64] = [np.empty(0, np.int64)]
        for part in self._partitions[partition].touched:
            kept = self._present(partition, part)
            streams += [
                stream for stream, here in zip(part.streams, kept.tolist(), strict=True) if here
            ]
            slots.append(part.slots[kept])
        return streams, np.concatenate(slots)

    def gone(self, partition: int) -> list[bytes]:
        """Return streams of a partition that were evicted since the last commit and did not
        return."""
        gone = (stream for streams, _ in self._partitions[partition].evicted for stream in streams)
        return [
            stream for stream in dict.fromkeys(gone) if self._arena.find(partition, stream) is None
        ]

    def commit(self) -> None:
        """Drop all copies; the changes are durable."""
        for rows in self._partitions.values():
            self.release(rows)

    def roll_back(self) -> None:
        """Restore every row to the last commit."""
        for partition, rows in self._partitions.items():
            self._undo(partition, rows)
            rows.touched, rows.evicted = [], []

    def release(self, rows: PartitionRows) -> None:
        """Drop the copies of one partition."""
        for part in rows.touched:
            self._seen[part.slots] = False
        for _, slots in rows.evicted:
            self._arena.release(slots)
        rows.touched, rows.evicted = [], []

    def _undo(self, partition: int, rows: PartitionRows) -> None:
        """Restore one partition. New streams are removed first:
        an evicted one may have the same name."""
        arena = self._arena
        new = [part for part in rows.touched if part.is_new]
        came = np.concatenate([np.empty(0, np.int64), *(part.slots for part in new)])
        for part in new:
            here = np.flatnonzero(self._present(partition, part)).tolist()
            arena.remove(partition, [part.streams[i] for i in here])
        for streams, slots in rows.evicted:
            old = ~np.isin(slots, came)
            arena.attach(
                partition,
                [stream for stream, here in zip(streams, old.tolist(), strict=True) if here],
                slots[old],
            )
            arena.release(slots[~old])
        for part in rows.touched:
            if not part.is_new:
                arena.prefix[part.slots] = part.prefix
                arena.scatter(part.slots, part.tensors)
            self._seen[part.slots] = False

    def _present(self, partition: int, part: Touched) -> Bool:
        """Return bool [n]: rows that still belong to their stream, which was not evicted since."""
        if not self._partitions[partition].evicted:
            return np.ones(len(part.slots), np.bool_)
        found = (self._arena.find(partition, stream) for stream in part.streams)
        return np.array(
            [slot == own for slot, own in zip(found, part.slots.tolist(), strict=True)], np.bool_
        )
