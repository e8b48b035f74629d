"""Measures of forecasts, summed over chunks: only a few sums per origin are kept.

A measure is a ratio of sums over origins and leads; a missing target counts nowhere. Over several
streams the sums are pooled, or (`by_stream`, as the protocol selects) wql and mase are the mean
over streams of each one's own. Then no stream weighs more than another, however large its values; a
stream without a value has no wql, one without a denominator no mase, and neither is averaged. mse,
mae and coverage are always pooled: a mean over streams would still be in the unit of the largest,
and a share of targets is a share of all of them.

mse          mean of (y - median)^2
mae          mean of |y - median|
wql          weighted quantile loss: the mean over the levels q of
             sum 2 (q - [y < f_q]) (y - f_q) / sum |y|
             (Gneiting & Raftery 2007 for the loss; the weighting of the GluonTS and GIFT-Eval
             benchmarks). A point forecast has one level, .5, where it is the weighted absolute
             error: the loss of a point forecast at any set of levels symmetric about .5.
mase         mean of |y - median| / scale, with a stream's own scale: the mean of |y_t - y_{t-m}|
             before the hold-out, m steps = one season, or 1 without one (Hyndman & Koehler 2006)
coverage_80  share of targets inside [f_.1, f_.9]; None for a point forecast

mse, mae and a pooled wql depend on the scale of the values: over streams of different units the
largest dominate. Each protocol states its scale (`eddycast.training.evaluation.protocols`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from eddycast.service.bundle import BacktestFigure
from eddycast.service.comparison.significance import Difference
from eddycast.service.records import Float64, Int64

_BY_ORIGIN = ("mse", "mae", "wql")
_SUMS = (*_BY_ORIGIN, "mase", "targets", "size", "scaled", "covered")


class Figure(BacktestFigure):
    """One row of a backtest's results; `stream` is None for all streams together."""

    stream: str | None = None
    task: str = ""  # name of the task, if a protocol has several
    # streams whose MASE denominator is 0 or unknown: reported, not averaged
    unscaled: tuple[str, ...] = ()
    # baseline -> measure -> difference
    against: dict[str, dict[str, Difference]] = Field(default_factory=dict)
    relative_mase: float | None = None  # relative to a published baseline
    relative_wql: float | None = None


class Scores:
    """Sums of one model on one task, by stream and by origin.
    `levels` are the quantiles of its forecasts."""

    def __init__(
        self, levels: Sequence[float], shape: tuple[int, ...], *, by_stream: bool = False
    ) -> None:
        """`shape` is (streams, origins). With `by_stream`,
        wql and mase of all streams are means over streams."""
        self._by_stream = by_stream
        self._levels = np.asarray(levels, np.float64)
        self._median = list(levels).index(0.5)
        self._interval = (
            (list(levels).index(0.1), list(levels).index(0.9))
            if {0.1, 0.9} <= set(levels)
            else None
        )
        self._sums = {name: np.zeros(shape[0]) for name in _SUMS}
        self._pooled = {name: np.zeros(shape[1]) for name in _BY_ORIGIN}
        #: Losses of wql, [streams, origins]: the weight of a stream is known only at the end.
        self._apart = np.zeros(shape if by_stream else (0, 0))

    def add(
        self,
        stream: Int64,
        origin: Int64,
        target: Float64,
        forecast: NDArray[np.floating],
        mase_scale: Float64,
    ) -> None:
        """Add forecasts: stream [n] and origin [n] are indices, target [n, leads], forecast [n,
        leads, levels]. `mase_scale` [n] are denominators (see `mase_scales`); NaN or 0 leaves an
        origin out of MASE."""
        error = target - forecast[..., self._median]
        known = ~np.isnan(error)
        absolute = np.nansum(np.abs(error), axis=1)
        scaled = np.nan_to_num(mase_scale) > 0
        counts = known.sum(axis=1)
        loss = np.zeros_like(target)
        for i, level in enumerate(self._levels):
            loss += pinball(target - forecast[..., i], level)
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
        for name, total in self._pooled.items():
            np.add.at(total, origin, cells[name])
        if self._by_stream:
            np.add.at(self._apart, (stream, origin), cells["wql"])

    @property
    def by_origin(self) -> dict[str, Float64]:
        """measure -> losses [origins] over streams and leads: the contribution of each origin to
        the measure, up to a factor that is the same for all models on the same targets."""
        if not self._by_stream:
            return self._pooled
        size = self._sums["size"]
        weight = np.divide(1.0, size, where=size > 0, out=np.zeros_like(size))
        return {**self._pooled, "wql": weight @ self._apart}

    def figure(self, model: str, horizon: int, origins: int) -> Figure:
        """The figure of all streams together."""
        return self._figure(model, horizon, origins, np.arange(len(self._sums["targets"])), None)

    def stream_figure(
        self, model: str, horizon: int, origins: int, index: int, name: str
    ) -> Figure:
        """The figure of one stream."""
        return self._figure(model, horizon, origins, np.array([index]), name)

    def _figure(
        self, model: str, horizon: int, origins: int, rows: Int64, name: str | None
    ) -> Figure:
        total = {sum_: float(column[rows].sum()) for sum_, column in self._sums.items()}
        return Figure(
            model=model,
            horizon=horizon,
            origins=origins,
            mse=_ratio(total["mse"], total["targets"]),
            mae=_ratio(total["mae"], total["targets"]),
            wql=self._over_streams("wql", "size", rows),
            mase=self._over_streams("mase", "scaled", rows),
            coverage_80=_ratio(total["covered"], total["targets"]) if self._interval else None,
            stream=name,
        )

    def _over_streams(self, part: str, whole: str, rows: Int64) -> float | None:
        """The ratio of two sums over the streams `rows`:
        pooled, or the mean of each stream's own."""
        parts, wholes = self._sums[part][rows], self._sums[whole][rows]
        if not self._by_stream:
            return _ratio(float(parts.sum()), float(wholes.sum()))
        known = wholes > 0
        return float((parts[known] / wholes[known]).mean()) if known.any() else None


def pinball(error: NDArray[np.floating], levels: float | Float64) -> NDArray[np.floating]:
    """The quantile loss of `error` = target - forecast, elementwise, for quantiles of these levels
    (Koenker and Bassett, 1978). `eddycast.training.models.quantiles.density.pinball` is the same
    for tensors, averaged over the levels."""
    return np.maximum(levels * error, (levels - 1) * error)


def mase_scales(values: Float64, season: int) -> Float64:
    """Means of |y_t - y_{t-season}| over the pairs of `values` [streams, T] with both observed,
    [streams]; NaN without any."""
    distance = np.abs(values[:, season:] - values[:, :-season])
    pairs = np.count_nonzero(~np.isnan(distance), axis=1)
    return np.where(pairs > 0, np.nansum(distance, axis=1) / np.maximum(pairs, 1), np.nan)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
