"""All series of one shape: their rings, their latest forecasts and their scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor.decode import Forecasts, Series
from eddycast.service.monitor.ring import Ring, Rows
from eddycast.service.monitor.scoring import measures
from eddycast.service.monitor.shape import Shape
from eddycast.service.monitor.windows import MEASURES, Windows
from eddycast.service.records import Float64, Int64

#: Weight of one change in the running scale of a series is at least 1 / SCALE_READINGS.
SCALE_READINGS = 64
#: Gaps whose median is the rhythm of a series.
RHYTHM_GAPS = 16


class Panel:
    """Columns with a row for each of at most `limit` series."""

    def __init__(self, shape: Shape, limit: int, history: int, season_ms: int | None) -> None:
        self.shape = shape
        self.ring = Ring(shape, limit, history)
        self.windows = Windows(limit, len(shape.remembered))
        self.series: list[Series | None] = []
        self.fans = np.zeros((limit, len(shape.leads), len(shape.quantiles)), np.float64)
        self.fan_stamps = np.zeros(limit, np.int64)  # 0 = no multi-step forecast yet
        self.arrived = np.zeros(limit, np.int64)  # broker time of the latest record, ms
        self.appeared = np.zeros(limit, np.int64)  # broker time of the first record, ms
        self.scales = np.zeros(limit, np.float64)  # running mean of absolute changes
        self._changes = np.zeros(limit, np.int64)
        self.repeats = 0
        self._season_ms = season_ms
        self._levels = np.array(shape.quantiles)
        self._free: list[int] = []

    @property
    def row_bytes(self) -> int:
        """Bytes of one series."""
        own = (self.fans, self.fan_stamps, self.arrived, self.appeared, self.scales, self._changes)
        parts = sum(int(column[0].nbytes) for column in own)
        return self.ring.row_bytes + self.windows.row_bytes + parts

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
        self._free.append(row)

    def rows(self) -> Rows:
        """All rows in use that have a reading."""
        return np.flatnonzero(self.ring.counts[: len(self.series)])

    def ingest(self, rows: Rows, new: Forecasts, models: NDArray[np.uint16]) -> None:
        """Add forecasts in order; a row may stand several times."""
        order = np.argsort(rows, kind="stable")
        sorted_rows = rows[order]
        begins = np.r_[True, sorted_rows[1:] != sorted_rows[:-1]]
        at = np.arange(len(rows))
        ranks = at - np.maximum.accumulate(np.where(begins, at, 0))
        for rank in range(int(ranks.max(initial=-1)) + 1):
            which = order[ranks == rank]
            which = self._in_order(rows[which], new.stamps[which], which)
            if len(which):
                self._append(rows[which], new.take(which), models[which])

    def _in_order(self, rows: Rows, stamps: Int64, which: NDArray[np.intp]) -> NDArray[np.intp]:
        """`which` without records that are held already, as after a repeated delivery. A row whose
        stamp is older and not held starts over, because its clock was set back."""
        last = self.last_stamps(rows)
        behind = (self.ring.counts[rows] > 0) & (stamps <= last)
        if not behind.any():
            return which
        found = self.ring.latest(rows[behind], stamps[behind])
        held = (found >= self.ring.first(rows[behind])) & (
            self.ring.stamps(rows[behind], found) == stamps[behind]
        )
        for row in rows[behind][~held].tolist():
            self.ring.start_over(row)
        self.repeats += int(held.sum())
        keep = np.ones(len(which), np.bool_)
        keep[np.flatnonzero(behind)[held]] = False
        return which[keep]

    def _append(self, rows: Rows, new: Forecasts, models: NDArray[np.uint16]) -> None:
        """Add one reading to each row: score what was forecast for it, then write it."""
        self._score(rows, new)
        self._rescale(rows, new.values)
        self.appeared[rows] = np.where(self.ring.counts[rows] == 0, new.times, self.appeared[rows])
        self.arrived[rows] = new.times
        self.ring.append(rows, self.ring.counts[rows].copy(), new, models)
        if new.fans.shape[1]:
            has = np.isfinite(new.fans[:, 0, 0])
            self.fans[rows[has]] = new.fans[has]
            self.fan_stamps[rows[has]] = new.stamps[has]

    def _score(self, rows: Rows, new: Forecasts) -> None:
        shape, ring = self.shape, self.ring
        half = shape.interval_ms // 2
        found = np.zeros((len(rows), len(shape.remembered), len(MEASURES)))
        for column, lead in enumerate(shape.remembered):
            lead_ms = lead * shape.interval_ms
            made, exists = ring.near(rows, new.stamps - lead_ms, half)
            quantiles = np.where(exists[:, None], ring.quantiles(rows, made)[:, column], np.nan)
            last = ring.last_values(rows, made)
            found[:, column] = measures(
                new.values, quantiles, self._levels, shape.middle, last,
                self._seasonal(rows, new.stamps, lead_ms),
            )  # fmt: skip
        self.windows.add(rows, new.stamps, found)

    def _seasonal(self, rows: Rows, stamps: Int64, lead_ms: int) -> Float64:
        """Values one or more whole seasons before `stamps`, known when the forecast was made;
        NaN where the ring does not reach that far."""
        if self._season_ms is None:
            return np.full(len(rows), np.nan)
        back_ms = -(-lead_ms // self._season_ms) * self._season_ms
        index, exists = self.ring.near(rows, stamps - back_ms, self.shape.interval_ms // 2)
        return np.where(exists, self.ring.values(rows, index), np.nan)

    def _rescale(self, rows: Rows, values: Float64) -> None:
        last = self.ring.last_values(rows, self.ring.counts[rows] - 1)
        change = np.where(self.ring.counts[rows] > 0, np.abs(values - last), np.nan)
        known = np.isfinite(change)
        rows, change = rows[known], change[known]
        self._changes[rows] = np.minimum(self._changes[rows] + 1, SCALE_READINGS)
        self.scales[rows] += (change - self.scales[rows]) / self._changes[rows]

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
