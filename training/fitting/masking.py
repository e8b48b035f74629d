"""Holes that a history does not have, made for training: a forecaster that saw none would not know what to make of the
first one it meets.

Runs of missing values begin anywhere and last from one row to two seasons, short ones as likely as long ones on a
logarithmic scale: a dropped reading, a night, a weekend.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.fitting.problem import Problem

SHARE = 0.2  # of all values, about


def with_masked_runs(problem: Problem, random: np.random.Generator, share: float = SHARE) -> Problem:
    """The problem as sensors with failures would have told it, each channel with its own."""
    longest = 2 * (problem.target.season_steps or 24)

    def holed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(holes(values.shape, longest, share, random), np.nan, values)

    return replace(problem, values=holed(problem.values), others=tuple(holed(other) for other in problem.others))


def holes(shape: tuple[int, int], longest: int, share: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """[T, S], True in about `share` of all places: in runs along time of 1 .. `longest` rows."""
    rows = np.arange(shape[0])[:, None]
    mean = longest / np.log(longest + 1) - 0.5  # of a run
    begun = random.random(shape) < -np.log1p(-share) / mean  # overlaps counted in
    length = np.where(begun, np.exp(random.random(shape) * np.log(longest + 1)).astype(np.int64), 0)
    until = np.maximum.accumulate(rows + length, axis=0)
    return np.asarray(until > rows)
