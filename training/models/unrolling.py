"""A family over a whole history at once: the numbers that `Forecaster.step` and
`Forecaster.forecast` give one observation at a time. For training and for tests; nothing of it is
exported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.training.data.counters import increases
from eddycast.training.models.contract import Family, Unrolled, View
from eddycast.training.models.memory.columns import Columns, unroll_memory
from eddycast.training.models.memory.suspect_columns import Judged, judge_columns
from eddycast.training.models.memory.suspect_readings import possible
from eddycast.training.models.quantiles.support import confine
from eddycast.training.models.quantiles.width_columns import unroll_widths
from eddycast.training.models.scoring import score_columns

ROWS = 4096  # evaluations of a head at a time


@torch.no_grad()
def unroll(
    model: Family,
    values: NDArray[np.float64],
    timestamps: NDArray[np.int64],
    origins: Sequence[int] | None = None,
    beside: Sequence[Columns] = (),
) -> Unrolled:
    """Forecasts, surprises and scores for values [T, S] (NaN = missing) on the grid timestamps [T],
    int64 ms.

    `multi_step` is computed after the steps `origins` (default: every step). `beside` holds the
    memories of the stream's other channels.
    """
    values = possible(torch.as_tensor(values)).numpy()
    values = increases(values, model.target.register) if model.target.kind == "counter" else values
    judged = judge(model, values, timestamps, beside)
    columns = _columns(model, judged.taken, timestamps, beside)
    steps = len(timestamps)
    chosen = np.arange(steps) if origins is None else np.asarray(origins, np.int64)
    one, multi = _units(model, columns, judged, chosen)
    one_step = judged.in_data_units(columns.x[:, :, None] + columns.scale[:, :, None] * one)
    there = Judged(*(part[chosen] for part in (judged.taken, judged.factor, judged.offset)))
    multi_step = (
        columns.x[chosen][:, :, None, None] + columns.scale[chosen][:, :, None, None] * multi
    )
    multi_step = there.in_data_units(multi_step)
    one_step, multi_step = (
        confine(torch.as_tensor(raw), model.target.support).numpy()
        for raw in (one_step, multi_step)
    )
    unknown = columns.count == 0
    one_step[unknown], multi_step[unknown[chosen]] = np.nan, np.nan
    loss, scores = score_columns(values, columns, judged, one, model.target)
    units = np.where(columns.scale[:, :, None] > 0, one, np.float32(0.0))
    anomaly = _ranks(model, loss, units, values, judged)
    return Unrolled(
        one_step, loss, scores, anomaly, multi_step, columns.scale / judged.factor, judged
    )


@torch.no_grad()
def judge(
    model: Family,
    values: NDArray[np.float64],
    timestamps: NDArray[np.int64],
    beside: Sequence[Columns] = (),
    passes: int | None = None,
) -> Judged:
    """The values among [T, S] that the memory accepts, and the level of each stream;
    `passes` as in `judge_columns`."""

    def forecasts(judged: Judged) -> tuple[Columns, NDArray[np.float32]]:
        columns = _columns(model, judged.taken, timestamps, beside)
        one = _units_at(
            columns, model.scan(columns), np.arange(len(timestamps)), model.one_step_units
        )
        if model.calibration:
            stretch = unroll_widths(model.calibration, columns, judged, one)
            one = model.calibration.one_step(torch.as_tensor(one), stretch).numpy()
        return columns, one[..., model.suspects.places.numpy()]

    return judge_columns(model.suspects, values, forecasts, passes)


def _ranks(
    model: Family,
    surprise: NDArray[np.float32],
    one: NDArray[np.float32],
    values: NDArray[np.float64],
    judged: Judged,
) -> NDArray[np.float32]:
    """The anomaly [T, S] of every value [T, S] under the quantiles `one` [T, S, quantiles] of the
    step before."""
    factor = np.concatenate([np.ones_like(judged.factor[:1]), judged.factor[:-1]])
    offset, pending = (
        np.concatenate([np.zeros_like(part[:1]), part[:-1]]) for part in (judged.offset, one)
    )
    columns = (surprise, pending, values * factor + offset, judged.taken)
    return np.asarray(model.anomaly.unroll(*map(torch.as_tensor, columns)).numpy())


def view_of(columns: Columns, t: NDArray[np.int64], s: NDArray[np.int64], hidden: Tensor) -> View:
    """The view after steps `t` [n] of streams `s` [n], as `step` constructs it,
    with the hidden state [n, units]."""
    return View(
        torch.as_tensor(columns.features(t, s)), torch.as_tensor(columns.timestamps[t]), hidden
    )


def _columns(
    model: Family,
    taken: NDArray[np.float64],
    timestamps: NDArray[np.int64],
    beside: Sequence[Columns],
) -> Columns:
    return replace(unroll_memory(model.memory.spec, taken, timestamps), beside=tuple(beside))


def _units(
    model: Family, columns: Columns, judged: Judged, origins: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Calibrated quantiles in units: one step ahead [T, S, quantiles],
    and [origins, S, horizon, quantiles]."""
    hidden, every = model.scan(columns), np.arange(len(columns.timestamps))
    one = _units_at(columns, hidden, every, model.one_step_units)
    multi = _units_at(columns, hidden, origins, model.multi_step_units)
    if not model.calibration:
        return one, multi
    leads = model.calibration.leads
    anchored = _units_at(columns, hidden, every, lambda view: model.units_at(view, leads))
    stretch = unroll_widths(model.calibration, columns, judged, one, anchored)
    one = model.calibration.one_step(torch.as_tensor(one), stretch).numpy()
    return one, model.calibration.multi_step(torch.as_tensor(multi), stretch[origins]).numpy()


def _units_at(
    columns: Columns, hidden: Tensor, times: NDArray[np.int64], head: Callable[[View], Tensor]
) -> NDArray[np.float32]:
    """The output of `head` at all streams after the steps `times`, in chunks of bounded memory:
    [times, S, ...]."""
    streams = columns.x.shape[1]
    parts: list[NDArray[np.float32]] = []
    for chunk in np.array_split(times, max(1, len(times) * streams // ROWS)):
        t, s = np.repeat(chunk, streams), np.tile(np.arange(streams), len(chunk))
        units = head(view_of(columns, t, s, hidden[torch.as_tensor(t), torch.as_tensor(s)]))
        parts.append(units.numpy().reshape(len(chunk), streams, *units.shape[1:]))
    return np.concatenate(parts)
