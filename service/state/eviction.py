"""Forgetting streams that fell silent, by stream time: a replay forgets the same ones, and an outage forgets nobody.

Streams are looked for right after the record that takes a partition's stream time (stream_time.py) across a multiple of
an eighth of the time to live. So which record a stream is forgotten after depends on the records alone, not on where
polls, commits and restarts fell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.records import Int64, PartitionBatch
from service.state.journal import Journal
from service.state.partition_rows import RowsByPartition
from service.state.stream_time import Clock, followed, heard

_PART = 8


class Eviction:
    """Compares each row's last accepted stamp with its partition's stream time."""

    def __init__(self, journal: Journal, partitions: RowsByPartition, ttl_ms: int, reset_ms: int, leap_ms: int) -> None:
        """Streams idle for more than `ttl_ms` are forgotten, never before `reset_ms`: after a gap of that length a
        stream begins anew in any case, so that forgetting it changes no forecast of a reading in order. A stamp that is
        further than `leap_ms` from the stream time must be borne out by others."""
        self._journal, self._partitions = journal, partitions
        self._ttl_ms = max(ttl_ms, reset_ms)
        self._part_ms = max(self._ttl_ms // _PART, 1)
        self._leap_ms = leap_ms

    def clock(self, partition: int) -> Clock:
        """The partition's time after everything that was served."""
        return self._partitions[partition].clock

    def cuts(self, partition: int, timestamps: Int64) -> Int64:
        """How often streams have to be looked for before each reading, on account of those in front of it; int64 [n],
        rising, from 0."""
        crossed = self._crossed(self.clock(partition), followed(self.clock(partition), timestamps, self._leap_ms)[0])
        return np.cumsum(crossed) - crossed

    def astray(self, partition: int, timestamps: Int64) -> NDArray[np.bool_]:
        """Which of these readings, the next ones, are further from the stream time than any one record may move it."""
        return abs(timestamps - followed(self.clock(partition), timestamps, self._leap_ms)[0]) > self._leap_ms

    def advance(self, batch: PartitionBatch, timestamps: Int64) -> int:
        """These records, with these readings, all between two cuts, were served; how many streams are forgotten on
        account of them."""
        partition, before = batch.partition, self.clock(batch.partition)
        times, clock = followed(before, timestamps, self._leap_ms)
        self._partitions[partition].clock = heard(clock, batch)
        if not self._crossed(before, times).any():
            return 0
        return self._journal.evict(partition, clock.newest - self._ttl_ms)

    def commit(self) -> None:
        """What was read so far is durable."""
        for rows in self._partitions.values():
            rows.committed_clock = rows.clock

    def roll_back(self) -> None:
        """As at the last commit."""
        for rows in self._partitions.values():
            rows.clock = rows.committed_clock

    def _crossed(self, before: Clock, times: Int64) -> NDArray[np.bool_]:
        """Which of these stream times are the first beyond a multiple of a part; never the very first reading."""
        parts = times // self._part_ms
        first = parts[:1] if before.newest < 0 else before.newest // self._part_ms
        return np.diff(parts, prepend=first) > 0
