"""An undo journal: changes to the arena since the last commit, and the rows as they were before.

A row is copied when it is first touched in a transaction. At a commit the journal lists the rows to write to
the changelog and is then cleared; after a failure it restores every row, and with them streams that were
added or evicted. Rows of evicted streams are not reused before the commit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.records import Int64
from service.state.arena import Arena

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Touched:
    """Rows of one partition as they were before they were first touched, in columns."""

    streams: list[bytes]
    slots: Int64
    prefix: NDArray[np.void]
    tensors: dict[str, NDArray[Any]]  # empty where the streams are new
    is_new: bool  # the streams had no row before


@dataclass(slots=True)
class _Changes:
    """Changes of one partition since the last commit."""

    touched: list[_Touched] = field(default_factory=list)
    evicted: list[tuple[list[bytes], Int64]] = field(default_factory=list)


class Journal:
    """Changes of all partitions of one arena. Code that changes a row calls `touch` first."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._seen: Bool = np.zeros(len(arena.prefix), np.bool_)  # by slot: touched since the last commit
        self._partitions: dict[int, _Changes] = {}

    def touch(self, partition: int, streams: Sequence[bytes], slots: Int64) -> None:
        """Copy rows that are about to change: `slots` int64 [n] of `streams`, repeats allowed."""
        if len(self._seen) < len(self._arena.prefix):
            self._seen = np.concatenate([self._seen, np.zeros(len(self._arena.prefix) - len(self._seen), np.bool_)])
        unseen = np.flatnonzero(~self._seen[slots])
        if not len(unseen):
            return
        first_slots, first = np.unique(slots[unseen], return_index=True)
        is_new = self._arena.prefix["observations"][first_slots] == 0
        for which in (is_new, ~is_new):  # new streams first: copying the others may run out of memory
            if which.any():
                names = [streams[i] for i in unseen[first[which]].tolist()]
                self._copy(partition, names, first_slots[which], is_new=which is is_new)

    def _copy(self, partition: int, streams: list[bytes], slots: Int64, is_new: bool) -> None:
        """Copy rows as they are; for new streams, whose rows are zeros, only the names."""
        tensors = {} if is_new else self._arena.gather(slots)
        before = _Touched(streams, slots, self._arena.prefix[slots], tensors, is_new)
        self._partitions.setdefault(partition, _Changes()).touched.append(before)
        self._seen[slots] = True

    def evict(self, partition: int, before_timestamp: int) -> int:
        """Evict as `Arena.evict` does, undoable until the next commit; return the number of streams."""
        streams, slots = self._arena.detach(partition, before_timestamp)
        if streams:
            self._partitions.setdefault(partition, _Changes()).evicted.append((streams, slots))
        return len(streams)

    def remove(self, partition: int, streams: Sequence[bytes]) -> None:
        """Remove streams, undoable until the next commit; unknown ones are ignored."""
        known, slots = self._arena.detach_streams(partition, streams)
        if known:
            self._partitions.setdefault(partition, _Changes()).evicted.append((known, slots))

    def rows(self, partition: int) -> tuple[list[bytes], Int64]:
        """Return streams and slots [n] of rows touched since the last commit, each once."""
        streams: list[bytes] = []
        slots: list[Int64] = [np.empty(0, np.int64)]
        for part in self._changes(partition).touched:
            kept = self._present(partition, part)
            streams += [stream for stream, here in zip(part.streams, kept.tolist(), strict=True) if here]
            slots.append(part.slots[kept])
        return streams, np.concatenate(slots)

    def gone(self, partition: int) -> list[bytes]:
        """Return streams of a partition that were evicted since the last commit and did not return."""
        gone = (stream for streams, _ in self._changes(partition).evicted for stream in streams)
        return [stream for stream in dict.fromkeys(gone) if self._arena.find(partition, stream) is None]

    def commit(self) -> None:
        """Drop all copies; the changes are durable."""
        for changes in self._partitions.values():
            for part in changes.touched:
                self._seen[part.slots] = False
            for _, slots in changes.evicted:
                self._arena.release(slots)
        self._partitions.clear()

    def roll_back(self) -> None:
        """Restore every row to the last commit."""
        for partition, changes in self._partitions.items():
            self._undo(partition, changes)
        self._partitions.clear()

    def forget(self, partitions: Collection[int]) -> None:
        """Drop the copies of partitions whose rows are about to be freed."""
        for partition in partitions:
            changes = self._partitions.pop(partition, _Changes())
            for part in changes.touched:
                self._seen[part.slots] = False
            for _, slots in changes.evicted:
                self._arena.release(slots)

    def _undo(self, partition: int, changes: _Changes) -> None:
        """Restore one partition. New streams are removed first: an evicted one may have the same name."""
        arena = self._arena
        new = [part for part in changes.touched if part.is_new]
        came = np.concatenate([np.empty(0, np.int64), *(part.slots for part in new)])
        for part in new:
            here = np.flatnonzero(self._present(partition, part)).tolist()
            arena.remove(partition, [part.streams[i] for i in here])
        for streams, slots in changes.evicted:
            old = ~np.isin(slots, came)
            arena.attach(
                partition, [stream for stream, here in zip(streams, old.tolist(), strict=True) if here], slots[old]
            )
            arena.release(slots[~old])
        for part in changes.touched:
            if not part.is_new:
                arena.prefix[part.slots] = part.prefix
                arena.scatter(part.slots, part.tensors)
            self._seen[part.slots] = False

    def _present(self, partition: int, part: _Touched) -> Bool:
        """Return bool [n]: rows that still belong to their stream, which was not evicted since."""
        if not self._changes(partition).evicted:
            return np.ones(len(part.slots), np.bool_)
        found = (self._arena.find(partition, stream) for stream in part.streams)
        return np.array([slot == own for slot, own in zip(found, part.slots.tolist(), strict=True)], np.bool_)

    def _changes(self, partition: int) -> _Changes:
        return self._partitions.get(partition) or _Changes()
