"""Quantiles of a point forecaster, from its own errors on the validation part in running scales."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.service.errors import DataError
from eddycast.training.fitting.memories import Memories
from eddycast.training.fitting.problem import Problem
from eddycast.training.models.contract import View
from eddycast.training.models.naive import PointForecaster
from eddycast.training.models.unrolling import view_of

CHUNKS = 16  # of the validation part, at least
#: Errors held at a time (8 bytes each), or as many as the history has cells, if it has more. A
#: quantile needs all errors of its lead, so with more errors than that the leads take turns.
ERRORS = 16_000_000


@torch.no_grad()
def fit_offsets(model: PointForecaster, problem: Problem, memories: Memories) -> None:
    """Set the offsets of `model` to the quantiles of its errors, lead by lead; the median stays the
    point forecast. Raises DataError if there are no errors."""
    key = ("offsets", model.family, memories.spec)
    offsets = problem.chosen(
        key, lambda: _offsets(_quantiles(model, problem, memories), model.target.quantiles)
    )
    model.offsets_one.copy_(torch.as_tensor(offsets[0]))
    model.offsets_multi.copy_(torch.as_tensor(offsets[1:]))


def _quantiles(model: PointForecaster, problem: Problem, memories: Memories) -> NDArray[np.float64]:
    """Quantiles [1 + horizon, quantiles] of the errors of the next value and of every lead;
    NaN for a lead without a target. Raises DataError if there are no errors at all."""
    columns, horizon = 1 + model.target.horizon, model.target.horizon
    pairs = len(problem.validation_origins(horizon)) * problem.values.shape[1]
    most = max(1, max(ERRORS, problem.values.size) // max(1, pairs))
    found = np.full((columns, len(model.target.quantiles)), np.nan)
    errors = np.empty((pairs, min(most, columns)))
    for first in range(0, columns, most):
        which = np.arange(first, min(first + most, columns))
        used = _fill(errors[:, : len(which)], model, problem, memories, which)
        for column, error in zip(which, errors[:used].T, strict=False):
            if not np.isnan(error).all():
                found[column] = np.nanquantile(error, model.target.quantiles)
    if np.isnan(found).all():
        raise DataError("no stream has moved by the validation part", "check --split and --columns")
    return found


def _fill(
    errors: NDArray[np.float64],
    model: PointForecaster,
    problem: Problem,
    memories: Memories,
    which: NDArray[np.int64],
) -> int:
    """Write errors on the validation part, in running scales, into `errors` [pairs, columns]: of
    the columns `which` of the next value (0) and the leads (from 1 on). Returns the number of rows
    written: pairs without a scale have no errors."""
    horizon, used = model.target.horizon, 0
    most = memories.pairs_at_once(1 + horizon)
    for part, columns in memories.parts(problem):
        hidden = model.scan(columns)
        for t, s in part.pair_chunks(part.validation_origins(horizon), most, least=CHUNKS):
            scale = columns.scale[t, s]
            usable = (scale > 0) & (columns.count[t, s] > 0)
            t, s, scale = t[usable], s[usable], scale[usable]
            if not len(t):
                continue
            view = view_of(columns, t, s, hidden[torch.as_tensor(t), torch.as_tensor(s)])
            after = np.concatenate([part.next(t, s), part.windows(t, s, horizon)], 1)[:, which]
            came = (after - columns.x[t, s][:, None]) / scale[:, None]
            errors[used : used + len(t)] = came - _points(model, view, which)
            used += len(t)
    return used


def _points(model: PointForecaster, view: View, which: NDArray[np.int64]) -> NDArray[np.float32]:
    """Point forecasts [n, columns] of the next value (0) and the leads (from 1 on)."""
    one, multi = model.points(view)
    return np.concatenate([one.numpy()[:, None], multi.numpy()], 1)[:, which]


def _offsets(quantiles: NDArray[np.float64], levels: tuple[float, ...]) -> NDArray[np.float32]:
    """Quantiles [leads, quantiles] of errors as offsets: at most zero below the median and at least
    zero above. A lead without a target (NaN) has the quantiles of the nearest lead with one."""
    seen = np.flatnonzero(~np.isnan(quantiles).all(axis=1))
    nearest = np.abs(np.arange(len(quantiles))[:, None] - seen).argmin(axis=1)
    quantiles = quantiles[seen][nearest]
    below = np.asarray(levels) < 0.5
    quantiles = np.where(below, np.minimum(quantiles, 0), np.maximum(quantiles, 0))
    quantiles[:, levels.index(0.5)] = 0.0
    return np.asarray(quantiles, np.float32)
