"""The density that surprise is measured by is a density, and its transform is its integral."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.training.models.quantiles.density import (
    expected_surprise,
    integral_transform,
    pinball,
    surprise,
)

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
gaps = st.lists(st.floats(0.05, 3.0), min_size=4, max_size=4)


def quantiles_of(widths: list[float]) -> torch.Tensor:
    return torch.tensor([0.0, *np.cumsum(widths)], dtype=torch.float32) - 1.0


@settings(max_examples=30, deadline=None)
@given(gaps)
def test_density_integrates_to_one(widths: list[float]) -> None:
    quantiles = quantiles_of(widths)
    y = torch.linspace(-60, 60, 240_001)
    density = torch.exp(-surprise(y, quantiles.expand(len(y), -1), LEVELS))
    assert torch.trapezoid(density, y).item() == pytest.approx(1.0, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(gaps)
def test_the_expected_surprise_is_the_mean_of_the_surprise(widths: list[float]) -> None:
    quantiles = quantiles_of(widths)
    y = torch.linspace(-60, 60, 240_001)
    nats = surprise(y, quantiles.expand(len(y), -1), LEVELS)
    mean = torch.trapezoid(torch.exp(-nats) * nats, y).item()
    assert expected_surprise(quantiles[None], LEVELS).item() == pytest.approx(mean, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(gaps, st.floats(-4, 8))
def test_the_transform_is_the_integral_of_the_density(widths: list[float], value: float) -> None:
    quantiles = quantiles_of(widths)
    y = torch.linspace(-60, value, 200_001)
    density = torch.exp(-surprise(y, quantiles.expand(len(y), -1), LEVELS))
    transform = integral_transform(torch.tensor([value]), quantiles[None], LEVELS)
    assert transform.item() == pytest.approx(torch.trapezoid(density, y).item(), abs=0.01)


def test_the_transform_at_a_quantile_is_its_level() -> None:
    quantiles = torch.tensor([[-2.0, -0.5, 0.0, 1.0, 4.0]])
    for k, level in enumerate(LEVELS):
        assert integral_transform(quantiles[:, k], quantiles, LEVELS).item() == pytest.approx(
            level, abs=1e-5
        )


def test_surprise_is_continuous_where_pieces_meet() -> None:
    quantiles = torch.tensor([[-2.0, -0.5, 0.0, 1.0, 4.0]])
    y = torch.linspace(-3, 5, 800_001)
    values = surprise(y, quantiles.expand(len(y), -1), LEVELS)
    assert values.diff().abs().max() < 0.05


def test_equal_quantiles_give_a_finite_surprise() -> None:
    quantiles = torch.zeros(3, 5)
    values = surprise(torch.tensor([0.0, 1.0, -5.0]), quantiles, LEVELS)
    assert torch.isfinite(values).all()
    assert values[0] < values[1] < values[2]


def test_surprise_of_a_known_density() -> None:
    """Between .1 and .3, one scale apart, the density is .2: surprise -log .2."""
    quantiles = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0]])
    assert surprise(torch.tensor([0.5]), quantiles, LEVELS).item() == pytest.approx(
        -np.log(0.2), abs=1e-5
    )


def test_pinball_by_hand() -> None:
    """At the level .9 being one too low costs .9; at .1 it costs .1."""
    loss = pinball(torch.tensor([1.0]), torch.tensor([[0.0, 0.0]]), torch.tensor([0.1, 0.9]))
    assert loss.item() == pytest.approx(0.5)
