"""The last readings of every series in columns, with what was expected of each and the forecasts
made at it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor.decode import Forecasts
from eddycast.service.monitor.shape import Shape
from eddycast.service.records import Float64, Int64

Rows = NDArray[np.intp]
_MISSING, _WARM = 1, 2
#: Decimal digits that float32 holds.
_DIGITS = 7


class Ring:
    """`limit` rings of `history` readings each. An index counts the readings of a row from its
    first one on; the ring holds the last `history` of them, and `slack` more, so that as many can
    be written at once without losing one that they are compared with.

    Memory is reserved at once but occupied row by row, as the system hands out pages of zeros.
    Quantiles are float32 differences from the last value, precise in proportion to the interval.
    """

    def __init__(self, shape: Shape, limit: int, history: int) -> None:
        self.history = history
        self.slack = max(1, history // 4)
        self._size = history + self.slack
        leads, levels = len(shape.remembered), len(shape.quantiles)
        # column of each remembered lead after the first in the multi-step forecast
        self._columns = [shape.leads.index(lead) for lead in shape.remembered[1:]]
        cells = (limit, self._size)
        self._stamps = np.zeros(cells, np.int64)
        self._bases = np.zeros(cells, np.float64)  # the last value that was not missing
        self._quantiles = np.zeros((*cells, leads, levels), np.float32)
        self._surprise = np.zeros(cells, np.float32)
        self._anomaly = np.zeros(cells, np.float32)
        self._flags = np.zeros(cells, np.uint8)
        self._models = np.zeros(cells, np.uint16)
        self.counts = np.zeros(limit, np.int64)
        self.begins = np.zeros(limit, np.int64)

    @property
    def row_bytes(self) -> int:
        """Bytes of one series."""
        columns = (
            self._stamps, self._bases, self._quantiles, self._surprise, self._anomaly,
            self._flags, self._models, self.counts, self.begins,
        )  # fmt: skip
        return sum(int(column[0].nbytes) for column in columns)

    def append(
        self, rows: Rows, indexes: Int64, new: Forecasts, models: NDArray[np.uint16]
    ) -> None:
        """Write readings at their indexes, the next ones of their rows; rows are sorted, and none
        stands more than `slack` times."""
        at = indexes % self._size
        missing = ~np.isfinite(new.values)
        bases = self._filled(rows, indexes, new.values, missing)
        kept = np.concatenate([new.expected[:, None], new.fans[:, self._columns]], axis=1)
        origin = np.where(np.isfinite(bases), bases, 0.0)[:, None, None]
        self._stamps[rows, at] = new.stamps
        self._bases[rows, at] = bases
        with np.errstate(over="ignore"):
            self._quantiles[rows, at] = (kept - origin).astype(np.float32)
        self._surprise[rows, at] = new.surprise
        self._anomaly[rows, at] = new.anomaly
        self._flags[rows, at] = missing * _MISSING + new.warm * _WARM
        self._models[rows, at] = models
        self.counts[rows] = indexes + 1

    def _filled(
        self, rows: Rows, indexes: Int64, values: Float64, missing: NDArray[np.bool_]
    ) -> Float64:
        """`values`, missing ones replaced by the last value of the row; NaN where there is none."""
        counts = self.counts[rows]
        before = self._bases[rows, (counts - 1) % self._size]
        before = np.where(counts > self.begins[rows], before, np.nan)
        at = np.arange(len(rows))
        known = np.maximum.accumulate(np.where(missing, -1, at))
        here = known >= at - (indexes - counts)
        return np.where(here, values[known], before)

    def first(self, rows: Rows, ends: Int64 | None = None) -> Int64:
        """Index of the oldest of the last `history` readings of each row before `ends`."""
        last = self.counts[rows] if ends is None else ends
        oldest: Int64 = np.maximum(self.begins[rows], last - self.history)
        return oldest

    def start_over(self, row: int) -> None:
        """Leave out all earlier readings of a row: its clock was set back."""
        self.begins[row] = self.counts[row]

    def forget(self, row: int) -> None:
        """Make a row new."""
        self.counts[row] = self.begins[row] = 0

    def latest(self, rows: Rows, when: Int64, ends: Int64 | None = None) -> Int64:
        """Index of each row's last reading before index `ends` with a stamp up to `when`;
        below `first` if none."""
        low, high = self.first(rows, ends), self.counts[rows] if ends is None else ends
        while (open_ := low < high).any():
            middle = (low + high) // 2
            below = self._stamps[rows, middle % self._size] <= when
            low = np.where(open_ & below, middle + 1, low)
            high = np.where(open_ & ~below, middle, high)
        return low - 1

    def near(
        self, rows: Rows, when: Int64, tolerance_ms: int, ends: Int64 | None = None
    ) -> tuple[Int64, NDArray[np.bool_]]:
        """Index of the reading of each row around `when`, and where there is one: later than
        `when - tolerance_ms` and not later than `when + tolerance_ms`."""
        found = self.latest(rows, when + tolerance_ms, ends)
        exists = found >= self.first(rows, ends)
        return found, exists & (self.stamps(rows, found) > when - max(1, tolerance_ms))

    def stamps(self, rows: Rows, indexes: Int64) -> Int64:
        """Stamps of readings, ms."""
        taken: Int64 = self._stamps[rows, indexes % self._size]
        return taken

    def values(self, rows: Rows, indexes: Int64) -> Float64:
        """Readings; NaN = missing."""
        at = indexes % self._size
        return np.where(self._flags[rows, at] & _MISSING, np.nan, self._bases[rows, at])

    def last_values(self, rows: Rows, indexes: Int64) -> Float64:
        """Last values that were not missing."""
        taken: Float64 = self._bases[rows, indexes % self._size]
        return taken

    def quantiles(self, rows: Rows, indexes: Int64) -> Float64:
        """Quantiles expected of these readings, and those forecast at them for each further
        remembered lead, [n, leads, levels], rounded to the digits that a float32 holds: those of
        the record, unless it had more."""
        at = indexes % self._size
        bases = self._bases[rows, at]
        origin = np.where(np.isfinite(bases), bases, 0.0)[:, None, None]
        kept = self._quantiles[rows, at].astype(np.float64)
        size = np.abs(np.where(np.isfinite(kept), kept, 0.0)).max(axis=(1, 2), keepdims=True)
        digits = _DIGITS - 1 - np.floor(np.log10(np.where(size > 0, size, 1.0)))
        step = 10.0 ** np.clip(digits, -22, 22)
        rounded: Float64 = np.rint((kept + origin) * step) / step
        return rounded

    def quantiles_at(self, rows: Rows, indexes: Int64, column: int) -> Float64:
        """One of the leads of `quantiles` [n, levels], not rounded."""
        at = indexes % self._size
        bases = self._bases[rows, at]
        origin = np.where(np.isfinite(bases), bases, 0.0)[:, None]
        taken: Float64 = self._quantiles[rows, at, column].astype(np.float64) + origin
        return taken

    def surprise(self, rows: Rows, indexes: Int64) -> Float64:
        """Surprise of readings, nats."""
        return self._surprise[rows, indexes % self._size].astype(np.float64)

    def anomaly(self, rows: Rows, indexes: Int64) -> Float64:
        """Anomaly of readings, 0 to 1."""
        return self._anomaly[rows, indexes % self._size].astype(np.float64)

    def warm(self, rows: Rows, indexes: Int64) -> NDArray[np.bool_]:
        """True where the stream was warm."""
        return (self._flags[rows, indexes % self._size] & _WARM) > 0

    def models(self, rows: Rows, indexes: Int64) -> NDArray[np.uint16]:
        """Numbers of the models that made the forecasts."""
        taken: NDArray[np.uint16] = self._models[rows, indexes % self._size]
        return taken
