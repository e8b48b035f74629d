"""`gift`: the windows of GIFT-Eval (Aksu et al. 2024), as on its set ett1,
for a bundle of either grid.

Prediction lengths are 48 (short), 480 (medium) and 720 (long), with min(max(1, ceil(.1 n /
length)), 20) windows each: the last ones of the data, end to end, with all history as context. MASE
of a window is relative to the mean |y_t - y_{t-m}| before it, m = one day; WQL is on raw values,
all streams pooled. The hourly data is the mean of the 15-minute readings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.service.processing.replay import usual_gap
from eddycast.service.records import Float64, Int64
from eddycast.training.data.interval import infer_interval
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.data.slot_means import slot_means
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.protocols.gift_published import SEASONAL_NAIVE, Published
from eddycast.training.evaluation.protocols.task import Task, TaskOptions, season_rows

LENGTHS = {"short": 48, "medium": 480, "long": 720}
MOST_WINDOWS = 20
DAY_MS = 86_400_000
_GRIDS = {3_600_000: "H", 900_000: "15T"}
#: The published MASE of seasonal naive has three decimals;
#: a set with another value is not the published one.
_ROUNDING = 1.5e-3


def gift_panel(history: History, manifest: Manifest) -> Panel:
    """The history on the bundle's grid, averaged if its own grid is finer."""
    return gift_grid(history, manifest.interval_ms, usual_gap(manifest))


def gift_grid(history: History, interval_ms: int, max_gap: int) -> Panel:
    """The history on a grid of `interval_ms`, averaged if its own grid is finer."""
    if infer_interval(history) < interval_ms:
        history = slot_means(history, interval_ms)
    return make_panel(history, interval_ms, max_gap)


def gift_tasks(panel: Panel, ask: TaskOptions) -> list[Task]:
    """The tasks of all lengths up to the bundle's horizon. Raises DataError if there are none."""
    if ask.stride > 1:
        raise DataError(
            "the bundle forecasts on a coarser grid than it reads",
            "gift scores forecasts on the grid of values",
        )
    season = season_rows(panel, ask.season_ms or DAY_MS) or 1
    lengths = {name: length for name, length in LENGTHS.items() if length <= ask.horizon}
    if not lengths or len(panel) < 2 * min(lengths.values()) + season:
        raise DataError(
            f"gift asks for {LENGTHS['short']} steps, the bundle "
            f"forecasts {ask.horizon}, over {len(panel):,} rows",
            "train with --horizon 48, 480 or 720 on a longer history",
        )
    grid = _GRIDS.get(panel.interval_ms, "")
    return [
        _task(panel, f"{grid} {name}".strip(), length, season) for name, length in lengths.items()
    ]


def window_origins(rows: int, length: int) -> Int64:
    """The last row before each window."""
    windows = min(max(1, math.ceil(0.1 * rows / length)), MOST_WINDOWS)
    return rows - 1 - length * np.arange(windows, 0, -1)


def _task(panel: Panel, label: str, length: int, season: int) -> Task:
    streams = len(panel.streams)
    origins = window_origins(len(panel), length)
    return Task(
        label=label,
        panel=panel,
        values=panel.values,
        centre=np.zeros(streams),
        scale=np.ones(streams),
        origins=origins,
        ahead=np.arange(1, length + 1),
        mase_scale=_running_mase_scales(panel.values, season)[:, origins],
        season=season,
    )


def _running_mase_scales(values: Float64, season: int) -> Float64:
    """Means |y_t - y_{t-season}| over the observed pairs up to each row, [streams, T];
    NaN without any."""
    distance = np.full(values.shape, np.nan)
    distance[:, season:] = np.abs(values[:, season:] - values[:, :-season])
    pairs = np.cumsum(~np.isnan(distance), axis=1)
    return np.where(pairs > 0, np.nancumsum(distance, axis=1) / np.maximum(pairs, 1), np.nan)


def relative(figures: Sequence[Figure]) -> list[Figure]:
    """Figures with scores relative to the published seasonal naive, task by task, if this run's
    seasonal naive has the published MASE: other data has no published score."""
    ours = {
        figure.task: figure.mase
        for figure in figures
        if figure.model == "seasonal_naive" and not figure.stream
    }
    return [_relative(figure, ours.get(figure.task)) for figure in figures]


def _relative(figure: Figure, naive: float | None) -> Figure:
    published = SEASONAL_NAIVE.get(figure.task)
    if (
        published is None
        or naive is None
        or abs(naive - published.mase) > _ROUNDING
        or figure.stream
    ):
        return figure
    update = {
        "relative_mase": None if figure.mase is None else figure.mase / published.mase,
        "relative_wql": None if figure.wql is None else figure.wql / published.wql,
    }
    return figure.model_copy(update=update)


def geometric_means(figures: Iterable[Figure], model: str) -> Published | None:
    """Geometric means of a model's relative scores over the tasks among `figures`;
    None without any."""
    own = [
        (f.relative_mase, f.relative_wql) for f in figures if f.model == model and f.relative_mase
    ]
    if not own:
        return None
    return Published(*np.exp(np.log(np.array(own, np.float64)).mean(axis=0)).tolist())
