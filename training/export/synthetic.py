"""Synthetic streams for checking invariants: a daily season, a drift, noise, missing values,
an outage, late starts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.training.models import Target


def sample(
    target: Target, steps: int, count: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """values [steps, count] with a daily season, a drift, ten percent missing and one long outage;
    timestamps [steps], int64 ms, on the grid of the target.

    Streams start at different times, some of them with missing values. With a support many values
    are zero; counters add the values up, and reset once.
    """
    random = np.random.default_rng(seed)
    period = max(2, 86_400_000 // target.interval_ms)
    t = np.arange(steps)
    season = np.sin(2 * np.pi * t / period)[:, None] * random.uniform(0.5, 5, count)
    values = (
        20
        + season
        + random.normal(0, 0.3, (steps, count))
        + random.normal(0, 0.1, (steps, count)).cumsum(0)
    )
    if target.support != "real":
        values = np.maximum(values - 20, 0)
    if target.support == "integer":
        values = np.rint(3 * values)
    if target.kind == "counter":
        values = values.cumsum(0) + random.uniform(0, 1e6, count)
        values[steps // 3 :] -= values[steps // 3]
    values[random.random(values.shape) < 0.1] = np.nan
    values[steps // 2 : steps // 2 + 40, ::3] = np.nan
    for stream in range(1, count, 2):
        values[: int(random.integers(1, 30)), stream] = np.nan
    start = 1_700_000_000_000 // target.interval_ms
    return values, (start + t) * target.interval_ms
