"""Eviction of silent streams, by stream time: a replay evicts the same streams,
and an outage evicts none.

A partition is swept right after the record that moves its stream time (`stream_time.py`) across a
multiple of an eighth of the time to live. When a stream is evicted therefore depends on records
alone, not on the boundaries of polls, commits and restarts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Int64, PartitionBatch
from eddycast.service.state.journal import Journal
from eddycast.service.state.partition_rows import RowsByPartition
from eddycast.service.state.stream_time import Clock, advance, with_record_time

#: Sweeps per time to live.
_SWEEPS = 8


class Eviction:
    """Compares each row's last accepted stamp with its partition's stream time."""

    def __init__(
        self,
        journal: Journal,
        partitions: RowsByPartition,
        ttl_ms: int,
        reset_ms: int,
        leap_ms: int,
    ) -> None:
        """Evict streams idle for more than `ttl_ms`, or for `reset_ms` if that is longer.

        After a gap of `reset_ms` a stream restarts anyway, so evicting it changes no forecast of
        readings in order. `leap_ms` is the largest step that one record may move the stream time.
        """
        self._journal, self._partitions = journal, partitions
        self._ttl_ms = max(ttl_ms, reset_ms)
        self._part_ms = max(self._ttl_ms // _SWEEPS, 1)
        self._leap_ms = leap_ms

    def clock(self, partition: int) -> Clock:
        """Return the partition's clock after all records served so far."""
        return self._partitions[partition].clock

    def cuts(self, partition: int, timestamps: Int64) -> Int64:
        """Return how many sweeps precede each of the next readings:
        int64 [n], from 0, non-decreasing.

        `timestamps` int64 [n], ms.
        """
        crossed = self._crossed(self.clock(partition), self.times(partition, timestamps))
        return np.cumsum(crossed) - crossed

    def times(self, partition: int, timestamps: Int64) -> Int64:
        """Return the stream time after each of the next readings, int64 [n], ms."""
        return advance(self.clock(partition), timestamps, self._leap_ms)[0]

    def contradicted(self, partition: int, timestamps: Int64) -> NDArray[np.bool_]:
        """Return bool [n]: which of the next readings are further than `leap_ms` from the stream
        time."""
        return abs(timestamps - self.times(partition, timestamps)) > self._leap_ms

    def advance(self, batch: PartitionBatch, timestamps: Int64) -> int:
        """Advance the clock past served records and sweep if it is due;
        return how many streams were evicted.

        `batch` must lie between two sweeps (see `cuts`);
        `timestamps` int64 [n], ms, are those of its readings.
        """
        partition, before = batch.partition, self.clock(batch.partition)
        times, clock = advance(before, timestamps, self._leap_ms)
        self._partitions[partition].clock = with_record_time(clock, batch)
        if not self._crossed(before, times).any():
            return 0
        return self._journal.evict(partition, clock.newest - self._ttl_ms)

    def commit(self) -> None:
        """Record the clocks as durable."""
        for rows in self._partitions.values():
            rows.committed_clock = rows.clock

    def roll_back(self) -> None:
        """Reset the clocks to the last commit."""
        for rows in self._partitions.values():
            rows.clock = rows.committed_clock

    def _crossed(self, before: Clock, times: Int64) -> NDArray[np.bool_]:
        """Return bool [n]: stream times that are the first past a sweep;
        never the very first reading."""
        parts = times // self._part_ms
        first = parts[:1] if before.newest < 0 else before.newest // self._part_ms
        return np.diff(parts, prepend=first) > 0
