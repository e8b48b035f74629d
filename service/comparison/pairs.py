"""Forecasts of two models for the same readings, and their losses.

A loss is in units of its series: the mean absolute change from one reading to the next, the error
of repeating the last value. It is the same for both models, so it decides only how much a series
weighs beside others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.comparison.forecast_columns import MEDIAN, Levels, Scored
from eddycast.service.records import Float64, Int64


class Losses(NamedTuple):
    """Losses of one model [n]; `covered` is 1 where the reading lies between the outermost
    quantiles, else 0."""

    error: Float64
    pinball: Float64
    covered: Float64


class Pairs(NamedTuple):
    """Readings that both models have forecast, by series and stamp."""

    series: Int64  # [n]
    stamps: Int64  # [n], ms
    champion: Losses
    challenger: Losses


def paired_forecasts(champion: Scored, challenger: Scored) -> tuple[Scored, Scored]:
    """The forecasts of readings that stand in both, in the same order."""
    first, second = _keys(champion, challenger)
    _, ours, theirs = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return _taken(champion, ours), _taken(challenger, theirs)


def losses_of(champion: Scored, challenger: Scored, levels: Levels) -> tuple[Pairs, int]:
    """The losses of paired forecasts, and the number of series left out: those whose readings never
    change have no unit."""
    unit = _units(champion)
    known = unit > 0
    left_out = len(np.unique(champion.series)) - len(np.unique(champion.series[known]))
    first, second = (
        _losses(one.residuals[known].astype(np.float64), unit[known], levels)
        for one in (champion, challenger)
    )
    return Pairs(champion.series[known], champion.stamps[known], first, second), left_out


def between(forecasts: Scored, start_ms: int, end_ms: int) -> Scored:
    """Those of readings from `start_ms` to `end_ms`, both included."""
    inside = (forecasts.stamps >= start_ms) & (forecasts.stamps <= end_ms)
    return _taken(forecasts, np.flatnonzero(inside))


def _taken(forecasts: Scored, which: NDArray[np.intp]) -> Scored:
    return Scored(
        forecasts.series[which],
        forecasts.stamps[which],
        forecasts.readings[which],
        forecasts.residuals[which],
    )


def _keys(*both: Scored) -> list[Int64]:
    """One number for each series and stamp, rising."""
    stamps = np.concatenate([one.stamps for one in both])
    earliest = int(stamps.min()) if len(stamps) else 0
    span = int(stamps.max(initial=earliest)) - earliest + 1
    return [one.series * span + (one.stamps - earliest) for one in both]


def _units(forecasts: Scored) -> Float64:
    """The mean absolute change of the readings of each entry's series [n]; 0 if unknown."""
    series, readings = forecasts.series, forecasts.readings
    follows = np.diff(series) == 0
    size = int(series.max(initial=-1)) + 1
    changes = np.bincount(series[1:][follows], np.abs(np.diff(readings))[follows], size)
    counts = np.bincount(series[1:][follows], minlength=size)
    unit: Float64 = (changes / np.maximum(counts, 1))[series]
    return unit


def _losses(residuals: Float64, unit: Float64, levels: Levels) -> Losses:
    """Losses from residuals [n, levels]; the quantile loss is doubled, so that it is the error
    for a point forecast."""
    quantiles = np.array(levels)
    pinball = 2 * np.maximum(quantiles * residuals, (quantiles - 1) * residuals).mean(axis=1)
    inside = (residuals[:, 0] >= 0) & (residuals[:, -1] <= 0)
    error = np.abs(residuals[:, levels.index(MEDIAN)])
    return Losses(error / unit, pinball / unit, inside.astype(np.float64))
