"""All series of one shape: their rings, their latest forecasts and their scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor.bundle_facts import BundleFacts
from eddycast.service.monitor.decode import Forecasts, Series
from eddycast.service.monitor.one_step import OneStep
from eddycast.service.monitor.ring import Ring, Rows
from eddycast.service.monitor.scoring_by_lead import score_by_lead
from eddycast.service.monitor.shape import Shape
from eddycast.service.monitor.windows import Windows
from eddycast.service.records import Float64, Int64

#: Weight of one change in the running scale of a series is at least 1 / SCALE_READINGS.
SCALE_READINGS = 64
#: The level that errors are of.
MEDIAN = 0.5
#: Gaps whose median is the rhythm of a series.
RHYTHM_GAPS = 16


def ranks_in(rows: Rows) -> Int64:
    """Number of equal entries before each entry of sorted rows."""
    at = np.arange(len(rows))
    begins = np.r_[True, rows[1:] != rows[:-1]][: len(rows)]
    ranks: Int64 = at - np.maximum.accumulate(np.where(begins, at, 0))
    return ranks


class Panel:
    """Columns with a row for each of at most `limit` series."""

    def __init__(self, shape: Shape, limit: int, history: int, facts: BundleFacts) -> None:
        self.shape = shape
        self.ring = Ring(shape, limit, history)
        self.windows = Windows(limit, len(shape.remembered))
        self.series: list[Series | None] = []
        self.one_step = OneStep(shape, limit)
        self.fans = np.zeros((limit, len(shape.leads), len(shape.quantiles)), np.float64)
        self.fan_stamps = np.zeros(limit, np.int64)  # 0 = no multi-step forecast yet
        self.arrived = np.zeros(limit, np.int64)  # broker time of the latest record, ms
        self.appeared = np.zeros(limit, np.int64)  # broker time of the first record, ms
        self.scales = np.zeros(limit, np.float64)  # running mean of absolute changes
        self._changes = np.zeros(limit, np.int64)
        self.repeats = 0
        self._season_ms = facts.season_ms
        self._counts_up = facts.counter
        self._free: list[int] = []

    @property
    def row_bytes(self) -> int:
        """Bytes of one series."""
        own = (self.fans, self.fan_stamps, self.arrived, self.appeared, self.scales, self._changes)
        parts = sum(int(column[0].nbytes) for column in own)
        columns = (self.ring, self.windows, self.one_step)
        return parts + sum(column.row_bytes for column in columns)

    def __len__(self) -> int:
        return len(self.series) - len(self._free)

    def acquire(self, series: Series) -> int:
        """A row for a new series."""
        if self._free:
            row = self._free.pop()
            self.series[row] = series
        else:
            row = len(self.series)
            self.series.append(series)
        return row

    def release(self, row: int) -> None:
        """Forget a series."""
        self.series[row] = None
        self.ring.forget(row)
        self.windows.forget(row)
        self.fan_stamps[row] = self.arrived[row] = self.appeared[row] = self._changes[row] = 0
        self.scales[row] = 0.0
        self.one_step.forget(row)
        self._free.append(row)

    def silent_since(self, time_ms: int) -> Rows:
        """Rows in use whose latest record is older than a broker time."""
        rows = self.rows()
        return rows[self.arrived[rows] < time_ms]

    def rows(self) -> Rows:
        """All rows in use that have a reading."""
        return np.flatnonzero(self.ring.counts[: len(self.series)])

    def ingest(self, rows: Rows, new: Forecasts, models: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Add forecasts in order; a row may stand several times. Returns True for each forecast
        that was not held already."""
        is_new = np.ones(len(rows), np.bool_)
        order = np.argsort(rows, kind="stable")
        rows, stamps = rows[order], new.stamps[order]
        ranks = ranks_in(rows)
        before = np.where(ranks == 0, self._last_or_never(rows), np.r_[0, stamps[:-1]])
        unruly = np.isin(rows, rows[stamps <= before])
        blocks = ranks // self.ring.slack
        for block in range(int(blocks.max(initial=-1)) + 1):
            which = order[(blocks == block) & ~unruly]
            self._append(which, rows[(blocks == block) & ~unruly], new, models)
        for rank in range(int(ranks[unruly].max(initial=-1)) + 1):
            now = np.flatnonzero(unruly & (ranks == rank))
            held = ~self._is_new(rows[now], stamps[now])
            is_new[order[now[held]]] = False
            self._append(order[now[~held]], rows[now[~held]], new, models)
        return is_new

    def _last_or_never(self, rows: Rows) -> Int64:
        """Stamp of the last reading; before all times where there is none."""
        last = self.last_stamps(rows)
        return np.where(self.ring.counts[rows] > 0, last, np.iinfo(np.int64).min)

    def _is_new(self, rows: Rows, stamps: Int64) -> NDArray[np.bool_]:
        """False for records that are held already, as after a repeated delivery. A row whose stamp
        is older and not held starts over, because its clock was set back."""
        behind = stamps <= self._last_or_never(rows)
        found, held = self.ring.near(rows, stamps, 0)
        held &= behind & (self.ring.stamps(rows, found) == stamps)
        for row in rows[behind & ~held].tolist():
            self.ring.start_over(row)
        self.repeats += int(held.sum())
        return ~held

    def _append(
        self, which: NDArray[np.intp], rows: Rows, forecasts: Forecasts, models: NDArray[np.uint16]
    ) -> None:
        """Write the forecasts `which` of these rows, which are sorted and hold no row more than
        `slack` times, and score what had been forecast for their readings."""
        if not len(which):
            return
        new, ring = forecasts.take(which), self.ring
        ranks = ranks_in(rows)
        indexes = ring.counts[rows] + ranks
        new = replace(new, expected=self.one_step.expected(rows, ranks, new))
        if self._counts_up:
            new = replace(new, values=self._increases(new))
        first = indexes == 0
        self.appeared[rows[first]] = new.times[first]
        self.arrived[rows] = new.times  # the last one of a row stays
        ring.append(rows, indexes, new, models[which])
        has = np.isfinite(new.fans).any(axis=(1, 2))
        self.fans[rows[has]] = new.fans[has]
        self.fan_stamps[rows[has]] = new.stamps[has]
        scores = score_by_lead(self.shape, ring, rows, indexes, new, self._season_ms)
        self.windows.add(rows, new.stamps, scores)
        self._rescale(rows, indexes, new.values)

    def _increases(self, new: Forecasts) -> Float64:
        """Increases of a counter, as the model saw them: forecasts are compared with these. NaN
        where nothing was expected, or its median is not written."""
        if self.shape.quantiles[self.shape.middle] != MEDIAN:
            return np.full(len(new), np.nan)
        increases: Float64 = new.expected[:, self.shape.middle] + new.errors
        return increases

    def _rescale(self, rows: Rows, indexes: Int64, values: Float64) -> None:
        last = self.ring.last_values(rows, indexes - 1)
        change = np.where(indexes > self.ring.begins[rows], np.abs(values - last), np.nan)
        known = np.isfinite(change)
        rows, change = rows[known], change[known]
        ranks = ranks_in(rows)
        for rank in range(int(ranks.max(initial=-1)) + 1):
            now = ranks == rank
            at = rows[now]
            self._changes[at] = np.minimum(self._changes[at] + 1, SCALE_READINGS)
            self.scales[at] += (change[now] - self.scales[at]) / self._changes[at]

    def last_stamps(self, rows: Rows) -> Int64:
        """Stamp of the last reading of each row, ms."""
        return self.ring.stamps(rows, self.ring.counts[rows] - 1)

    def rhythms_ms(self, rows: Rows) -> Float64:
        """Median of the last gaps between readings of each row; the interval where there is
        none."""
        newest, first = self.ring.counts[rows] - 1, self.ring.first(rows)
        back = newest[:, None] - np.arange(RHYTHM_GAPS + 1)
        held = back >= first[:, None]
        stamps = self.ring.stamps(rows[:, None], np.where(held, back, newest[:, None]))
        gaps = np.where(held[:, 1:], stamps[:, :-1] - stamps[:, 1:], np.nan).astype(np.float64)
        gaps[~held[:, 1], 0] = self.shape.interval_ms
        median: Float64 = np.nanmedian(gaps, axis=1)
        return median
