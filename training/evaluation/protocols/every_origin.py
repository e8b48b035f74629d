"""Protocols over every origin of a hold-out: `rolling` on raw values, `ltsf` and `online` z-scored.

The first origin is the last row before the hold-out; the targets of the last one end inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eddycast.service.errors import DataError
from eddycast.service.records import Float64
from eddycast.training.data.panel import Panel
from eddycast.training.data.slot_means import trailing_means
from eddycast.training.data.split import Split
from eddycast.training.evaluation.metrics import mase_scales
from eddycast.training.evaluation.protocols.task import (
    Task,
    TaskOptions,
    check_horizons,
    check_split,
    season_rows,
)

#: The borders and horizons of the leak-free online protocol on ETTm1: 4, 1 and 15 months.
ONLINE_SPLIT = "11520,2880,43200"
ONLINE_HORIZONS = (1, 24, 48)


def rolling_tasks(panel: Panel, ask: TaskOptions) -> list[Task]:
    """Raw values; WQL and MASE by stream and then the mean:
    comparable with other runs on the same data."""
    streams = len(panel.streams)
    tasks = _tasks(panel, ask, ask.horizons or (ask.horizon,), np.zeros(streams), np.ones(streams))
    return [replace(task, by_stream=True) for task in tasks]


def ltsf_tasks(panel: Panel, ask: TaskOptions) -> list[Task]:
    """Tasks at every origin on streams z-scored by mean and deviation of the train part, comparable
    with the literature."""
    return _tasks(
        panel, ask, ask.horizons or (ask.horizon,), *_train_scale(panel, _split(panel, ask))
    )


def online_tasks(panel: Panel, ask: TaskOptions) -> list[Task]:
    """The tasks of `ltsf` over the long hold-out of the online literature and at its horizons.
    Neither a forecast nor anything learned before it uses a value after its origin."""
    horizons = ask.horizons or [steps for steps in ONLINE_HORIZONS if steps <= ask.horizon]
    return _tasks(panel, ask, horizons, *_train_scale(panel, _split(panel, ask)))


def _split(panel: Panel, ask: TaskOptions) -> Split:
    split = ask.split or Split.parse(None, len(panel))
    check_split(panel, split)
    return split


def _train_scale(panel: Panel, split: Split) -> tuple[Float64, Float64]:
    train = panel.values[:, : split.train_end]
    seen = ~np.isnan(train).all(axis=1)
    if not seen.all():
        name = panel.streams[int(np.argmin(seen))]
        raise DataError(
            f"stream {name!r} has no value in the train part",
            "use --protocol rolling, or leave it out",
        )
    spread = np.nanstd(train, axis=1)
    return np.nanmean(train, axis=1), np.where(spread > 0, spread, 1.0)


def _tasks(
    panel: Panel, ask: TaskOptions, horizons: Sequence[int], centre: Float64, scale: Float64
) -> list[Task]:
    """A task for each horizon, and one for the next value, which the step graph forecasts."""
    check_horizons(ask, horizons)
    tasks = [
        _task(panel, ask, horizon, centre, scale)
        for horizon in horizons
        if horizon > 1 or ask.stride > 1
    ]
    return [*tasks, _task(panel, ask, None, centre, scale)]


def _task(
    panel: Panel, ask: TaskOptions, horizon: int | None, centre: Float64, scale: Float64
) -> Task:
    """A task of `horizon` leads of the forecast graph; None = the next value of the step graph."""
    split, season = _split(panel, ask), season_rows(panel, ask.season_ms)
    stride = ask.stride if horizon else 1
    ahead = np.arange(1, (horizon or 1) + 1) * stride
    origins = np.arange(split.validation_end - 1, split.end - int(ahead[-1]))
    if not len(origins):
        hold_out = split.end - split.validation_end
        raise DataError(
            f"a hold-out of {hold_out:,} rows has no origin for horizon {horizon or 1}",
            "change --split",
        )
    values = trailing_means(
        (panel.values[:, : split.end] - centre[:, None]) / scale[:, None], stride
    )
    scales = mase_scales(values[:, : split.validation_end], season or stride)
    return Task(
        label="",
        panel=panel,
        values=values,
        centre=centre,
        scale=scale,
        origins=origins,
        ahead=ahead,
        mase_scale=np.broadcast_to(scales[:, None], (len(scales), len(origins))),
        season=season,
        stride=stride,
        source="multi_step" if horizon else "one_step",
    )
