"""How good forecasts were, summed up over chunks: of an origin only a few sums are kept.

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
speak of the largest ones. The protocol says which scale was used (`training.protocols`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.bundle import BacktestFigure
from service.records import Float64, Int64
from training.significance import Difference

_BY_ORIGIN = ("mse", "mae", "wql")
_SUMS = (*_BY_ORIGIN, "mase", "targets", "size", "scaled", "covered")


class Figure(BacktestFigure):
    """One row of a backtest's results; `stream` is None where all streams are pooled."""

    stream: str | None = None
    task: str = ""  # where a protocol has several at one horizon
    unscaled: tuple[str, ...] = ()  # streams whose MASE denominator is 0 or unknown: reported, not averaged
    against: dict[str, dict[str, Difference]] = Field(default_factory=dict)  # yardstick, measure
    relative_mase: float | None = None  # to a published yardstick
    relative_wql: float | None = None


class Scores:
    """Sums of one model on one task, by stream and by origin. `levels` are the quantiles of its forecasts."""

    def __init__(self, levels: Sequence[float], shape: tuple[int, ...]) -> None:
        """`shape` is (streams, origins)."""
        self._levels = np.asarray(levels, np.float64)
        self._median = list(levels).index(0.5)
        self._interval = (list(levels).index(0.1), list(levels).index(0.9)) if {0.1, 0.9} <= set(levels) else None
        self._sums = {name: np.zeros(shape[0]) for name in _SUMS}
        #: measure -> [origins] the sum of its loss over streams and leads
        self.by_origin = {name: np.zeros(shape[1]) for name in _BY_ORIGIN}

    def add(
        self, stream: Int64, origin: Int64, target: Float64, forecast: NDArray[np.floating], mase_scale: Float64
    ) -> None:
        """Count some origins: stream [n] and origin [n] are indices, target [n, leads], forecast [n, leads, levels].
        `mase_scale` [n]: see `mase_scales`; NaN or 0 leaves an origin out of MASE."""
        error = target - forecast[..., self._median]
        known = ~np.isnan(error)
        absolute = np.nansum(np.abs(error), axis=1)
        scaled = np.nan_to_num(mase_scale) > 0
        counts = known.sum(axis=1)
        loss = np.zeros_like(target)
        for i, level in enumerate(self._levels):
            distance = target - forecast[..., i]
            loss += np.maximum(level * distance, (level - 1) * distance)
        cells = {
            "targets": counts,
            "size": np.abs(target, where=known, out=np.zeros_like(target)).sum(axis=1),
            "mse": np.nansum(error**2, axis=1),
            "mae": absolute,
            "wql": np.nansum(loss, axis=1) * (2 / len(self._levels)),
            "mase": np.where(scaled, absolute, 0.0) / np.where(scaled, mase_scale, 1.0),
            "scaled": np.where(scaled, counts, 0),
        }
        if self._interval:
            low, high = (forecast[..., i] for i in self._interval)
            cells["covered"] = ((target >= low) & (target <= high)).sum(axis=1)
        for name, cell in cells.items():
            self._sums[name] += np.bincount(stream, cell, len(self._sums[name]))
        for name, total in self.by_origin.items():
            np.add.at(total, origin, cells[name])

    def figure(self, model: str, horizon: int, origins: int) -> Figure:
        """All streams pooled."""
        return self._figure(model, horizon, origins, np.arange(len(self._sums["targets"])), None)

    def stream_figure(self, model: str, horizon: int, origins: int, index: int, name: str) -> Figure:
        """One stream alone."""
        return self._figure(model, horizon, origins, np.array([index]), name)

    def _figure(self, model: str, horizon: int, origins: int, rows: Int64, name: str | None) -> Figure:
        total = {sum_: float(column[rows].sum()) for sum_, column in self._sums.items()}
        return Figure(
            model=model,
            horizon=horizon,
            origins=origins,
            mse=_ratio(total["mse"], total["targets"]),
            mae=_ratio(total["mae"], total["targets"]),
            wql=_ratio(total["wql"], total["size"]),
            mase=_ratio(total["mase"], total["scaled"]),
            coverage_80=_ratio(total["covered"], total["targets"]) if self._interval else None,
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
