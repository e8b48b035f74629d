"""Ridge regression in closed form, all leads at once; its strength is chosen by validation for groups of leads.

Rows are weighed so that every stream counts in units of its own standard deviation. Features are divided by their
root mean square first, so one strength fits all (Hoerl and Kennard, 1970).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.fitting.problem import Problem
from training.models.columns import Columns

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)  # shares of the number of rows
GROUP_ENDS = (1, 6, 24, 48, 96, 192, 336, 720)  # leads that share a strength
CHUNK = 512  # origins


@dataclass(frozen=True)
class LinearMap:
    """weights [features, 1 + leads] from features to the next value and to the leads, all in running scales; the
    strength chosen for each."""

    weights: NDArray[np.float32]
    strengths: NDArray[np.float64]


@dataclass
class Moments:
    """Sums of products over rows: features with features, and features with targets."""

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    rows: int = 0


def fit_linear(problem: Problem, columns: Columns, leads: int) -> LinearMap:
    """Fit the next value and every lead 1 .. `leads` on the train part, choose strengths on the validation part."""
    groups = [(0, 1), *((1 + lo, 1 + hi) for lo, hi in lead_groups(leads))]
    moments = _train_moments(problem, columns, groups)
    solved = [solve(moments[g], strength) for g in range(len(groups)) for strength in STRENGTHS]
    errors = _validation_errors(problem, columns, groups, solved)
    best = [int(np.argmin(errors[g])) for g in range(len(groups))]
    weights = [solved[g * len(STRENGTHS) + best[g]] for g in range(len(groups))]
    strengths = [np.full(hi - lo, STRENGTHS[best[g]]) for g, (lo, hi) in enumerate(groups)]
    return LinearMap(np.concatenate(weights, 1).astype(np.float32), np.concatenate(strengths))


def lead_groups(leads: int) -> list[tuple[int, int]]:
    """Half-open ranges of lead indices (0 = the first)."""
    ends = [end for end in GROUP_ENDS if end < leads] + [leads]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _rows(
    problem: Problem, columns: Columns, origins: NDArray[np.int64], leads: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Chunks of features [n, features] and targets [n, 1 + leads], both in the streams' units."""
    for chunk in np.array_split(origins, max(1, len(origins) // CHUNK)):
        t, s = problem.pairs(chunk)
        unit = problem.unit[s]
        after = np.concatenate([problem.next(t, s), problem.windows(t, s, leads)], 1)
        targets = (after - columns.x[t, s][:, None]) / unit[:, None]
        features = columns.features(t, s) * (columns.scale[t, s] / unit)[:, None].astype(np.float32)
        seen = columns.count[t, s] > 0
        yield features[seen], targets[seen]


def _train_moments(problem: Problem, columns: Columns, groups: list[tuple[int, int]]) -> list[Moments]:
    """Rows count for a group of leads where all of its targets were observed."""
    size, leads = columns.size, groups[-1][1] - 1
    moments = [Moments(np.zeros((size, size)), np.zeros((size, hi - lo))) for lo, hi in groups]
    for x, y in _rows(problem, columns, problem.train_origins(leads), leads):
        whole = None if np.isnan(y).any() else x.T @ x
        for moment, (lo, hi) in zip(moments, groups, strict=True):
            keep = ~np.isnan(y[:, lo:hi]).any(1)
            kept = x[keep]
            moment.gram += whole if whole is not None else kept.T @ kept
            moment.cross += kept.T @ y[keep, lo:hi].astype(np.float32)
            moment.rows += int(keep.sum())
    return moments


def solve(moments: Moments, strength: float) -> NDArray[np.float64]:
    """[features, targets]: the map of least squares, with a penalty of `strength` a row on every scaled weight."""
    rms = np.sqrt(np.diag(moments.gram) / max(moments.rows, 1))
    rms = np.where(rms > 0, rms, 1.0)
    scaled = moments.gram / np.outer(rms, rms)
    scaled[np.diag_indices_from(scaled)] += strength * max(moments.rows, 1)
    return np.asarray(np.linalg.solve(scaled, moments.cross / rms[:, None]) / rms[:, None])


def _validation_errors(
    problem: Problem, columns: Columns, groups: list[tuple[int, int]], solved: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Squared error [groups, strengths] on the validation part, missing targets left out."""
    errors = np.zeros((len(groups), len(STRENGTHS)))
    leads = groups[-1][1] - 1
    stacked = np.concatenate(solved, 1).astype(np.float32)
    for x, y in _rows(problem, columns, problem.validation_origins(leads), leads):
        predicted, at = x @ stacked, 0
        for g, (lo, hi) in enumerate(groups):
            for k in range(len(STRENGTHS)):
                errors[g, k] += np.nansum((predicted[:, at : at + hi - lo] - y[:, lo:hi]) ** 2)
                at += hi - lo
    return errors
