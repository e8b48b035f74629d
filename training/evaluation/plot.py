"""Pictures of forecasts against observed values (matplotlib, extra `demo`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.durations import format_duration
from eddycast.service.errors import MissingExtra
from eddycast.service.model.loading import load_runtime
from eddycast.service.records import Float64, Int64
from eddycast.training.data.panel import Panel
from eddycast.training.data.slot_means import trailing_means
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import check_fit, target_streams
from eddycast.training.evaluation.driving import drive
from eddycast.training.evaluation.protocols.scoring import Chunk

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Most forecasts shown of each stream, and most streams shown.
WINDOWS = 7
STREAMS = 4
DAY_MS = 86_400_000
_OBSERVED, _FORECAST = "#222222", "#1f6fb4"


class Gallery:
    """Keeps the few forecasts that a picture shows: the last `WINDOWS` of each stream that do not
    overlap and whose targets are known. Memory does not grow with the history."""

    def __init__(
        self, panel: Panel, manifest: Manifest, end: int, streams: Sequence[str] = ()
    ) -> None:
        """`end` is the number of rows of the panel that may be shown, `streams` the streams to show
        (default: the first `STREAMS`). Raises MissingExtra without matplotlib."""
        require_matplotlib()
        self._panel, self._levels, self._model = panel, manifest.quantiles, manifest.label
        self._stride = manifest.forecast_interval_ms // manifest.interval_ms
        self._span = manifest.horizon * self._stride
        self._end = end
        self.shown = [panel.streams.index(name) for name in streams] or list(
            range(min(STREAMS, len(panel.streams)))
        )
        self._origins = np.stack([self._choose(i) for i in self.shown])  # [shown, WINDOWS]
        shape = (*self._origins.shape, manifest.horizon, len(self._levels))
        self._forecasts = np.full(shape, np.nan)

    def _choose(self, stream: int) -> Int64:
        """Origins back from the stream's last value, one horizon apart;
        negative ones do not exist."""
        seen = np.flatnonzero(~np.isnan(self._panel.values[stream, : self._end]))
        last = int(seen[-1]) if len(seen) else -1
        return last - self._span * np.arange(WINDOWS, 0, -1)

    @property
    def origins(self) -> Int64:
        """The rows of the kept forecasts, rising."""
        return np.unique(self._origins[self._origins >= 0])

    def add(self, chunk: Chunk) -> None:
        """Keep the forecasts of a chunk that the picture shows."""
        for place, stream in enumerate(self.shown):
            wanted = np.flatnonzero(
                (chunk.stream == stream) & np.isin(chunk.row, self._origins[place])
            )
            which = np.searchsorted(self._origins[place], chunk.row[wanted])
            self._forecasts[place, which] = chunk.multi_step[wanted]

    def draw(self, path: Path, title: str, units: Mapping[str, str] | None = None) -> None:
        """Write a PNG: a row for each stream, its last forecasts on the left,
        the very last one as a fan on the right."""
        from matplotlib.figure import Figure

        rows = len(self.shown)
        figure = Figure(figsize=(15, 1 + 2.7 * rows), layout="constrained", dpi=110)
        axes = figure.subplots(rows, 2, squeeze=False, width_ratios=[3, 1.1])
        for place, stream in enumerate(self.shown):
            name = self._panel.streams[stream]
            unit = (units or {}).get(name, "")
            self._draw_windows(axes[place, 0], place)
            self._draw_fan(axes[place, 1], place)
            axes[place, 0].set_ylabel(f"{name}\n{unit}" if unit else name)
        ahead = format_duration(self._span * self._panel.interval_ms)
        axes[0, 0].set_title(
            f"{self._model}: each forecast starts at a dotted line and looks {ahead} ahead",
            fontsize=10,
        )
        axes[0, 1].set_title("the last one, all quantiles", fontsize=10)
        axes[0, 0].legend(loc="upper left", fontsize=8, ncols=3)
        figure.suptitle(title)
        for axis in axes[-1]:
            axis.set_xlabel("time (UTC)")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)

    def _draw_windows(self, axis: Axes, place: int) -> None:
        """Observed values, and the median and 80 % interval of every kept forecast."""
        origins = self._origins[place]
        self._draw_observed(
            axis, place, int(origins[0]) - self._span // 2, int(origins[-1]) + self._span
        )
        low, median, high = (self._levels.index(level) for level in (0.1, 0.5, 0.9))
        for i, origin in enumerate(origins.tolist()):
            forecast = self._forecasts[place, i]
            if np.isnan(forecast).all():
                continue
            times = self._times(origin + self._stride * np.arange(1, len(forecast) + 1))
            band, line = (
                ("80 % interval", "median forecast") if i == len(origins) - 1 else (None, None)
            )
            axis.fill_between(
                times,
                forecast[:, low],
                forecast[:, high],
                color=_FORECAST,
                alpha=0.25,
                lw=0,
                label=band,
            )
            axis.plot(times, forecast[:, median], color=_FORECAST, lw=1.4, label=line)
            axis.axvline(self._times(np.array([origin]))[0], color="#999999", lw=0.7, ls=":")
        _tidy(axis)

    def _draw_fan(self, axis: Axes, place: int) -> None:
        """The last forecast as nested intervals, after a past of the same length."""
        origin, forecast = int(self._origins[place, -1]), self._forecasts[place, -1]
        self._draw_observed(axis, place, origin - self._span, origin + self._span)
        times = self._times(origin + self._stride * np.arange(1, len(forecast) + 1))
        pairs = len(self._levels) // 2
        for i in range(pairs):
            axis.fill_between(
                times, forecast[:, i], forecast[:, -1 - i], color=_FORECAST, alpha=0.5 / pairs, lw=0
            )
        axis.plot(times, forecast[:, self._levels.index(0.5)], color=_FORECAST, lw=1.4)
        axis.axvline(self._times(np.array([origin]))[0], color="#999999", lw=0.7, ls=":")
        _tidy(axis, 5)

    def _draw_observed(self, axis: Axes, place: int, start: int, stop: int) -> None:
        rows = np.arange(max(0, start), min(stop + 1, self._end))
        values: Float64 = trailing_means(self._panel.values[[self.shown[place]]], self._stride)[0]
        axis.plot(self._times(rows), values[rows], color=_OBSERVED, lw=1.1, label="observed")

    def _times(self, rows: Int64) -> Float64:
        """Rows as matplotlib dates: days since the epoch, UTC."""
        return (int(self._panel.timestamps[0]) + rows * self._panel.interval_ms) / DAY_MS


def plot_forecasts(
    path: Path,
    bundle: Path,
    panel: Panel,
    split: Split,
    *,
    title: str = "Forecasts on the hold-out against observed values",
    streams: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
) -> None:
    """Forecast a panel with a bundle, and write the picture of the end of its hold-out to `path`
    (PNG).

    Raises DataError and BundleError as `eddycast.training.evaluation.backtest.backtest` does,
    MissingExtra without matplotlib.
    """
    require_matplotlib()
    runtime = load_runtime(bundle)
    check_fit(runtime.manifest, panel)
    gallery = Gallery(target_streams(panel, runtime.manifest), runtime.manifest, split.end, streams)
    for chunk in drive(runtime, panel.rows(0, split.end), gallery.origins):
        gallery.add(chunk)
    gallery.draw(path, title, units)


def require_matplotlib() -> None:
    """Raises MissingExtra without matplotlib."""
    if find_spec("matplotlib") is None:
        raise MissingExtra("pictures need matplotlib", "pip install 'eddycast[demo]'")


def _tidy(axis: Axes, ticks: int = 9) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=ticks)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axis.grid(alpha=0.25)
    axis.margins(x=0.01)
    axis.spines[["top", "right"]].set_visible(False)
