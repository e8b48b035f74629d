"""Missing values that a history does not have, added for training:
a forecaster that saw none would misread its first gap.

Runs of missing values start anywhere and last from one row to two seasons, uniformly on a
logarithmic scale: a dropped reading, a night, a weekend.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eddycast.training.fitting.problem import Problem

SHARE = 0.2  # of all values, approximately


def with_masked_runs(
    problem: Problem, random: np.random.Generator, share: float = SHARE
) -> Problem:
    """The problem with about `share` of its values masked, in each channel independently."""
    longest = 2 * (problem.target.season_steps or 24)

    def holed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(holes(values.shape, longest, share, random), np.nan, values)

    return replace(
        problem,
        values=holed(problem.values),
        others=tuple(holed(other) for other in problem.others),
    )


def holes(
    shape: tuple[int, int], longest: int, share: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Mask [T, S], True for about `share` of all values,
    in runs along time of 1 to `longest` rows."""
    rows = np.arange(shape[0])[:, None]
    mean = longest / np.log(longest + 1) - 0.5  # length of a run
    begun = random.random(shape) < -np.log1p(-share) / mean  # overlaps taken into account
    length = np.where(begun, np.exp(random.random(shape) * np.log(longest + 1)).astype(np.int64), 0)
    until = np.maximum.accumulate(rows + length, axis=0)
    return np.asarray(until > rows)
