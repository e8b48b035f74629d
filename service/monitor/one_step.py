"""One-step forecasts: that of each reading, and that of the next one."""

from __future__ import annotations

import numpy as np

from eddycast.service.monitor.decode import Forecasts
from eddycast.service.monitor.ring import Rows
from eddycast.service.monitor.shape import Shape
from eddycast.service.records import Float64, Int64


class OneStep:
    """Columns with a row for each of `limit` series."""

    def __init__(self, shape: Shape, limit: int) -> None:
        self.latest = np.zeros((limit, len(shape.quantiles)))
        self._stamps = np.zeros(limit, np.int64)  # 0 = none yet
        self._interval_ms = shape.interval_ms

    def expected(self, rows: Rows, ranks: Int64, new: Forecasts) -> Float64:
        """Return what was expected of each reading [n, levels], and keep the latest forecasts.

        Records of bundles that do not have it hold nothing; there it is the forecast that was made
        one interval before, give or take half of one. Rows are sorted, `ranks` count equal ones.
        """
        first = ranks == 0
        before = np.where(first[:, None], self.latest[rows], np.roll(new.one_step, 1, axis=0))
        then = np.where(first, self._stamps[rows], np.roll(new.stamps, 1))
        due = 2 * np.abs(new.stamps - then - self._interval_ms) <= self._interval_ms
        has = np.isfinite(new.expected).any(axis=1)
        self.latest[rows] = new.one_step  # the last one of a row stays
        self._stamps[rows] = new.stamps
        return np.where((~has & due)[:, None], before, new.expected)

    def forget(self, row: int) -> None:
        """Make a row new."""
        self._stamps[row] = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one series."""
        return int(self.latest[0].nbytes + self._stamps[0].nbytes)
