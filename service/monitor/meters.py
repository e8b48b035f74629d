"""Increases of meters that only rise: what forecasts of a counter are compared with."""

from __future__ import annotations

import numpy as np

from eddycast.service.monitor.ring import Rows
from eddycast.service.records import Float64, Int64


class Meters:
    """The last reading of each meter."""

    def __init__(self, limit: int, interval_ms: int, register_size: float | None) -> None:
        self._readings = np.zeros(limit, np.float64)
        self._stamps = np.zeros(limit, np.int64)  # 0 = never read
        self._longest_ms = interval_ms * 3 // 2
        self._register_size = register_size

    def increases(self, rows: Rows, ranks: Int64, stamps: Int64, readings: Float64) -> Float64:
        """Increase of each reading over the one before it, an interval earlier. NaN where there is
        none, and where the meter was reset. Rows are sorted, `ranks` count equal ones."""
        first = ranks == 0
        before = np.where(first, self._readings[rows], np.r_[0.0, readings[:-1]][: len(rows)])
        then = np.where(first, self._stamps[rows], np.r_[0, stamps[:-1]][: len(rows)])
        increase = readings - before
        if self._register_size is not None:
            increase = np.where(increase < 0, increase + self._register_size, increase)
        known = (then > 0) & (stamps - then <= self._longest_ms) & (increase >= 0)
        self._readings[rows] = readings  # the last one of a row stays
        self._stamps[rows] = stamps
        return np.where(known, increase, np.nan)

    def forget(self, row: int) -> None:
        """Make a row new."""
        self._stamps[row] = 0
