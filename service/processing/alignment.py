"""Align readings to the model's grid: the slot of each reading, and a verdict on it.

A sensor reads at its own phase relative to the grid, with jitter and drift, so every row carries a
phase that locks on to it. The first reading takes the nearest slot, and its distance from it as the
phase; then

    slot  = round((stamp - phase) / interval)
    phase = phase + (stamp - slot * interval - phase) / 10

Once the phase has drifted by a whole interval, the slot moves by one and the phase by one interval.
With k = slot - last slot:

    stream never seen                             FIRST      a new row
    stamp = last stamp                            DUPLICATE  dropped
    stamp < last stamp                            LATE       dropped
    third late one in a row, in increasing order  SET_BACK   the clock was set back: the row moves
                                                             back, see below, then as GAP
    the same, but contradicted by other records   LATE       a wrong clock; SET_BACK at the 256th
    set back, but the row cannot be moved         RESTART    a new row
    k < 1                                         SECOND     a second reading in one slot, dropped
    k = 1                                         NEXT       one step
    1 < k <= max_gap                              GAP        k - 1 slots without a value first,
                                                             stepped or jumped over
    k > max_gap                                   RESET      the memory is too old: a new row

A row whose clock was set back is moved back in time by the fewest whole periods that leave it
before the reading; a period holds every season of the memory a whole number of times. The slots up
to the reading are then a gap like any other, and the seasons are in phase with the new stamps. A
row cannot be moved without a known period, or if that gap is longer than `max_gap`.

Everything here is a pure function of columns, without a clock, so a replay gives the same results.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import ROW_PREFIX, Float64, Int64


class Verdict(IntEnum):
    """Verdict on a reading; see the table at the top of this file."""

    FIRST = 0
    NEXT = 1
    GAP = 2
    RESET = 3
    DUPLICATE = 4
    SECOND = 5
    LATE = 6
    RESTART = 7
    GATHERED = 8  # only with `time.aggregate`, see `slots.py`
    SET_BACK = 9


#: Verdicts whose row is zeroed before the step.
FRESH = frozenset({Verdict.FIRST, Verdict.RESET, Verdict.RESTART})
#: Verdicts whose reading is stepped and forecast; other readings are dropped and counted.
ACCEPTED = FRESH | {Verdict.NEXT, Verdict.GAP, Verdict.SET_BACK}

#: The phase moves by 1 / LOCK of a reading's distance from it.
LOCK = 10
#: Late readings in a row, in increasing order, that show that the clock was set back.
LATE_RUN = 3
#: The same if the partition's other records contradict the new stamps. A buffer that is sent late,
#: or a clock that was wrong for an hour, is shorter; a sensor whose clock is set back for good is
#: accepted in the end.
LATE_RUN_CONTRADICTED = 256

_NEXT = int(Verdict.NEXT)
_IS_FRESH = np.isin(np.arange(len(Verdict)), list(FRESH))
_IS_ACCEPTED = np.isin(np.arange(len(Verdict)), list(ACCEPTED))


@dataclass(frozen=True, slots=True)
class Aligned:
    """Results for one wave, one entry per reading. The caller's rows are not modified."""

    verdict: NDArray[np.int8]  # a `Verdict`
    slot: Int64  # slot of the step of an accepted reading; the stream's last slot for a dropped one
    imputed: Int64  # steps without a value to run before it: k - 1 for GAP and SET_BACK, else 0
    rows: NDArray[np.void]  # `records.ROW_PREFIX` to store; unchanged for DUPLICATE and SECOND

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Bool [n]: readings that are stepped and forecast."""
        return _IS_ACCEPTED[self.verdict]

    @property
    def fresh(self) -> NDArray[np.bool_]:
        """Bool [n]: rows to zero before the step."""
        return _IS_FRESH[self.verdict]


def align(
    rows: NDArray[np.void],
    timestamps: Int64,
    interval_ms: int,
    max_gap: int | Int64,
    contradicted: NDArray[np.bool_] | None = None,
    period: int | None = None,
) -> Aligned:
    """Align one wave: reading i against the row prefix rows[i]; each stream at most once.

    `rows` is `records.ROW_PREFIX` [n], with `observations` = 0 for a stream never seen;
    `timestamps` int64 [n], ms; `max_gap` of all rows, or of each. `contradicted` bool [n] marks
    stamps that disagree with the partition's stream time (`Eviction.contradicted`); by default
    none. `period` is in slots, None if a row whose clock was set back begins anew.
    """
    slot, phase = _locked(timestamps, rows["phase"], interval_ms)
    k = slot - rows["last_slot"]
    if (
        (k == 1).all()
        and (timestamps > rows["last_timestamp"]).all()
        and rows["observations"].all()
    ):
        return _all_next(rows, timestamps, slot, phase)
    late_run = _late_run(rows, timestamps)
    needed = (
        LATE_RUN
        if contradicted is None
        else np.where(contradicted, LATE_RUN_CONTRADICTED, LATE_RUN)
    )
    verdict = _verdicts(rows, timestamps, k, max_gap, late_run >= needed)
    first_slot, first_phase = _first(timestamps, interval_ms)
    k = _set_back(rows, verdict, first_slot, k, max_gap, period)

    fresh, accepted = _IS_FRESH[verdict], _IS_ACCEPTED[verdict]
    begun = fresh | (verdict == Verdict.SET_BACK)
    dropped_late = verdict == Verdict.LATE
    stored = np.empty(len(rows), ROW_PREFIX)
    stored["last_slot"] = np.where(begun, first_slot, np.where(accepted, slot, rows["last_slot"]))
    stored["last_timestamp"] = np.where(accepted, timestamps, rows["last_timestamp"])
    stored["phase"] = np.where(begun, first_phase, np.where(accepted, phase, rows["phase"]))
    stored["observations"] = np.where(fresh, 1, rows["observations"] + accepted)
    stored["late_timestamp"] = np.where(
        accepted, 0, np.where(dropped_late, timestamps, rows["late_timestamp"])
    )
    stored["late_run"] = np.where(accepted, 0, np.where(dropped_late, late_run, rows["late_run"]))
    return Aligned(verdict, stored["last_slot"].copy(), _imputed(verdict, k), stored)


def align_slots(
    rows: NDArray[np.void],
    timestamps: Int64,
    interval_ms: int,
    max_gap: int | Int64,
    set_back: NDArray[np.bool_],
    period: int | None = None,
) -> Aligned:
    """Align one wave of closed slots (`slots.py`) by their start, like `align`.

    `set_back` bool [n] marks slots of a clock that was set back. Only the steps of a row are moved
    on: stamps, and runs of late readings, are those of its readings.
    """
    slot = timestamps // interval_ms
    k = slot - rows["last_slot"]
    verdict = np.full(len(rows), Verdict.NEXT, np.int8)
    verdict[k > 1] = Verdict.GAP
    verdict[k > max_gap] = Verdict.RESET
    verdict[k < 1] = Verdict.SECOND  # of a row whose readings were not gathered before
    verdict[set_back] = Verdict.SET_BACK
    verdict[rows["observations"] == 0] = Verdict.FIRST
    k = _set_back(rows, verdict, slot, k, max_gap, period)
    fresh, accepted = _IS_FRESH[verdict], _IS_ACCEPTED[verdict]
    stored = rows.copy()
    stored["last_slot"] = np.where(accepted, slot, rows["last_slot"])
    stored["phase"] = 0.0
    stored["observations"] = np.where(fresh, 1, rows["observations"] + accepted)
    return Aligned(verdict, stored["last_slot"].copy(), _imputed(verdict, k), stored)


def _all_next(rows: NDArray[np.void], timestamps: Int64, slot: Int64, phase: Float64) -> Aligned:
    """Shortcut of `align` for waves in which every reading is NEXT, at a third of the work."""
    stored = np.zeros(len(rows), ROW_PREFIX)
    stored["last_slot"], stored["last_timestamp"], stored["phase"] = slot, timestamps, phase
    stored["observations"] = rows["observations"] + 1
    verdict = np.full(len(rows), _NEXT, np.int8)
    return Aligned(verdict, slot, np.zeros(len(rows), np.int64), stored)


def _first(timestamps: Int64, interval_ms: int) -> tuple[Int64, Float64]:
    """Return the nearest slot of each stamp and the stamp's distance from it in ms."""
    whole, rest = np.divmod(timestamps, interval_ms)
    up = (2 * rest >= interval_ms).astype(np.int64)
    return whole + up, (rest - up * interval_ms).astype(np.float64)


def _locked(timestamps: Int64, phase: Float64, interval_ms: int) -> tuple[Int64, Float64]:
    """Return slot and phase after each reading.
    Only the remainder of whole intervals is computed in float64."""
    whole, rest = np.divmod(timestamps, interval_ms)
    up = np.floor((rest - phase) / interval_ms + 0.5)
    phase = phase + (rest - up * interval_ms - phase) / LOCK
    moved = (phase >= interval_ms).astype(np.float64) - (phase <= -interval_ms)
    return whole + (up + moved).astype(np.int64), phase - moved * interval_ms


def _late_run(rows: NDArray[np.void], timestamps: Int64) -> Int64:
    """Return the length of the run of late readings if this one is late;
    a duplicate leaves it unchanged."""
    after = timestamps - rows["late_timestamp"]
    return np.where((rows["late_run"] > 0) & (after >= 0), rows["late_run"] + (after > 0), 1)


def _verdicts(
    rows: NDArray[np.void],
    timestamps: Int64,
    k: Int64,
    max_gap: int | Int64,
    proven: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """Apply the table at the top of this file; later assignments take precedence.

    `proven` bool [n]: late readings that show that the clock was set back.
    """
    ahead = timestamps - rows["last_timestamp"]
    verdict = np.full(len(rows), Verdict.NEXT, np.int8)
    verdict[k > 1] = Verdict.GAP
    verdict[k > max_gap] = Verdict.RESET
    verdict[k < 1] = Verdict.SECOND
    verdict[ahead == 0] = Verdict.DUPLICATE
    late = ahead < 0
    verdict[late] = Verdict.LATE
    verdict[late & proven] = Verdict.SET_BACK
    verdict[rows["observations"] == 0] = Verdict.FIRST
    return verdict


def _set_back(
    rows: NDArray[np.void],
    verdict: NDArray[np.int8],
    slot: Int64,
    k: Int64,
    max_gap: int | Int64,
    period: int | None,
) -> Int64:
    """Return `k` counted from rows moved back where the verdict is SET_BACK; where they cannot be
    moved, `verdict` is changed to RESTART."""
    if not (back := verdict == Verdict.SET_BACK).any():
        return k
    if period is None:
        verdict[back] = Verdict.RESTART
        return k
    k = np.where(back, (slot - rows["last_slot"] - 1) % period + 1, k)
    verdict[back & (k > max_gap)] = Verdict.RESTART
    return k


def _imputed(verdict: NDArray[np.int8], k: Int64) -> Int64:
    return np.where((verdict == Verdict.GAP) | (verdict == Verdict.SET_BACK), k - 1, 0)
