"""Stream time: what each reading means for its stream, and the slot of the model's grid it belongs to.

A sensor reads at its own phase against the grid, jitters and drifts, so every row carries a phase that
locks on. The first reading takes the nearest slot and its distance from it as the phase; after that

    slot  = round((stamp - phase) / interval)
    phase = phase + (stamp - slot * interval - phase) / 10

and once the phase has drifted a whole interval, the slot moves by one and the phase by one interval.
With k = slot - last slot:

    stream never seen                                FIRST       a new row
    stamp = last stamp                               DUPLICATE   dropped
    stamp < last stamp                               LATE        dropped
    third late one in a row, in increasing order     RESTART     the clock was set right: a new row
    the same, while other records say otherwise      LATE        the clock went wrong, until the 256th: then RESTART
    k < 1                                            SECOND      a second reading of one slot, dropped
    k = 1                                            NEXT        one step
    1 < k <= max_gap                                 GAP         k - 1 steps without a value, then the step
    k > max_gap                                      RESET       the past says nothing any more: a new row

Everything here is a pure function of columns: no clock, so that a replay gives the same answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from service.records import PREFIX, Float64, Int64


class Verdict(IntEnum):
    """What a reading is to its stream; the table at the top of this file."""

    FIRST = 0
    NEXT = 1
    GAP = 2
    RESET = 3
    DUPLICATE = 4
    SECOND = 5
    LATE = 6
    RESTART = 7


#: The row is zeroed before the step.
FRESH = frozenset({Verdict.FIRST, Verdict.RESET, Verdict.RESTART})
#: The reading is stepped and forecast; all others are dropped and counted.
ACCEPTED = FRESH | {Verdict.NEXT, Verdict.GAP}

#: Share of a reading's distance from the phase by which the phase follows it.
_LOCK = 10
#: Late readings in a row, in increasing order, that prove that the clock was set back.
_LATE_RUN = 3
#: The same, where the partition's other records say that it was right before. A buffer that is sent afterwards, or a
#: clock that lost its battery for an hour, is shorter; a sensor that is set back for good is believed in the end.
_LATE_RUN_ASTRAY = 256

_NEXT = int(Verdict.NEXT)
_IS_FRESH = np.isin(np.arange(len(Verdict)), list(FRESH))
_IS_ACCEPTED = np.isin(np.arange(len(Verdict)), list(ACCEPTED))


@dataclass(frozen=True, slots=True)
class Aligned:
    """The answers for one wave, one entry a reading. The caller's rows are left as they were."""

    verdict: NDArray[np.int8]  # a `Verdict`
    slot: Int64  # slot of the step of an accepted reading; the stream's last slot for a dropped one
    imputed: Int64  # steps without a value to run before it: k - 1 for GAP, else 0
    rows: NDArray[np.void]  # records.PREFIX to store; unchanged for DUPLICATE and SECOND

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Which readings are stepped and forecast."""
        return _IS_ACCEPTED[self.verdict]

    @property
    def fresh(self) -> NDArray[np.bool_]:
        """Which rows have to be zeroed before the step."""
        return _IS_FRESH[self.verdict]


def align(
    rows: NDArray[np.void],
    timestamps: Int64,
    interval_ms: int,
    max_gap: int,
    astray: NDArray[np.bool_] | None = None,
) -> Aligned:
    """Judge one wave: reading i of the stream whose `records.PREFIX` is rows[i]; a stream at most once.

    `timestamps` is int64 [n], ms. Rows with `observations` = 0 are streams never seen. `astray` [n] are the stamps that
    the partition's other records contradict; none of them unless given.
    """
    slot, phase = _locked(timestamps, rows["phase"], interval_ms)
    k = slot - rows["last_slot"]
    if (k == 1).all() and (timestamps > rows["last_timestamp"]).all() and rows["observations"].all():
        return _all_next(rows, timestamps, slot, phase)
    late_run = _late_run(rows, timestamps)
    needed = _LATE_RUN if astray is None else np.where(astray, _LATE_RUN_ASTRAY, _LATE_RUN)
    verdict = _verdicts(rows, timestamps, k, max_gap, late_run >= needed)

    fresh, accepted = _IS_FRESH[verdict], _IS_ACCEPTED[verdict]
    first_slot, first_phase = _first(timestamps, interval_ms)
    dropped_late = verdict == Verdict.LATE
    stored = np.empty(len(rows), PREFIX)
    stored["last_slot"] = np.where(fresh, first_slot, np.where(accepted, slot, rows["last_slot"]))
    stored["last_timestamp"] = np.where(accepted, timestamps, rows["last_timestamp"])
    stored["phase"] = np.where(fresh, first_phase, np.where(accepted, phase, rows["phase"]))
    stored["observations"] = np.where(fresh, 1, rows["observations"] + accepted)
    stored["late_timestamp"] = np.where(accepted, 0, np.where(dropped_late, timestamps, rows["late_timestamp"]))
    stored["late_run"] = np.where(accepted, 0, np.where(dropped_late, late_run, rows["late_run"]))
    imputed = np.where(verdict == Verdict.GAP, k - 1, 0)
    return Aligned(verdict, stored["last_slot"].copy(), imputed, stored)


def _all_next(rows: NDArray[np.void], timestamps: Int64, slot: Int64, phase: Float64) -> Aligned:
    """What `align` says where every reading is NEXT, as in most waves, at a third of the work."""
    stored = np.zeros(len(rows), PREFIX)
    stored["last_slot"], stored["last_timestamp"], stored["phase"] = slot, timestamps, phase
    stored["observations"] = rows["observations"] + 1
    verdict = np.full(len(rows), _NEXT, np.int8)
    return Aligned(verdict, slot, np.zeros(len(rows), np.int64), stored)


def _first(timestamps: Int64, interval_ms: int) -> tuple[Int64, Float64]:
    """The nearest slot of each stamp, and the stamp's distance from it in ms."""
    whole, rest = np.divmod(timestamps, interval_ms)
    up = (2 * rest >= interval_ms).astype(np.int64)
    return whole + up, (rest - up * interval_ms).astype(np.float64)


def _locked(timestamps: Int64, phase: Float64, interval_ms: int) -> tuple[Int64, Float64]:
    """Slot and phase after each reading. Only what is left over from whole intervals becomes a float."""
    whole, rest = np.divmod(timestamps, interval_ms)
    up = np.floor((rest - phase) / interval_ms + 0.5)
    phase = phase + (rest - up * interval_ms - phase) / _LOCK
    moved = (phase >= interval_ms).astype(np.float64) - (phase <= -interval_ms)
    return whole + (up + moved).astype(np.int64), phase - moved * interval_ms


def _late_run(rows: NDArray[np.void], timestamps: Int64) -> Int64:
    """Length of the run of late readings if this one is late. One that comes again neither adds nor breaks."""
    after = timestamps - rows["late_timestamp"]
    return np.where((rows["late_run"] > 0) & (after >= 0), rows["late_run"] + (after > 0), 1)


def _verdicts(
    rows: NDArray[np.void], timestamps: Int64, k: Int64, max_gap: int, proven: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """The table at the top of this file, from the weakest claim to the strongest. `proven` where a late reading proves
    that the clock was set back."""
    ahead = timestamps - rows["last_timestamp"]
    verdict = np.full(len(rows), Verdict.NEXT, np.int8)
    verdict[k > 1] = Verdict.GAP
    verdict[k > max_gap] = Verdict.RESET
    verdict[k < 1] = Verdict.SECOND
    verdict[ahead == 0] = Verdict.DUPLICATE
    late = ahead < 0
    verdict[late] = Verdict.LATE
    verdict[late & proven] = Verdict.RESTART
    verdict[rows["observations"] == 0] = Verdict.FIRST
    return verdict


def assign_slots(timestamps: Int64, interval_ms: int, max_gap: int) -> tuple[Int64, NDArray[np.int8]]:
    """The same law over all readings of one stream, in arrival order: slot [n] and verdict int8 [n].

    Equal to `align` called record by record, as `Aligned.slot` and `Aligned.verdict`. As long as a reading leaves
    the phase as it was and the stamps go on by whole intervals, nothing can change but the slot, and the
    run is taken at once.
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
    """Whole intervals between neighbours [n - 1], and for each reading the index where the first one follows
    that is not 1 to `max_gap` whole intervals after its neighbour."""
    n = len(timestamps)
    steps, rest = np.divmod(np.diff(timestamps), interval_ms)
    regular = (rest == 0) & (steps >= 1) & (steps <= max_gap)
    breaks = np.append(np.where(regular, n, np.arange(1, n)), n)
    run_ends: list[int] = np.minimum.accumulate(breaks[::-1])[::-1].tolist()
    return steps, run_ends


class _Stream:
    """One stream's prefix as plain numbers: `align`, one reading at a time, in the same arithmetic."""

    __slots__ = ("interval", "late_run", "late_timestamp", "max_gap", "phase", "seen", "slot", "timestamp")

    def __init__(self, interval_ms: int, max_gap: int) -> None:
        self.interval, self.max_gap = interval_ms, max_gap
        self.seen = False
        self.slot = self.timestamp = self.late_timestamp = self.late_run = 0
        self.phase = 0.0

    def read(self, timestamp: int) -> tuple[Verdict, bool]:
        """The verdict, and whether the reading was accepted and left the phase where the next will find it."""
        if not self.seen:
            return self._fresh(timestamp, Verdict.FIRST)
        if timestamp == self.timestamp:
            return Verdict.DUPLICATE, False
        if timestamp < self.timestamp:
            return self._late(timestamp)
        whole, rest = divmod(timestamp, self.interval)
        up = math.floor((rest - self.phase) / self.interval + 0.5)
        phase = self.phase + (rest - up * self.interval - self.phase) / _LOCK
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
        return self._fresh(timestamp, Verdict.RESTART) if self.late_run >= _LATE_RUN else (Verdict.LATE, False)
