"""A horizon on a coarser grid than the values: every lead is the mean over a block of slots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from eddycast.training.fitting.families import Plan, fit_family
from eddycast.training.fitting.problem import Problem
from eddycast.training.fitting.validation import validation_score
from eddycast.training.models import LinearAutoregression
from tests.fitting.problems import daily, problem

BLOCK = 6


def blocks(seed: int = 0, horizon: int = 4) -> Problem:
    return problem(daily(seed), horizon=horizon, season=24, block=BLOCK)


def test_a_lead_is_the_mean_of_what_was_observed_in_its_block() -> None:
    values = daily(0)
    values[104:107, 0] = np.nan
    values[107:113, 1] = np.nan
    whole = problem(values, horizon=2, block=BLOCK)
    came = whole.windows(np.array([100, 100]), np.array([0, 1]), 2)
    assert came[0] == pytest.approx([values[101:104, 0].mean(), values[107:113, 0].mean()])
    assert came[1, 0] == pytest.approx(values[101:107, 1].mean())
    assert np.isnan(came[1, 1])
    assert whole.next(np.array([100]), np.array([0])) == values[101, 0]


def test_no_target_lies_beyond_its_part() -> None:
    whole = blocks()
    reach = whole.target.horizon * BLOCK
    assert whole.target.reach == reach
    assert whole.train_origins(4)[-1] + reach == whole.train_end - 1
    assert whole.validation_origins(4)[-1] + reach == whole.validation_end - 1


def test_seasonal_naive_and_the_iterated_map_give_the_mean_of_their_fine_forecasts() -> None:
    coarse = blocks()
    fine = replace(coarse, target=replace(coarse.target, horizon=coarse.target.reach, block=1))
    at = range(500, 520)
    for family in ("seasonal_naive", "ar"):
        medians = []
        for whole in (coarse, fine):
            model = fit_family(family, whole, Plan(lags=8, iterated=True))
            medians.append(model.unroll(whole.values, whole.timestamps, at).multi_step[..., 1])
        mean = medians[1].reshape(*medians[0].shape, BLOCK).mean(-1)
        assert medians[0] == pytest.approx(mean, abs=1e-3), family


def test_ar_fits_the_next_value_beside_the_blocks() -> None:
    """One step ahead it is the model that it would be without blocks;
    over the horizon it beats that one's leads."""
    coarse = blocks(1)
    fine = replace(coarse, target=replace(coarse.target, block=1))
    one, other = (fit_family("ar", whole, Plan()) for whole in (coarse, fine))
    assert isinstance(one, LinearAutoregression)
    assert isinstance(other, LinearAutoregression)
    assert torch.allclose(one.weights_one, other.weights_one, atol=2e-2)
    assert validation_score(one, coarse).mse < 0.5 * validation_score(other, coarse).mse
