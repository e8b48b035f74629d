"""The slots of a whole history of one stream at once,
as the service assigns them record by record."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eddycast.service.processing.alignment import LATE_RUN, LOCK, Verdict
from eddycast.service.records import Int64


def assign_slots(
    timestamps: Int64, interval_ms: int, max_gap: int
) -> tuple[Int64, NDArray[np.int8]]:
    """Slot int64 [n] and verdict int8 [n] of all readings of one stream, in arrival order.

    Equal to `eddycast.service.processing.alignment.align` called record by record (`Aligned.slot`,
    `Aligned.verdict`). While readings leave the phase unchanged and stamps advance by whole
    intervals, only the slot changes, and such a run is taken at once.
    """
    n = len(timestamps)
    slots, verdicts = np.empty(n, np.int64), np.empty(n, np.int8)
    steps, run_ends = _regular_runs(timestamps, interval_ms, max_gap)
    stream, stamps = _Stream(interval_ms, max_gap), timestamps.tolist()
    i = 0
    while i < n:
        verdicts[i], steady = stream.read(stamps[i])
        slots[i] = stream.slot
        end = run_ends[i] if steady else i + 1
        if end > i + 1:
            slots[i + 1 : end] = stream.slot + np.cumsum(steps[i : end - 1])
            verdicts[i + 1 : end] = np.where(steps[i : end - 1] == 1, Verdict.NEXT, Verdict.GAP)
            stream.slot, stream.timestamp = int(slots[end - 1]), stamps[end - 1]
        i = end
    return slots, verdicts


def _regular_runs(timestamps: Int64, interval_ms: int, max_gap: int) -> tuple[Int64, list[int]]:
    """Whole intervals between neighbours [n - 1], and for each reading the index of the first one
    that does not follow its neighbour by 1 to `max_gap` whole intervals."""
    n = len(timestamps)
    steps, rest = np.divmod(np.diff(timestamps), interval_ms)
    regular = (rest == 0) & (steps >= 1) & (steps <= max_gap)
    breaks = np.append(np.where(regular, n, np.arange(1, n)), n)
    run_ends: list[int] = np.minimum.accumulate(breaks[::-1])[::-1].tolist()
    return steps, run_ends


class _Stream:
    """The alignment state of one stream as plain numbers:
    `align`, one reading at a time, in the same arithmetic."""

    __slots__ = (
        "interval",
        "late_run",
        "late_timestamp",
        "max_gap",
        "phase",
        "seen",
        "slot",
        "timestamp",
    )

    def __init__(self, interval_ms: int, max_gap: int) -> None:
        self.interval, self.max_gap = interval_ms, max_gap
        self.seen = False
        self.slot = self.timestamp = self.late_timestamp = self.late_run = 0
        self.phase = 0.0

    def read(self, timestamp: int) -> tuple[Verdict, bool]:
        """The verdict, and True if the reading was accepted and left the phase unchanged for the
        next one."""
        if not self.seen:
            return self._fresh(timestamp, Verdict.FIRST)
        if timestamp == self.timestamp:
            return Verdict.DUPLICATE, False
        if timestamp < self.timestamp:
            return self._late(timestamp)
        whole, rest = divmod(timestamp, self.interval)
        up = math.floor((rest - self.phase) / self.interval + 0.5)
        phase = self.phase + (rest - up * self.interval - self.phase) / LOCK
        moved = (phase >= self.interval) - (phase <= -self.interval)
        k = whole + up + moved - self.slot
        if k < 1:
            return Verdict.SECOND, False
        if k > self.max_gap:
            return self._fresh(timestamp, Verdict.RESET)
        steady = phase == self.phase
        self.slot, self.timestamp, self.phase, self.late_run = (
            self.slot + k,
            timestamp,
            phase - moved * self.interval,
            0,
        )
        return (Verdict.NEXT if k == 1 else Verdict.GAP), steady

    def _fresh(self, timestamp: int, verdict: Verdict) -> tuple[Verdict, bool]:
        whole, rest = divmod(timestamp, self.interval)
        up = int(2 * rest >= self.interval)
        self.slot, self.timestamp, self.late_run, self.seen = whole + up, timestamp, 0, True
        self.phase = float(rest - up * self.interval)
        return verdict, True

    def _late(self, timestamp: int) -> tuple[Verdict, bool]:
        after = timestamp - self.late_timestamp
        self.late_run = self.late_run + (after > 0) if self.late_run and after >= 0 else 1
        self.late_timestamp = timestamp
        return (
            self._fresh(timestamp, Verdict.RESTART)
            if self.late_run >= LATE_RUN
            else (Verdict.LATE, False)
        )
