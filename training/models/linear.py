"""Linear autoregression on the features of a seasonal memory:
lags, seasonal tables at several rates, running means.

Features are in units and the map has no bias, so f(a*y + b) = a*f(y) + b by construction. There is
one map a lead: each is fitted by itself (`training/fitting/ridge.py`), or all follow from a
one-step map of lags that is fed back on itself (`training/fitting/iterated.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from eddycast.training.models.channels import FEATURES
from eddycast.training.models.contract import Target, View
from eddycast.training.models.memory.memory import LEVELS, MemorySpec
from eddycast.training.models.naive import PointForecaster
from eddycast.training.recipe import Recipe

LAGS = Recipe.lags
RATES = (0.5, 0.2, 0.08, 0.03)
#: A lighter memory with fewer weights, for short histories.
LIGHT_LAGS, LIGHT_RATES = 24, (0.3, 0.06)


def linear_memory(target: Target, lags: int = LAGS, rates: tuple[float, ...] = RATES) -> MemorySpec:
    """The memory of the linear map; `rates` are those of the seasonal tables,
    if there is a season."""
    span = target.season_steps or 24
    rates = rates if target.season_steps else ()
    half_lives = tuple(level * span for level in LEVELS)
    return MemorySpec(
        target.interval_ms, target.season_steps, lags, rates, half_lives, target.second_steps
    )


def iterated_memory(target: Target, lags: int) -> MemorySpec:
    """The memory of the textbook autoregression:
    lags, and the mean of all observed values in place of a constant."""
    return MemorySpec(target.interval_ms, target.season_steps, lags, half_lives=(math.inf,))


class LinearAutoregression(PointForecaster):
    """Points in units from features: `weights_one` [features] for the next value,
    `weights_multi` [features, horizon]."""

    family = "ar"
    revision = 1
    weights_one: Tensor
    weights_multi: Tensor

    def __init__(self, target: Target, memory: MemorySpec | None = None) -> None:
        super().__init__(target, memory or linear_memory(target))
        features = self.memory.spec.features + target.others * FEATURES
        self.register_buffer("weights_one", torch.zeros(features))
        self.register_buffer("weights_multi", torch.zeros(features, target.horizon))

    def points(self, view: View) -> tuple[Tensor, Tensor]:
        # by a column: onnxruntime takes ten times as long for a product with a vector
        one = view.features @ self.weights_one[:, None]
        return one[:, 0], view.features @ self.weights_multi

    def points_at(self, view: View, leads: Sequence[int]) -> Tensor:
        return view.features @ self.weights_multi[:, torch.tensor(leads)]
