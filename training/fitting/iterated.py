"""The textbook autoregression: a one-step map of the last values by least squares, fed back on itself for the horizon.

Feeding a linear map back gives a linear map again, so the powers are taken here, once, and serving costs nothing more.

With a constant the textbook writes x' = c + w . lags: a way back to the mean c / (1 - sum w), in data units. A
forecaster may not hold such a constant (it serves streams that it never saw), so w is fitted about each stream's mean
in the train part, and served about the mean of all that the stream has shown so far: the same map where that mean has
settled. Without any mean (weights that sum to one, as for `ar` on lags alone) the map can only drift: in the
experiment of Dive into Deep Learning, "Working with Sequences", the error 64 steps ahead is then twice as large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.fitting.problem import Problem
from training.fitting.ridge import CHUNK, Moments, solve
from training.models.memory.columns import Columns

STRENGTH = 1e-6  # of the penalty: least squares, but solvable for a constant stream too


def fit_iterated(problem: Problem, columns: Columns, leads: int) -> NDArray[np.float32]:
    """weights [lags, 1 + leads] for the features of `iterated_memory` (the lags but the newest, then the mean): the map
    to the next value, then those to the leads."""
    block = problem.target.block
    maps = as_features(powers(_one_step(problem, columns), leads * block))
    return np.concatenate([maps[:, :1], maps.reshape(-1, leads, block).mean(-1)], 1).astype(np.float32)


def powers(weights: NDArray[np.float64], leads: int) -> NDArray[np.float64]:
    """The map of each lead [lags, leads] from the one-step map [lags], oldest first, each forecast read as a value."""
    lags = len(weights)
    path = np.concatenate([np.eye(lags), np.zeros((lags, leads))], 1)
    for lead in range(leads):
        path[:, lags + lead] = path[:, lead : lags + lead] @ weights
    return path[:, lags:]


def as_features(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maps [lags, leads] of values about a mean, rewritten for differences to the newest value: what the newest lag
    weighed is left out, and the mean weighs whatever the lags lack to one."""
    return np.concatenate([maps[:-1], 1.0 - maps.sum(0, keepdims=True)])


def _one_step(problem: Problem, columns: Columns) -> NDArray[np.float64]:
    """[lags] the least-squares map of values about their mean in the train part, all streams together."""
    lags, train = columns.spec.lags, columns.x[: problem.train_end]
    seen = columns.observed[: problem.train_end]
    mean = np.sum(train * seen, 0) / np.maximum(seen.sum(0), 1)
    centred = (train - mean) / problem.unit
    moments = Moments(np.zeros((lags, lags)), np.zeros((lags, 1)))
    origins = np.arange(min(lags, problem.train_end // 2) - 1, problem.train_end - 1)
    for chunk in np.array_split(origins, max(1, len(origins) // CHUNK)):
        t, s = problem.pairs(chunk)
        kept = seen[t + 1, s] & (columns.count[t, s] > 0)
        t, s = t[kept], s[kept]
        x = centred[np.maximum(t[:, None] - np.arange(lags - 1, -1, -1), 0), s[:, None]]
        moments.gram += x.T @ x
        moments.cross += x.T @ centred[t + 1, s][:, None]
        moments.rows += len(t)
    return solve(moments, STRENGTH)[:, 0]
