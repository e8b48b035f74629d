"""One-step forecasts that have met their reading, of a topic or of a replay, as columns.

A record holds the reading and what had been forecast for it, so a forecast is scored from its
record alone. What is kept is the *residual*, the reading minus each quantile, from which every
score follows; quantile levels that two models share are chosen once all has been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.monitor.decode import Decoded, Series
from eddycast.service.records import Float64, Int64

Levels = tuple[float, ...]
MEDIAN = 0.5


@dataclass(frozen=True, slots=True)
class Scored:
    """Forecasts by series and stamp, in this order, each once."""

    series: Int64  # [n] numbers, the same in every topic of a comparison
    stamps: Int64  # [n] of the readings, ms
    readings: Float64  # [n]
    residuals: NDArray[np.float32]  # [n, levels]

    def of(self, which: NDArray[np.intp]) -> Scored:
        """Some of them."""
        return Scored(
            self.series[which], self.stamps[which], self.readings[which], self.residuals[which]
        )


class Met(NamedTuple):
    """Forecasts one step ahead beside the readings that they were for; NaN = none."""

    series: Int64  # [n]
    stamps: Int64  # [n] of the readings, ms
    expected: Float64  # [n, levels]
    errors: Float64  # [n], readings minus medians


class Numbers:
    """Numbers of series, from 0 on, the same in every topic."""

    def __init__(self) -> None:
        self.names: dict[Series, int] = {}

    def of(self, series: Sequence[Series]) -> Int64:
        """The number of each."""
        numbers = (self.names.setdefault(name, len(self.names)) for name in series)
        return np.fromiter(numbers, np.int64, len(series))


@dataclass(slots=True)
class ForecastColumns:
    """Collects the forecasts of one model or topic."""

    name: str
    numbers: Numbers
    models: dict[str, None] = field(default_factory=dict)  # labels, in the order of appearance
    records: int = 0
    intervals: set[int] = field(default_factory=set)  # ms
    #: Interval, ms, and leads of its multi-step forecasts.
    fans: set[tuple[int, tuple[int, ...]]] = field(default_factory=set)
    _chunks: list[tuple[Levels, Scored]] = field(default_factory=list)

    def add(self, decoded: Decoded) -> None:
        """Add what a poll brought."""
        self.records += decoded.records
        for shape, forecasts in decoded.groups.items():
            self.models |= dict.fromkeys(forecasts.models)
            if np.isfinite(forecasts.fans).any():
                self.fans.add((shape.forecast_interval_ms, shape.leads))
            numbers = self.numbers.of(forecasts.series)
            met = Met(numbers, forecasts.stamps, forecasts.expected, forecasts.errors)
            self.add_met(met, shape.quantiles, shape.interval_ms)

    def add_met(self, met: Met, levels: Levels, interval_ms: int) -> None:
        """Add forecasts and their errors; those without either are passed over."""
        self.intervals.add(interval_ms)
        known = np.isfinite(met.errors) & np.isfinite(met.expected).all(axis=1)
        expected, errors = met.expected[known], met.errors[known]
        middle = min(range(len(levels)), key=lambda i: abs(levels[i] - MEDIAN))
        median = expected[:, middle]
        residuals = (errors[:, None] + (median[:, None] - expected)).astype(np.float32)
        columns = met.series[known], met.stamps[known], errors + median
        self._chunks.append((levels, Scored(*columns, residuals)))

    def levels(self) -> set[float]:
        """The quantile levels of all of its forecasts."""
        return set.intersection(*(set(levels) for levels, _ in self._chunks))

    def columns(self, levels: Levels) -> Scored:
        """All forecasts at these levels."""
        chosen = [(scored, [own.index(level) for level in levels]) for own, scored in self._chunks]
        series = np.concatenate([scored.series for scored, _ in chosen])
        stamps = np.concatenate([scored.stamps for scored, _ in chosen])
        readings = np.concatenate([scored.readings for scored, _ in chosen])
        residuals = np.concatenate([scored.residuals[:, which] for scored, which in chosen])
        order = latest(series, stamps)
        return Scored(series[order], stamps[order], readings[order], residuals[order])


def latest(series: Int64, stamps: Int64) -> NDArray[np.intp]:
    """Indexes of forecasts by series and stamp; of several of one reading that of the last."""
    order = np.lexsort((stamps, series))
    is_last = np.ones(len(order), np.bool_)
    is_last[:-1] = (np.diff(series[order]) != 0) | (np.diff(stamps[order]) != 0)
    return np.asarray(order[is_last])


def common_grid(topics: Sequence[ForecastColumns]) -> tuple[int, Levels]:
    """The interval of all forecasts, ms, and the quantile levels that they share, rising. Raises
    DataError for a topic without forecasts, and if they share no interval or median."""
    for one in topics:
        if not one.intervals:
            raise DataError(
                f"{one.name} holds no forecasts in {one.records:,} records",
                "name the champion's topic with --topics.output, and the challenger's",
            )
    named = " and ".join(one.name for one in topics)
    intervals = sorted(set[int]().union(*(one.intervals for one in topics)))
    levels = tuple(sorted(set.intersection(*(one.levels() for one in topics))))
    if len(intervals) > 1:
        shown = ", ".join(map(format_duration, intervals))
        raise DataError(
            f"{named} hold forecasts of several intervals: {shown}", "compare models of one grid"
        )
    if MEDIAN not in levels:
        raise DataError(f"{named} share no median", "compare models with equal quantile levels")
    return intervals[0], levels
