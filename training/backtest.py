"""Backtests: an exported bundle, driven by the service's own path over history, judged beside the yardsticks.

All observations pass once, in time order, so the state is carried from the first row to the last; at every origin the
forecast is made before the next observation is seen. An origin is the last row known to a forecast; the first one is
the last row before the hold-out, the last one has all its targets inside the hold-out.

protocol  judged on                                                   comparable with
rolling   raw values                                                  other runs on the same data
ltsf      every stream z-scored by its mean and deviation in train    the long-term forecasting literature (LTSF)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.bundle import Manifest, read_manifest
from service.errors import DataError
from service.history import History
from service.model.runtime import Runtime
from service.records import Float64, Int64
from service.replay import replay
from service.simulator import merge
from training import yardsticks
from training.data import Panel, Split, format_duration, make_panel
from training.metrics import Figure, Scores, mase_scales

PROTOCOLS = ("rolling", "ltsf")

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Forecasts of one target made at `n` origins, on the raw scale."""

    stream: Int64  # [n] index among the panel's streams
    row: Int64  # [n] the origin's row in the panel
    one_step: Array  # [n, quantiles]
    multi_step: Array  # [n, horizon, quantiles]


def backtest(
    bundle: Path,
    data: Panel | History,
    protocol: str,
    split: Split,
    *,
    horizons: Sequence[int] | None = None,
    season_ms: int | None = None,
    per_stream: bool = False,
) -> list[Figure]:
    """Score a bundle and the yardsticks on the hold-out.

    One figure for each model and horizon (`horizons`, the bundle's own unless given), then one for each model one step
    ahead; `per_stream` adds one for each stream. `season_ms` serves seasonal naive and MASE (the bundle's shortest
    unless given). Raises DataError if the data does not fit, BundleError if the bundle is not sound.
    """
    manifest = read_manifest(bundle)
    panel = data if isinstance(data, Panel) else make_panel(data, manifest.interval_ms, manifest.max_gap)
    check_fit(manifest, panel)
    season_ms = season_ms or min(manifest.seasons_ms, default=None)
    stride = manifest.forecast_interval_ms // manifest.interval_ms
    task = make_task(panel, protocol, split, season_ms)
    judges = [
        Judge(task, manifest.name, manifest.quantiles, horizon, stride) for horizon in horizons or (manifest.horizon,)
    ]
    if max(judge.horizon for judge in judges) > manifest.horizon:
        raise DataError(f"the bundle forecasts {manifest.horizon} steps ahead", "ask for a shorter horizon")
    one_step = Judge(task, manifest.name, manifest.quantiles, 1, 1)
    for chunk in drive(Runtime.load(bundle), panel.rows(0, split.end), split.validation_end - 1):
        for judge in judges:
            judge.add(chunk.stream, chunk.row, chunk.multi_step[:, : judge.horizon])
        one_step.add(chunk.stream, chunk.row, chunk.one_step[:, None])
    if all(judge.horizon > 1 for judge in judges):
        judges.append(one_step)
    return [figure for judge in judges for figure in judge.figures(per_stream)]


def drive(runtime: Runtime, panel: Panel, first: int) -> Iterator[Chunk]:
    """All readings of a panel through the service's own path in time order; forecasts at rows from `first` on."""
    readings = merge(panel.history())
    names = [name.encode() for name in readings.streams]
    index = np.array([panel.streams.index(name) for name in readings.streams], np.int64)
    rows = (readings.timestamps - panel.timestamps[0]) // panel.interval_ms
    values = readings.values[:, None]
    for chunk in replay(runtime, names, readings.timestamps, values, readings.stream, forecast_at=rows >= first):
        due = chunk.forecasts.has_multi
        which = chunk.index[due]
        one_step, multi_step = chunk.forecasts.one_step[due, 0], chunk.forecasts.multi_step[due, :, 0]
        yield Chunk(index[readings.stream[which]], rows[which], one_step, multi_step)


def check_fit(manifest: Manifest, panel: Panel) -> None:
    """Raises DataError unless the bundle can be scored on the panel."""
    if manifest.interval_ms != panel.interval_ms:
        raise DataError(
            f"the bundle's interval is {format_duration(manifest.interval_ms)}, "
            f"the data's {format_duration(panel.interval_ms)}",
            "read the data with the bundle's interval",
        )
    if len(manifest.channels) > 1:
        raise DataError(
            f"the bundle has the channels {', '.join(manifest.channels)}", "backtests take bundles of one channel"
        )


@dataclass(frozen=True, slots=True)
class Task:
    """What is judged and on which scale: y = (raw - centre) / scale by stream."""

    panel: Panel
    split: Split
    season: int | None  # rows
    centre: Float64  # [streams]
    scale: Float64  # [streams]

    @property
    def values(self) -> Float64:
        """[streams, T] the panel on the scale that is judged, up to the end of the hold-out."""
        return (self.panel.values[:, : self.split.end] - self.centre[:, None]) / self.scale[:, None]


def make_task(panel: Panel, protocol: str, split: Split, season_ms: int | None) -> Task:
    """Raises DataError for an unknown protocol, a season that does not fit the grid, or a split beyond the panel."""
    if protocol not in PROTOCOLS:
        raise DataError(f"no protocol {protocol!r}", f"there are {', '.join(PROTOCOLS)}")
    if split.end > len(panel):
        raise DataError(f"the split ends at row {split.end:,}, the data has {len(panel):,}", "change --split")
    if season_ms and season_ms % panel.interval_ms:
        raise DataError(
            f"a season of {format_duration(season_ms)} is not a whole number of intervals", "change --season"
        )
    season = season_ms // panel.interval_ms if season_ms else None
    streams = len(panel.streams)
    if protocol == "rolling":
        return Task(panel, split, season, np.zeros(streams), np.ones(streams))
    train = panel.values[:, : split.train_end]
    seen = ~np.isnan(train).all(axis=1)
    if not seen.all():
        name = panel.streams[int(np.argmin(seen))]
        raise DataError(f"stream {name!r} has no value in the train part", "use --protocol rolling, or leave it out")
    spread = np.nanstd(train, axis=1)
    return Task(panel, split, season, np.nanmean(train, axis=1), np.where(spread > 0, spread, 1.0))


class Judge:
    """Scores of a model and of the yardsticks at one horizon, at the same origins and on the same targets."""

    def __init__(self, task: Task, model: str, levels: Sequence[float], horizon: int, stride: int) -> None:
        """A forecast of `horizon` leads, `stride` rows apart; lead i is judged by the mean over the rows
        since lead i - 1. Raises DataError if no origin has all its targets inside the hold-out."""
        self.horizon, self._task, self._model = horizon, task, model
        self._ahead = np.arange(1, horizon + 1) * stride
        self._first, self._last = task.split.validation_end - 1, task.split.end - 1 - int(self._ahead[-1])
        if self._last < self._first:
            hold_out = task.split.end - task.split.validation_end
            raise DataError(f"a hold-out of {hold_out:,} rows has no origin for horizon {horizon}", "change --split")
        self._values = trailing_means(task.values, stride)
        self._yardsticks = {"naive": yardsticks.naive(self._values)}
        if task.season:
            self._yardsticks["seasonal_naive"] = yardsticks.seasonal_naive(self._values, task.season)
        self._yardsticks.pop(model, None)  # a bundle of the same name speaks for itself
        scales = mase_scales(self._values[:, : task.split.validation_end], task.season or stride)
        self._scores = {model: Scores(levels, scales)} | {name: Scores((0.5,), scales) for name in self._yardsticks}
        self._origins = np.zeros((len(self._values), self._last - self._first + 1), np.bool_)

    def add(self, stream: Int64, row: Int64, forecast: Array) -> None:
        """Count some origins: stream [n], row [n], forecast [n, horizon, levels] on the raw scale. Origins out of
        the hold-out are left out, and so are targets that are missing or have no forecast."""
        inside = (row >= self._first) & (row <= self._last)
        stream, row = stream[inside], row[inside]
        if not len(row):
            return
        task = self._task
        judged = (forecast[inside] - task.centre[stream, None, None]) / task.scale[stream, None, None]
        target = self._values[stream[:, None], row[:, None] + self._ahead]
        target = np.where(np.isnan(judged).any(axis=2), np.nan, target)
        self._origins[stream, row - self._first] = ~np.isnan(target).all(axis=1)
        self._scores[self._model].add(stream, target, judged)
        for name, yardstick in self._yardsticks.items():
            self._scores[name].add(stream, target, yardstick(stream, row, self._ahead)[..., None])

    def figures(self, per_stream: bool = False) -> Iterator[Figure]:
        """One figure a model, then, if asked, one a stream and model."""
        for model, scores in self._scores.items():
            yield scores.figure(model, self.horizon, int(self._origins.any(axis=0).sum()))
        if per_stream:
            for i, name in enumerate(self._task.panel.streams):
                for model, scores in self._scores.items():
                    yield scores.stream_figure(model, self.horizon, int(self._origins[i].sum()), i, name)


def trailing_means(values: Float64, width: int) -> Float64:
    """[streams, T] the mean of the observed among each row and the `width` - 1 before it; NaN where there are none."""
    if width == 1:
        return values
    padded = np.concatenate([np.full((len(values), width - 1), np.nan), values], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    observed = np.count_nonzero(~np.isnan(windows), axis=2)
    return np.where(observed > 0, np.nansum(windows, axis=2) / np.maximum(observed, 1), np.nan)
