"""Forgetting streams that fell silent, by stream time: a replay forgets the same ones, and an outage forgets nobody.

A partition's stream time is the largest stamp read from it so far. Streams are looked for right after the record that
takes it across a multiple of an eighth of the time to live. So which record a stream is forgotten after depends on the
records alone, not on where polls, commits and restarts fell.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from service.records import Int64
from service.state.journal import Journal

_PART = 8


class Eviction:
    """Compares each row's last accepted stamp with its partition's stream time."""

    def __init__(self, journal: Journal, ttl_ms: int, reset_ms: int) -> None:
        """Streams idle for more than `ttl_ms` are forgotten, never before `reset_ms`: after a gap of that length a
        stream begins anew in any case, so that forgetting it changes no forecast of a reading in order."""
        self._journal = journal
        self._ttl_ms = max(ttl_ms, reset_ms)
        self._part_ms = max(self._ttl_ms // _PART, 1)
        self._newest: dict[int, int] = {}
        self._committed: dict[int, int] = {}

    def newest(self, partition: int) -> int:
        """The partition's stream time, ms; 0 before its first reading."""
        return self._newest.get(partition, 0)

    def start(self, partition: int, newest: int) -> None:
        """The partition goes on from this stream time; 0 = it was never read."""
        self._newest[partition] = self._committed[partition] = newest

    def cuts(self, partition: int, timestamps: Int64) -> Int64:
        """How often streams have to be looked for before each reading, on account of those in front of it; int64 [n],
        rising, from 0."""
        parts = self._times(partition, timestamps) // self._part_ms
        first = self.newest(partition) // self._part_ms if self.newest(partition) else parts[:1]
        crossed = np.diff(parts, prepend=first) > 0
        return np.cumsum(crossed) - crossed

    def advance(self, partition: int, timestamps: Int64) -> int:
        """These readings, all between two cuts, were served; how many streams are forgotten on account of them."""
        if not len(timestamps):
            return 0
        earlier, newest = self.newest(partition), int(self._times(partition, timestamps)[-1])
        self._newest[partition] = newest
        if not earlier or newest // self._part_ms == earlier // self._part_ms:
            return 0
        return self._journal.evict(partition, newest - self._ttl_ms)

    def commit(self) -> None:
        """What was read so far is durable."""
        self._committed = dict(self._newest)

    def roll_back(self) -> None:
        """As at the last commit."""
        self._newest = dict(self._committed)

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are no longer ours."""
        for partition in partitions:
            self._newest.pop(partition, None)
            self._committed.pop(partition, None)

    def _times(self, partition: int, timestamps: Int64) -> Int64:
        """The stream time after each reading."""
        return np.maximum(np.maximum.accumulate(timestamps), self.newest(partition))
