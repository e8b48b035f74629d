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
    """Losses of one model [n]; `covered` is the share of readings between the outermost
    quantiles."""

    error: Float64
    pinball: Float64
    covered: Float64

    def of(self, which: slice | NDArray[np.intp]) -> Losses:
        """Those of some forecasts."""
        return Losses(self.error[which], self.pinball[which], self.covered[which])

    def per(self, unit: Float64) -> Losses:
        """The losses in units [n]."""
        return Losses(self.error / unit, self.pinball / unit, self.covered)


class Pairs(NamedTuple):
    """Forecasts of both models for the same readings, by series and stamp."""

    series: Int64  # [n]
    stamps: Int64  # [n], ms
    champion: Losses
    challenger: Losses

    def of(self, which: slice) -> Pairs:
        """Some of them."""
        return Pairs(
            self.series[which],
            self.stamps[which],
            self.champion.of(which),
            self.challenger.of(which),
        )


class Placed(NamedTuple):
    """Series and stamps of forecasts [n], each once."""

    series: Int64
    stamps: Int64


def matching(one: Placed, other: Placed) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indexes of the forecasts that stand in both, by series and stamp."""
    stamps = np.concatenate([one.stamps, other.stamps])
    earliest = int(stamps.min()) if len(stamps) else 0
    span = int(stamps.max(initial=earliest)) - earliest + 1
    first, second = (each.series * span + (each.stamps - earliest) for each in (one, other))
    _, ours, theirs = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return ours, theirs


def units(forecasts: Scored) -> Float64:
    """The mean absolute change of the readings of each series, by its number; 0 if unknown."""
    series, readings = forecasts.series, forecasts.readings
    follows = np.diff(series) == 0
    size = int(series.max(initial=-1)) + 1
    changes = np.bincount(series[1:][follows], np.abs(np.diff(readings))[follows], size)
    counts = np.bincount(series[1:][follows], minlength=size)
    unit: Float64 = changes / np.maximum(counts, 1)
    return unit


def losses(residuals: Float64, levels: Levels) -> Losses:
    """Losses from residuals [n, levels]; the quantile loss is doubled, so that it is the error
    for a point forecast."""
    quantiles = np.array(levels)
    pinball = 2 * np.maximum(quantiles * residuals, (quantiles - 1) * residuals).mean(axis=1)
    inside = (residuals[:, 0] >= 0) & (residuals[:, -1] <= 0)
    error = np.abs(residuals[:, levels.index(MEDIAN)])
    return Losses(error, pinball, inside.astype(np.float64))
