"""The surprise and the scores of a value under the forecast that was pending for it,
one step at a time or over a whole history."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.training.models.contract import Target
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.suspect_columns import Judged
from eddycast.training.models.memory.units import Frame, relative, safe
from eddycast.training.models.quantiles.density import TINY, integral_transform, pinball, surprise
from eddycast.training.models.quantiles.support import confined_units


def score(
    arrived: Tensor, units: Tensor, frame: Frame, last: Tensor, forecast: Tensor, target: Target
) -> tuple[Tensor, Tensor]:
    """Surprise [n] and scores [n, 5] of the values `arrived` [n] (NaN = missing),
    where a `forecast` [n] was pending.

    `units` [n, quantiles] are the pending quantiles in the frame's units, not confined to the
    support; `last` [n] is the last observed value. The scores are `eddycast.service.bundle.SCORES`.
    Without a scale only an exact hit has a finite surprise. With a support the probability below
    its end lies at the end: a value there is as surprising as that is small.
    """
    (anchor, scale), levels = frame, torch.tensor(target.quantiles)
    valid = forecast & ~torch.isnan(arrived)
    y = torch.where(valid, arrived, anchor)
    value = relative(y[:, None], anchor, scale)[:, 0]
    loss, transform = (
        surprise(value, units, target.quantiles),
        integral_transform(value, units, target.quantiles),
    )
    if target.support != "real":
        loss = torch.where(y > 0, loss, -torch.log(transform.clamp(min=TINY)))
        units = confined_units(units, frame, target.support)
    loss = torch.where((scale > 0) | (y == anchor), loss, torch.nan)
    lower, upper = target.quantiles.index(0.1), target.quantiles.index(0.9)
    unit = safe(scale).float()
    columns = [
        (value - units[:, target.median]).abs() * unit,
        (y - last).abs().float(),
        pinball(value, units, levels) * unit,
        ((value >= units[:, lower]) & (value <= units[:, upper])).float(),
        transform,
    ]
    scores = torch.stack(columns, 1)
    unknown = torch.where(valid, 0.0, torch.nan)
    return loss + unknown, scores + unknown[:, None]


def width(quantiles: Tensor) -> Tensor:
    """Distance from the lowest to the highest of `quantiles` [n, quantiles]: [n].
    A pending forecast of width 0 is none."""
    return quantiles[:, -1] - quantiles[:, 0]


def score_columns(
    values: NDArray[np.float64],
    columns: Columns,
    judged: Judged,
    one: NDArray[np.float32],
    target: Target,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Surprise [T, S] and scores [T, S, 5] of every value [T, S] under the forecast `one` [T, S,
    quantiles], in units, that was made one step before."""
    steps, streams = values.shape
    loss = np.full((steps, streams), np.nan, np.float32)
    scores = np.full((steps, streams, 5), np.nan, np.float32)
    anchors, lasts = judged.in_data_units(columns.x), judged.in_data_units(columns.last)
    scales = columns.scale / judged.factor
    for s in range(streams):
        scale = torch.as_tensor(scales[:-1, s])
        units = torch.where((scale > 0)[:, None], torch.as_tensor(one[:-1, s]), torch.tensor(0.0))
        x, last = torch.as_tensor(anchors[:-1, s]), torch.as_tensor(lasts[:-1, s])
        known = torch.as_tensor(columns.count[:-1, s] > 0) & (
            width(torch.as_tensor(one[:-1, s])) > 0
        )
        a, b = score(torch.as_tensor(values[1:, s]), units, Frame(x, scale), last, known, target)
        loss[1:, s], scores[1:, s] = a.numpy(), b.numpy()
    return loss, scores
