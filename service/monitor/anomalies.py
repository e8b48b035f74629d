"""The latest anomalies of all streams: readings that would come so seldom if nothing were wrong.

The `anomaly` of a record is the rank of its surprise among those of its own stream, so a share p
of a healthy stream's readings lies above 1 - p, whatever its unit or model. The threshold of a
stream follows from its interval and the wanted number of false alarms a week.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor.decode import Forecasts, Series
from eddycast.service.monitor.shape import Shape

WEEK_MS = 604_800_000
#: Anomalies that are kept.
KEPT = 1_000


class Alarm(NamedTuple):
    """One reading beyond the threshold."""

    series: Series
    timestamp: int
    value: float
    low: float  # outermost quantiles of what was expected; NaN where the record has nothing
    high: float
    nominal: float  # part of readings that should be between them
    anomaly: float
    surprise: float
    model: str


def threshold(shape: Shape, per_week: float) -> float:
    """Anomaly that a stream's readings exceed `per_week` times a week by chance."""
    return max(0.0, 1.0 - per_week * shape.interval_ms / WEEK_MS)


class Alarms:
    """The latest `KEPT` anomalies, in the order of their records."""

    def __init__(self, per_week: float) -> None:
        self._per_week = per_week
        self.latest: deque[Alarm] = deque(maxlen=KEPT)
        self.total = 0

    def add(self, shape: Shape, new: Forecasts, is_new: NDArray[np.bool_]) -> list[Alarm]:
        """Add the anomalies among new forecasts of streams that are warm, and return them."""
        beyond = new.anomaly >= np.float32(threshold(shape, self._per_week))
        found = [
            Alarm(
                new.series[i],
                int(new.stamps[i]),
                float(new.values[i]),
                float(new.expected[i, 0]),
                float(new.expected[i, -1]),
                shape.nominal,
                float(new.anomaly[i]),
                float(new.surprise[i]),
                new.models[i],
            )
            for i in np.flatnonzero(beyond & new.warm & is_new).tolist()
        ]
        self.total += len(found)
        self.latest += found
        return found
