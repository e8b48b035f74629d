"""The textbook autoregression: a one-step map of the last values by least squares,
fed back on itself over the horizon.

A linear map that is fed back stays linear, so its powers are taken here, once,
and serving costs nothing more.

The textbook's map has a constant, x' = c + w . lags, which pulls forecasts to the mean c / (1 - sum
w) in the unit of the data. A forecaster must not hold such a constant, since it serves streams it
never saw. So w is fitted around each stream's mean in the train part, and applied around the mean
of all values observed so far: the same map once that mean has settled. Without a mean (weights that
sum to one, as in `ar` on lags alone) the map can only drift: in the experiment of Dive into Deep
Learning, "Working with Sequences", the error 64 steps ahead is then twice as large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.training.fitting.memories import Memories
from eddycast.training.fitting.problem import Problem
from eddycast.training.fitting.ridge import CHUNK, Moments, solve
from eddycast.training.models.memory.columns import Columns

STRENGTH = 1e-6  # of the penalty: in effect least squares, but solvable for a constant stream too


def fit_iterated(problem: Problem, memories: Memories, leads: int) -> NDArray[np.float32]:
    """Weights [lags, 1 + leads] for the features of `iterated_memory` (the lags but the newest,
    then the mean): the map to the next value, then the maps to the leads."""
    block = problem.target.block
    maps = as_features(powers(_one_step(problem, memories), leads * block))
    return np.concatenate([maps[:, :1], maps.reshape(-1, leads, block).mean(-1)], 1).astype(
        np.float32
    )


def powers(weights: NDArray[np.float64], leads: int) -> NDArray[np.float64]:
    """The maps to the leads, [lags, leads], from the one-step map [lags], oldest lag first."""
    lags = len(weights)
    path = np.concatenate([np.eye(lags), np.zeros((lags, leads))], 1)
    for lead in range(leads):
        path[:, lags + lead] = path[:, lead : lags + lead] @ weights
    return path[:, lags:]


def as_features(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maps [lags, leads] of values around a mean, rewritten for distances from the newest value:
    the newest lag is left out, and the mean takes the rest of the weights to one."""
    return np.concatenate([maps[:-1], 1.0 - maps.sum(0, keepdims=True)])


def _one_step(problem: Problem, memories: Memories) -> NDArray[np.float64]:
    """The least-squares map [lags] of values around their mean in the train part,
    over all streams."""
    lags = memories.spec.lags
    moments = Moments(np.zeros((lags, lags)), np.zeros((lags, 1)))
    for part, columns in memories.parts(problem):
        _add(moments, part, columns, memories.pairs_at_once(1))
    return solve(moments, STRENGTH)[:, 0]


def _add(moments: Moments, problem: Problem, columns: Columns, most: int) -> None:
    """Add the rows of the train part of some streams, at most `most` at a time."""
    lags, train = columns.spec.lags, columns.x[: problem.train_end]
    seen = columns.observed[: problem.train_end]
    mean = np.sum(train * seen, 0) / np.maximum(seen.sum(0), 1)
    centred = (train - mean) / problem.unit
    origins = np.arange(min(lags, problem.train_end // 2) - 1, problem.train_end - 1)
    for t, s in problem.pair_chunks(origins, most, least=len(origins) // CHUNK):
        kept = seen[t + 1, s] & (columns.count[t, s] > 0)
        t, s = t[kept], s[kept]
        x = centred[np.maximum(t[:, None] - np.arange(lags - 1, -1, -1), 0), s[:, None]]
        moments.gram += x.T @ x
        moments.cross += x.T @ centred[t + 1, s][:, None]
        moments.rows += len(t)
