"""The rule that finds the width of an interval, on distances alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from eddycast.training.models.quantiles.widths import LIMIT, RATES, Learned, Widths

LEADS, READY, STREAMS = (1, 24), 24, 64
COLUMNS = len(RATES) + len(LEADS)
#: The .8 quantile of the distances of `noise`: the half-width that an interval must get.
RIGHT = 1.2816


def noise(steps: int, seed: int = 0) -> Tensor:
    """Distances [steps, STREAMS, 1] of standard normal readings from a forecast of their mean."""
    random = np.random.default_rng(seed)
    return torch.as_tensor(np.abs(random.normal(size=(steps, STREAMS, 1))).astype(np.float32))


def follow(distances: Tensor, half: float, learned: Learned | None = None) -> list[Learned]:
    """The states after each of `distances` from forecasts with a half-width of `half`, where the
    lead is known from READY + lead readings on."""
    rule, states = Widths(LEADS, 1, READY), []
    learned = learned or Learned(*rule.initial_state(STREAMS).values())
    since = torch.tensor([0.0] * len(RATES) + [float(READY + lead) for lead in LEADS])
    for distance in distances:
        stretched = half * torch.exp(learned.stretch[:, :1] * rule.quick)
        judged = learned.judged + 1
        learned = rule.move(
            distance.expand(-1, COLUMNS), stretched, judged > since, judged, learned
        )
        states.append(learned)
    return states


def coverage(states: list[Learned], distances: Tensor, half: float, column: int) -> float:
    """Share of distances within the interval as stretched after the reading before."""
    return float(
        np.mean(
            [
                (distance[:, 0] <= half * torch.exp(state.stretch[:, column])).float().mean()
                for state, distance in zip(states[:-1], distances[1:], strict=True)
            ]
        )
    )


@pytest.mark.parametrize("times", [0.1, 0.3, 1.0, 3.0, 10.0])
def test_a_stranger_has_its_width_within_its_first_day_one_step_ahead(times: float) -> None:
    """Intervals begin a tenth as wide as they should be, up to ten times as wide."""
    distances = noise(600)
    states = follow(distances, times * RIGHT)
    assert coverage(states[24:200], distances[24:200], times * RIGHT, 0) == pytest.approx(
        0.8, abs=0.08
    )
    assert coverage(states[500:], distances[500:], times * RIGHT, 0) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("times", [0.3, 1.0, 3.0])
def test_far_leads_are_right_after_twenty_days(times: float) -> None:
    distances = noise(700)
    states = follow(distances, times * RIGHT)
    for column in (1, 2):
        found = coverage(states[500:], distances[500:], times * RIGHT, column)
        assert found == pytest.approx(0.8, abs=0.05)


def test_a_lead_without_readings_of_its_own_takes_a_share_of_one_step_ahead() -> None:
    last = follow(noise(READY), 0.1 * RIGHT)[-1]
    assert not last.widths[:, len(RATES) + 1].any()
    assert (last.stretch[:, 0] > 1).all()
    shares = last.stretch[:, 1:] / last.stretch[:, :1]
    assert torch.allclose(shares, torch.tensor([1.0, 24.0**-0.2]).expand_as(shares), atol=1e-5)


@pytest.mark.parametrize(("half", "sign"), [(1e4, -1), (1e-7, 1)])
def test_months_at_the_limit_are_forgotten_within_ten_days(half: float, sign: int) -> None:
    """However long nothing misses, or everything does."""
    last = follow(noise(3000), half * RIGHT)[-1]
    assert torch.allclose(last.stretch[:, 0], torch.tensor(sign * LIMIT), atol=1e-3)
    distances = noise(320, 1)
    after = follow(distances, RIGHT, last)
    assert coverage(after[240:], distances[240:], RIGHT, 0) == pytest.approx(0.8, abs=0.08)


def test_a_score_close_to_a_width_moves_it_no_further_than_itself() -> None:
    """Another processor rounds differently: a width must not depend on which side a score fell."""
    rule = Widths(LEADS, 1, READY)
    learned = Learned(*rule.initial_state(2).values())
    half, far = torch.ones(2, COLUMNS), slice(len(RATES), None)
    distance = torch.tensor([1 - 1e-6, 1 + 1e-6])[:, None].expand(-1, COLUMNS)
    counts, judged = torch.ones(2, COLUMNS, dtype=torch.bool), torch.full((2, 1), 500.0)
    widths = rule.move(distance, half, counts, judged, learned).widths
    assert (widths[0] - widths[1]).abs().max() < 1e-5
    assert widths[:, far].abs().max() < 1e-5
