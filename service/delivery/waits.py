"""Lag in seconds: the longest that a record of each partition may have been waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


class Waits:
    """Remembers when each partition had nothing left to read.

    Records are read in the order in which they were written, so the next one is not older than the
    last one that was read. If nothing was left to read at some time since, it is not older than
    that time either.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._caught_up: dict[int, float] = {}  # wall time by partition, s

    def seconds(self, lag: Mapping[int, int], read_ms: Mapping[int, int]) -> dict[int, float]:
        """Seconds by partition; 0 where the lag is 0. `read_ms` are the broker times of the last
        records read, -1 = not known. Partitions are left out of which neither time is known."""
        now = self._clock()
        self._caught_up = {p: now if not lag[p] else self._caught_up.get(p, -1.0) for p in lag}
        since = {p: max(at, read_ms.get(p, -1) / 1000) for p, at in self._caught_up.items()}
        return {p: max(0.0, now - at) for p, at in since.items() if at >= 0}
