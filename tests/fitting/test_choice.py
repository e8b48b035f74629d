"""`mix` and `auto`: members fit together, and what is kept is what was best on the validation
part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from eddycast.service.errors import DataError
from eddycast.training.fitting.families import Plan, fit_family
from eddycast.training.fitting.recurrent import Schedule, schedule_of
from eddycast.training.fitting.selection import fit_auto, reason, validation_wql
from eddycast.training.fitting.validation import validation_score
from eddycast.training.models import Forecaster, Mixture
from eddycast.training.models.naive import PointForecaster
from tests.fitting.problems import daily, problem


def quick(family: str) -> Schedule:
    return replace(schedule_of(family), epochs=1, iterations=8)


QUICK = Plan(schedules=quick)


def test_a_mixture_is_the_mean_of_its_members_quantiles() -> None:
    whole = problem(daily(0), season=24)
    # each finds widths of its own otherwise
    whole = replace(whole, target=replace(whole.target, calibrated=False))
    mix = fit_family("mix", whole, replace(QUICK, members=("lstm", "ar")))
    assert isinstance(mix, Mixture)
    at = range(400, 410)
    members = cast(Iterable[Forecaster], mix.members)
    apart = [member.unroll(whole.values, whole.timestamps, at).multi_step for member in members]
    together = mix.unroll(whole.values, whole.timestamps, at).multi_step
    assert together == pytest.approx(np.mean(apart, 0), abs=1e-4)
    assert {"lstm_hidden", "lstm_cell"} <= set(mix.initial_state(1))


@pytest.mark.parametrize(
    "members", [("lstm",), ("lstm", "lstm"), ("lstm", "naive"), ("lstm", "mix")]
)
def test_members_that_cannot_be_mixed_are_refused(members: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="cannot be mixed"):
        fit_family("mix", problem(daily(0), season=24), Plan(members=members))


def test_auto_keeps_the_best_and_says_why() -> None:
    whole = problem(daily(1), season=24)
    found = fit_auto(whole, QUICK)
    families = {one.model.family for one in found}
    assert families == {"naive", "seasonal_naive", "ar", "lstm", "dilated_gru", "mix"}
    assert [one.wql for one in found] == sorted(one.wql for one in found)
    assert found[0].wql == min(validation_wql(one.model, whole) for one in found)
    assert reason(found).startswith(f"{found[0].model.family}: smallest")
    assert "naive" in {one.model.family for one in found[2:]}, "a daily wave is not its last value"


def test_auto_begins_nothing_after_its_time() -> None:
    families = [
        one.model.family for one in fit_auto(problem(daily(1), season=24), QUICK, budget_s=0.0)
    ]
    assert sorted(families) == ["ar", "ar", "naive", "seasonal_naive"]


@pytest.mark.parametrize(("seed", "light_is_better"), [(5, True), (4, False)])
def test_the_better_of_two_memories_is_that_of_all_that_follows(
    seed: int, light_is_better: bool
) -> None:
    """A short history of noise around a day that stays: now two tables are enough, now not."""
    noise = np.random.default_rng(seed).normal(size=(720, 1))
    short = np.tile(np.sin(2 * np.pi * np.arange(24) / 24), 30)[:, None] + noise
    found = fit_auto(problem(short, season=24), QUICK)
    linear = {one.note: one for one in found if one.model.family == "ar"}
    light, full = linear[" with a light memory"], linear[""]
    assert (light.wql < full.wql) == light_is_better
    better = (light if light_is_better else full).model.memory.spec
    assert better.lags == (24 if light_is_better else 48)
    built = ("lstm", "dilated_gru", "mix")
    assert {one.model.memory.spec for one in found if one.model.family in built} == {better}
    assert "ar with a light memory" in reason(found)


def test_lags_that_were_asked_for_are_kept() -> None:
    found = fit_auto(problem(daily(1), season=24), replace(QUICK, lags=30), budget_s=0.0)
    assert {one.model.memory.spec.lags for one in found if one.model.family == "ar"} == {30}


def test_a_random_walk_is_left_to_its_last_value() -> None:
    walk = np.random.default_rng(3).normal(size=(1500, 1)).cumsum(0)
    candidates = fit_auto(problem(walk, season=24), QUICK, budget_s=0.0)
    assert {one.model.family: one.wql for one in candidates}["seasonal_naive"] > candidates[0].wql
    assert candidates[0].model.family != "seasonal_naive"


def test_quantiles_fitted_to_the_judged_errors_win_nothing() -> None:
    """Offsets read off one half are judged on the other:
    moving a copy's offsets before judging changes nothing."""
    whole = problem(daily(2), season=24)
    model = fit_family("naive", whole, QUICK)
    assert isinstance(model, PointForecaster)
    plain, crosswise = validation_score(model, whole).wql, validation_wql(model, whole)
    model.offsets_multi.mul_(5)
    assert validation_score(model, whole).wql > 1.2 * plain
    assert validation_wql(model, whole) == pytest.approx(crosswise)


def test_the_judge_by_hand() -> None:
    """Forecast = last value, all offsets zero: the loss at every level averages to the absolute
    error."""
    whole = problem(daily(4, streams=1), season=24, horizon=3)
    model = fit_family("naive", whole, QUICK)
    assert isinstance(model, PointForecaster)
    model.offsets_multi.zero_()
    x = whole.values[:, 0]
    z = (x - x[: whole.train_end].mean()) / x[: whole.train_end].std()
    origins = np.arange(whole.train_end - 1, whole.validation_end - 3)
    came = np.stack([z[origins + lead] for lead in (1, 2, 3)], 1)
    error = came - z[origins][:, None]
    found = validation_score(model, whole)
    assert found.wql == pytest.approx(np.abs(error).sum() / np.abs(came).sum(), rel=1e-4)
    assert found.mse == pytest.approx((error**2).mean(), rel=1e-4)
    assert torch.is_grad_enabled()
