"""Small histories to fit on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Float64
from eddycast.training.fitting.problem import Problem
from eddycast.training.models import Target

HOUR = 3_600_000
LEVELS = (0.1, 0.5, 0.9)


def problem(
    values: NDArray[np.float64],
    *,
    horizon: int = 12,
    season: int = 0,
    train: float = 0.6,
    validation: float = 0.4,
    block: int = 1,
) -> Problem:
    """values [T, S], hourly; the first `train` of them teach, the next `validation` choose."""
    steps = len(values)
    start = 1_700_000_000_000 // HOUR
    target = Target(HOUR, horizon, LEVELS, season, block)
    cuts = (round(steps * train), round(steps * (train + validation)))
    return Problem(target, values[: cuts[1]], (start + np.arange(cuts[1])) * HOUR, *cuts)


def noisy_sine(seed: int, steps: int = 1000, streams: int = 1) -> NDArray[np.float64]:
    """[steps, streams] of sin(0.01 t) + 0.2 N(0, 1), t = 1, 2, ...: the experiment of Dive into
    Deep Learning, "Working with Sequences"."""
    random = np.random.default_rng(seed)
    values: Float64 = np.sin(0.01 * np.arange(1, steps + 1))[:, None] + random.normal(
        0, 0.2, (steps, streams)
    )
    return values


def daily(
    seed: int, steps: int = 1200, streams: int = 2, noise: float = 0.3
) -> NDArray[np.float64]:
    """[steps, streams] of a daily wave with a slow walk and noise around 50."""
    random = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * np.arange(steps) / 24)[:, None] * np.arange(1, streams + 1)
    walk = random.normal(0, 0.05, (steps, streams)).cumsum(0)
    values: Float64 = 50 + wave + walk + random.normal(0, noise, (steps, streams))
    return values
