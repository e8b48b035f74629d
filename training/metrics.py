"""How good forecasts were, summed up over chunks: memory does not grow with the number of origins.

Every measure is a ratio of sums over origins, leads and streams; a missing target counts nowhere.

mse          mean of (y - median)^2
mae          mean of |y - median|
wql          weighted quantile loss: the mean over the levels q of  sum 2 (q - [y < f_q]) (y - f_q)  /  sum |y|
             (Gneiting & Raftery 2007 for the loss; the weighting of the GluonTS and GIFT-Eval benchmarks). A point
             forecast has one level, .5, where it is the weighted absolute error: what a point forecast's loss is
             at any set of levels symmetric about .5.
mase         mean of |y - median| / scale, the scale being a stream's own: the mean of |y_t - y_{t-m}| before the
             hold-out, m steps = one season, or 1 without one (Hyndman & Koehler 2006)
coverage_80  share of targets inside [f_.1, f_.9]; None for a point forecast

The scale of the values matters to all but the last two: pooled over streams of different units, mse, mae and wql
speak of the largest ones. The protocol says which scale was used (`training.backtest`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.bundle import BacktestFigure
from service.records import Float64, Int64


class Figure(BacktestFigure):
    """One row of a backtest's results; `stream` is None where all streams are pooled."""

    stream: str | None = None


class Scores:
    """Sums by stream for one model at one horizon. `levels` are the quantiles of the forecasts that it is given."""

    def __init__(self, levels: Sequence[float], mase_scale: Float64) -> None:
        """`mase_scale` [streams]: see `mase_scales`; NaN or 0 leaves a stream out of MASE."""
        streams = len(mase_scale)
        self._levels = np.asarray(levels, np.float64)
        self._median = list(levels).index(0.5)
        self._interval = (list(levels).index(0.1), list(levels).index(0.9)) if {0.1, 0.9} <= set(levels) else None
        self._mase_scale = mase_scale
        self._targets = np.zeros(streams)
        self._size = np.zeros(streams)
        self._squared = np.zeros(streams)
        self._absolute = np.zeros(streams)
        self._pinball = np.zeros(streams)
        self._covered = np.zeros(streams)

    def add(self, stream: Int64, target: Float64, forecast: NDArray[np.floating]) -> None:
        """Count some origins: stream [n] their streams' indices, target [n, leads], forecast [n, leads, levels]."""
        error = target - forecast[..., self._median]
        self._sum(self._targets, stream, ~np.isnan(error))
        self._sum(self._size, stream, np.abs(np.where(np.isnan(error), np.nan, target)))
        self._sum(self._squared, stream, error**2)
        self._sum(self._absolute, stream, np.abs(error))
        loss = np.zeros_like(target)
        for i, level in enumerate(self._levels):
            distance = target - forecast[..., i]
            loss += np.maximum(level * distance, (level - 1) * distance)
        self._sum(self._pinball, stream, loss * (2 / len(self._levels)))
        if self._interval:
            low, high = (forecast[..., i] for i in self._interval)
            self._sum(self._covered, stream, (target >= low) & (target <= high))

    @staticmethod
    def _sum(total: Float64, stream: Int64, cells: NDArray[np.generic]) -> None:
        """Add each origin's sum over leads, NaN as nothing, to its stream's total."""
        total += np.bincount(stream, np.nansum(cells, axis=1), len(total))

    def figure(self, model: str, horizon: int, origins: int) -> Figure:
        """All streams pooled."""
        return self._figure(model, horizon, origins, np.arange(len(self._targets)), None)

    def stream_figure(self, model: str, horizon: int, origins: int, index: int, name: str) -> Figure:
        """One stream alone."""
        return self._figure(model, horizon, origins, np.array([index]), name)

    def _figure(self, model: str, horizon: int, origins: int, rows: Int64, name: str | None) -> Figure:
        targets = float(self._targets[rows].sum())
        scaled = rows[np.nan_to_num(self._mase_scale[rows]) > 0]
        scaled_error = float((self._absolute[scaled] / self._mase_scale[scaled]).sum())
        covered = float(self._covered[rows].sum())
        return Figure(
            model=model,
            horizon=horizon,
            origins=origins,
            mse=_ratio(float(self._squared[rows].sum()), targets),
            mae=_ratio(float(self._absolute[rows].sum()), targets),
            wql=_ratio(float(self._pinball[rows].sum()), float(self._size[rows].sum())),
            mase=_ratio(scaled_error, float(self._targets[scaled].sum())),
            coverage_80=_ratio(covered, targets) if self._interval else None,
            stream=name,
        )


def mase_scales(values: Float64, season: int) -> Float64:
    """[streams] the mean of |y_t - y_{t-season}| over the pairs of `values` [streams, T] that were both observed; NaN
    where there are none."""
    distance = np.abs(values[:, season:] - values[:, :-season])
    pairs = np.count_nonzero(~np.isnan(distance), axis=1)
    return np.where(pairs > 0, np.nansum(distance, axis=1) / np.maximum(pairs, 1), np.nan)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
