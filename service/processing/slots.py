"""The slots of `time.aggregate`: readings are gathered in the open slot of their stream, and a slot
that closes becomes one reading, at its start.

A slot covers [slot * interval, (slot + 1) * interval) of the stamps. For each reading, in the order
of the records, with s = its slot:

    stream never seen                           NEXT       slot s opens
    the stamp and values of the newest reading  DUPLICATE  dropped
    s = open slot                               GATHERED   also if an earlier stamp comes later
    s > open or last slot                       NEXT       the open slot closes, s opens
    s < open slot, or s has closed              LATE       dropped
    late in so many later slots one after       SET_BACK   the clock was set back: the open slot
    another as `alignment.py` asks for                     closes, s opens

After each reading of the partition, of whatever stream, every open slot closes that is due, which
is when the partition's stream time reaches

    end of the slot + the lag of the reading that opened it + `time.close_after_s`

where the lag is the stream time after that reading less its stamp, if positive, rounded up to a
sixteenth of the interval, so that many slots are due at once: a stream that is an hour behind the
others has the same time for its readings as they have. All of this is a fold over
the readings of a partition and does not depend on where polls are cut.

This file is the definition, one stream and one reading at a time; `slot_columns.py` does the same
for all streams whose readings are in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.processing.alignment import LATE_RUN, LATE_RUN_CONTRADICTED, Verdict
from eddycast.service.records import Float64, Int64

#: Status of a row: no slot yet, none open, one open, one open since the clock was set back.
UNSEEN, CLOSED, OPEN, SET_BACK = range(4)
#: Rows of `own_tensors.GATHERED`: figures of each channel over the readings that are not missing,
#: and the newest reading as it is.
SUM, COUNT, LEAST, MOST, LAST = range(5)
#: Parts of an interval to which lags are rounded up.
_PARTS: Final = 16


class Grid(NamedTuple):
    """Slots of a model, and the time after which they close, ms."""

    interval_ms: int
    close_after_ms: int

    def due(self, slot: Int64, lag: Int64) -> Int64:
        """Stream time at which slots [n] close that were opened by readings with this lag."""
        part = max(self.interval_ms // _PARTS, 1)
        whole = -(-np.maximum(lag, 0) // part) * part
        due: Int64 = (slot + 1) * self.interval_ms + whole + self.close_after_ms
        return due


class Events(NamedTuple):
    """Slots that have closed, in columns."""

    position: Int64  # index of the partition's reading at which the slot closed
    row: Int64  # of the stream
    slot: Int64
    figures: Float64  # [n, 5, channels]
    set_back: NDArray[np.bool_]  # the slot opened as the clock was set back


def nothing_gathered(rows: int, channels: int) -> Float64:
    """The figures [rows, 5, channels] of slots without a reading."""
    figures = np.zeros((rows, 5, channels))
    figures[:, LEAST], figures[:, MOST] = np.inf, -np.inf
    return figures


def _mean(figures: Float64) -> Float64:
    """Within the extremes, so that the mean of equal readings is that reading."""
    mean = figures[:, SUM] / np.maximum(figures[:, COUNT], 1)
    mean = np.minimum(np.maximum(mean, figures[:, LEAST]), figures[:, MOST])
    return np.where(figures[:, COUNT] > 0, mean, np.nan)


def _figure(which: int) -> Callable[[Float64], Float64]:
    return lambda figures: np.where(figures[:, COUNT] > 0, figures[:, which], np.nan)


#: Values [n, channels] of closed slots with figures [n, 5, channels], by `time.aggregate`.
AGGREGATES: Final[dict[str, Callable[[Float64], Float64]]] = {
    "last": lambda figures: figures[:, LAST],
    "mean": _mean,
    "sum": _figure(SUM),
    "min": _figure(LEAST),
    "max": _figure(MOST),
}


@dataclass(slots=True)
class Stream:
    """One stream, moved on reading by reading. `times` int64 [n] are the stream times after each
    reading of the partition."""

    grid: Grid
    times: Int64
    status: int
    slot: int
    due: int
    newest: int
    late_timestamp: int
    late_run: int
    figures: Float64  # [5, channels]
    closed: list[tuple[int, int, Float64, bool]] = field(default_factory=list)
    _checked: int = 0  # stream times before this position are not looked at again

    def read(self, position: int, stamp: int, values: Float64, contradicted: bool) -> Verdict:
        """Take the reading at a position; values [channels], without -0.0: equal values have to
        be the same bits."""
        self.close_until(position)
        slot = stamp // self.grid.interval_ms
        if self.status == UNSEEN:
            return self._open(position, slot, stamp, values)
        if stamp == self.newest and np.array_equal(values, self.figures[LAST], equal_nan=True):
            return Verdict.DUPLICATE
        if slot > self.slot:
            self._close(position)
            return self._open(position, slot, stamp, values)
        if slot == self.slot and self.status != CLOSED:
            self._add(stamp, values)
            return Verdict.GATHERED
        return self._late(position, slot, stamp, values, contradicted)

    def close_until(self, position: int) -> None:
        """Close the open slot if it is due after a reading before this position."""
        if self.status >= OPEN:
            due = np.flatnonzero(self.times[self._checked : position] >= self.due)
            if len(due):
                self._close(self._checked + int(due[0]))
            self._checked = position

    def _close(self, position: int) -> None:
        if self.status >= OPEN:
            self.closed.append((position, self.slot, self.figures.copy(), self.status == SET_BACK))
            self.status, self.due = CLOSED, 0

    def _open(
        self, position: int, slot: int, stamp: int, values: Float64, status: int = OPEN
    ) -> Verdict:
        self.status, self.slot, self._checked = status, slot, position
        lag = self.times[position] - stamp
        self.due = int(self.grid.due(np.asarray(slot), lag))
        self.figures = nothing_gathered(1, len(values))[0]
        self.newest = stamp
        self._add(stamp, values)
        return Verdict.NEXT

    def _add(self, stamp: int, values: Float64) -> None:
        figures, seen = self.figures, ~np.isnan(values)
        figures[SUM, seen] += values[seen]
        figures[COUNT, seen] += 1
        figures[LEAST, seen] = np.minimum(figures[LEAST, seen], values[seen])
        figures[MOST, seen] = np.maximum(figures[MOST, seen], values[seen])
        if stamp >= self.newest:
            self.newest, figures[LAST] = stamp, values
        self.late_timestamp = self.late_run = 0

    def _late(
        self, position: int, slot: int, stamp: int, values: Float64, contradicted: bool
    ) -> Verdict:
        after = slot - self.late_timestamp // self.grid.interval_ms
        self.late_run = self.late_run + (after > 0) if self.late_run and after >= 0 else 1
        self.late_timestamp = stamp
        if self.late_run < (LATE_RUN_CONTRADICTED if contradicted else LATE_RUN):
            return Verdict.LATE
        self._close(position)
        self._open(position, slot, stamp, values, SET_BACK)
        return Verdict.SET_BACK
