"""The slots of `slots.py` in columns, for all streams of a partition whose readings are in order.

Consecutive readings of one stream in one slot are a *run*; a slot that was open before is a run,
too, that begins before the first reading. A stream whose stamps go back, or of which a slot closes
before its last reading, is *irregular* and left to the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddycast.service.processing.alignment import Verdict
from eddycast.service.processing.slot_rows import Bool, Readings, Rows
from eddycast.service.processing.slots import (
    CLOSED,
    COUNT,
    LAST,
    LEAST,
    MOST,
    OPEN,
    SET_BACK,
    SUM,
    UNSEEN,
    Events,
    Grid,
    nothing_gathered,
)
from eddycast.service.records import Float64, Int64

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs, sorted by row and time, in columns of S."""

    row: Int64
    slot: Int64
    begins: Int64  # position of the first reading; -1 = before
    ends: Int64  # position of the last reading
    due: Int64
    status: Int64
    closes: Int64  # position after which the slot closes; the number of readings = it does not
    last: Int64  # index of the last reading; -1 = none


def gather(
    rows: Rows, readings: Readings, times: Int64, grid: Grid
) -> tuple[Events, NDArray[np.int8], Bool]:
    """Gather readings, close what is due, and move `rows` on, except for irregular ones.

    `times` int64 [n] are the stream times after each reading of the partition. Returns the slots
    that closed, a `Verdict` for each reading, and bool [r] rows that are irregular.
    """
    irregular = _irregular(rows, readings, times, grid)
    if irregular.any():
        regular = ~irregular[readings.row]
        kept = readings.of(regular)
    else:
        regular, kept = np.ones(len(readings.row), np.bool_), readings
    run, opens = _runs_of(rows, kept, grid)
    runs = _runs(rows, kept, run, opens, times, grid)
    irregular[runs.row[runs.closes < runs.ends]] = True
    repeats = _repeats(rows, kept)
    figures = _figures(rows, kept, run, runs, repeats)
    verdicts = np.full(len(readings.row), Verdict.GATHERED, np.int8)
    own = np.where(
        opens, int(Verdict.NEXT), np.where(repeats, int(Verdict.DUPLICATE), int(Verdict.GATHERED))
    )
    verdicts[regular] = own
    here = np.flatnonzero((runs.closes < len(times)) & ~irregular[runs.row])
    events = Events(
        runs.closes[here],
        runs.row[here],
        runs.slot[here],
        figures[here],
        runs.status[here] == SET_BACK,
    )
    _move_on(rows, kept, runs, figures, repeats, irregular, len(times))
    return events, verdicts, irregular


def _irregular(rows: Rows, readings: Readings, times: Int64, grid: Grid) -> Bool:
    """Bool [r]: rows whose stamps go back, or whose closed slot has further readings; all rows with
    readings if the stream time goes back."""
    irregular = np.zeros(len(rows.status), np.bool_)
    row, stamps = readings.row, readings.stamps
    if (times[1:] < times[:-1]).any():
        irregular[row] = True
        return irregular
    first = _first(row)
    before = _before(stamps, first, np.where(rows.status == UNSEEN, _NEVER, rows.newest)[row])
    irregular[row[stamps < before]] = True
    again = (rows.status[row] == CLOSED) & (stamps // grid.interval_ms <= rows.slot[row])
    irregular[row[again]] = True
    return irregular


def _first(row: Int64) -> Bool:
    """Bool [m]: the first reading of each row."""
    first: Bool = np.diff(row, prepend=-1) != 0
    return first


def _before(column: Int64, first: Bool, start: Int64) -> Int64:
    """The entry before each of a column, and `start` where it is the first of its row."""
    before = np.empty_like(column)
    before[1:] = column[:-1]
    before[first] = start[first]
    return before


def _runs_of(rows: Rows, readings: Readings, grid: Grid) -> tuple[Int64, Bool]:
    """Number of the run of each reading, int64 [m], and bool [m]: it opens its slot."""
    row, slots = readings.row, readings.stamps // grid.interval_ms
    first = _first(row)
    joined = np.where(rows.is_open, rows.slot, _NEVER)[row]
    opens = slots != _before(slots, first, joined)
    run: Int64 = np.cumsum(rows.is_open)[row] + np.cumsum(opens) - 1
    return run, opens


def _runs(
    rows: Rows, readings: Readings, run: Int64, opens: Bool, times: Int64, grid: Grid
) -> _Runs:
    is_open = rows.is_open
    begun = np.searchsorted(readings.row[opens], np.arange(len(rows.status)))
    carried, opened = (np.cumsum(is_open) - 1 + begun)[is_open], run[opens]
    count = len(carried) + len(opened)

    def column(before: Int64, now: Int64) -> Int64:
        found = np.empty(count, np.int64)
        found[carried], found[opened] = before, now
        return found

    position, stamps = readings.position[opens], readings.stamps[opens]
    slot = stamps // grid.interval_ms
    row = column(np.flatnonzero(is_open), readings.row[opens])
    begins = column(np.full(len(carried), -1), position)
    due = column(rows.due[is_open], grid.due(slot, times[position] - stamps))
    status = column(rows.status[is_open], np.full(len(opened), OPEN))
    last, ends = np.full(count, -1), begins.copy()
    last[run], ends[run] = np.arange(len(run)), readings.position
    # in order of time, unless it goes back, and then only runs of before are closed here
    timely = np.maximum(np.searchsorted(np.maximum.accumulate(times), due), begins)
    following = np.full(count, len(times))
    following[:-1] = np.where(row[1:] == row[:-1], begins[1:], len(times))
    closes = np.minimum(timely, following)
    return _Runs(row, column(rows.slot[is_open], slot), begins, ends, due, status, closes, last)


def _repeats(rows: Rows, readings: Readings) -> Bool:
    """Bool [m]: readings with the stamp and the values of the one before."""
    row, stamps = readings.row, readings.stamps
    first = _first(row)
    before = _before(stamps, first, np.where(rows.status == UNSEEN, _NEVER, rows.newest)[row])
    repeats: Bool = stamps == before
    if repeats.any():
        values = np.empty_like(readings.values)
        values[1:] = readings.values[:-1]
        values[first] = rows.figures[row[first], LAST]
        same = (readings.values == values) | (np.isnan(readings.values) & np.isnan(values))
        repeats &= same.all(axis=1)
    return repeats


def _figures(rows: Rows, readings: Readings, run: Int64, runs: _Runs, repeats: Bool) -> Float64:
    """The figures of each run, [S, 5, channels]. Sums are added in the order of the readings."""
    channels = readings.values.shape[1]
    count = len(runs.row)
    figures = nothing_gathered(count, channels)
    carried = np.flatnonzero(runs.begins < 0)
    figures[carried] = rows.figures[runs.row[carried]]
    for channel in range(channels):
        own = figures[:, :, channel]
        taken = ~repeats & ~np.isnan(readings.values[:, channel])
        values, where = readings.values[taken, channel], run[taken]
        weights = np.concatenate([own[carried, SUM], values])
        own[:, SUM] = np.bincount(np.concatenate([carried, where]), weights, count)
        own[:, COUNT] += np.bincount(where, minlength=count)
        np.minimum.at(own[:, LEAST], where, values)
        np.maximum.at(own[:, MOST], where, values)
    has = runs.last >= 0
    figures[has, LAST] = readings.values[runs.last[has]]
    return figures


def _move_on(
    rows: Rows,
    readings: Readings,
    runs: _Runs,
    figures: Float64,
    repeats: Bool,
    irregular: Bool,
    count: int,
) -> None:
    """Store the last run of each regular row; `count` is the number of the partition's readings."""
    final = np.flatnonzero(np.diff(runs.row, append=-1) != 0)
    final = final[~irregular[runs.row[final]]]
    row, stays = runs.row[final], runs.closes[final] == count
    rows.slot[row] = runs.slot[final]
    rows.status[row] = np.where(stays, runs.status[final], CLOSED)
    rows.due[row] = np.where(stays, runs.due[final], 0)
    rows.figures[row] = figures[final]
    read = runs.last[final] >= 0
    rows.newest[row[read]] = readings.stamps[runs.last[final[read]]]
    taken = np.unique(readings.row[~repeats])
    taken = taken[~irregular[taken]]
    rows.late_timestamp[taken] = rows.late_run[taken] = 0
