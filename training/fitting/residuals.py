"""Quantiles of a point forecaster, from its own errors on the validation part in running scales."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.service.errors import DataError
from eddycast.training.fitting.problem import Problem
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.naive import PointForecaster
from eddycast.training.models.unrolling import view_of


@torch.no_grad()
def fit_offsets(model: PointForecaster, problem: Problem, columns: Columns) -> None:
    """Set the offsets of `model` to the quantiles of its errors, lead by lead; the median stays the
    point forecast. Raises DataError if there are no errors."""
    key = ("offsets", model.family, columns.spec)
    offsets = problem.chosen(
        key, lambda: _offsets(_errors(model, problem, columns), model.target.quantiles)
    )
    model.offsets_one.copy_(torch.as_tensor(offsets[0]))
    model.offsets_multi.copy_(torch.as_tensor(offsets[1:]))


def _errors(model: PointForecaster, problem: Problem, columns: Columns) -> NDArray[np.float64]:
    """Errors on the validation part in running scales, [n, 1 + horizon]:
    of the next value, then of every lead."""
    horizon, hidden = model.target.horizon, model.scan(columns)
    errors = []
    for chunk in np.array_split(problem.validation_origins(horizon), 16):
        if not len(chunk):
            continue
        t, s = problem.pairs(chunk)
        scale = columns.scale[t, s]
        usable = (scale > 0) & (columns.count[t, s] > 0)
        if not usable.any():
            continue
        t, s, scale = t[usable], s[usable], scale[usable]
        one, multi = model.points(
            view_of(columns, t, s, hidden[torch.as_tensor(t), torch.as_tensor(s)])
        )
        after = np.concatenate([problem.next(t, s), problem.windows(t, s, horizon)], 1)
        came = (after - columns.x[t, s][:, None]) / scale[:, None]
        errors.append(came - np.concatenate([one.numpy()[:, None], multi.numpy()], 1))
    if not errors:
        raise DataError("no stream has moved by the validation part", "check --split and --columns")
    return np.concatenate(errors)


def _offsets(errors: NDArray[np.float64], levels: tuple[float, ...]) -> NDArray[np.float32]:
    """Quantiles [leads, quantiles] of errors [n, leads] (NaN = no target), at most zero below the
    median and at least zero above. A lead without a target has the quantiles of the nearest lead
    with one."""
    seen = np.flatnonzero(~np.isnan(errors).all(axis=0))
    nearest = np.abs(np.arange(errors.shape[1])[:, None] - seen).argmin(axis=1)
    quantiles = np.nanquantile(errors[:, seen], levels, axis=0).T[nearest]
    below = np.asarray(levels) < 0.5
    quantiles = np.where(below, np.minimum(quantiles, 0), np.maximum(quantiles, 0))
    quantiles[:, levels.index(0.5)] = 0.0
    return np.asarray(quantiles, np.float32)
