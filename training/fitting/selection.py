"""Selection of a family (`auto`): the cheap families are fitted one after the other, and the best
on the validation part is kept. The linear autoregression is fitted with two memories; the recurrent
families use the better one.

Candidates are compared by weighted quantile loss. A point forecaster takes its quantiles from its
errors on the validation part, so it is scored crosswise: quantiles from one half of that part, loss
on the other.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from eddycast.training.fitting.families import MEMBERS, Plan, fit_ar, fit_family, fit_latent
from eddycast.training.fitting.memories import Memories
from eddycast.training.fitting.problem import Problem
from eddycast.training.fitting.residuals import fit_offsets
from eddycast.training.fitting.validation import validation_score
from eddycast.training.models import Forecaster, LinearAutoregression, Mixture
from eddycast.training.models.linear import LAGS, LIGHT_LAGS, LIGHT_RATES
from eddycast.training.models.naive import PointForecaster

Fit = Callable[[Problem], Forecaster]


@dataclass(frozen=True)
class Candidate:
    """A fitted forecaster with its weighted quantile loss on the validation part,
    and a way to fit it to another problem."""

    model: Forecaster
    wql: float
    seconds: float
    again: Fit
    note: str = ""

    def __str__(self) -> str:
        return f"{self.model.family}{self.note} {self.wql:.4f} ({self.seconds:.0f} s)"


def fit_auto(problem: Problem, plan: Plan, budget_s: float | None = None) -> list[Candidate]:
    """All candidates, best first. No further one starts after `budget_s` seconds;
    the baselines and `ar` always run."""
    fitted = list(_candidates(problem, plan, budget_s))
    return sorted(fitted, key=lambda one: one.wql if np.isfinite(one.wql) else np.inf)


def reason(candidates: list[Candidate]) -> str:
    """One line about why the first of `candidates` is kept."""
    kept = candidates[0].model.family
    return (
        f"{kept}: smallest weighted quantile loss on the validation part: "
        f"{', '.join(map(str, candidates))}"
    )


def _candidates(problem: Problem, plan: Plan, budget_s: float | None) -> Iterator[Candidate]:
    started = time.monotonic()

    def judged(
        again: Fit, note: str = "", fit: Callable[[], Forecaster] | None = None
    ) -> Candidate:
        begun = time.monotonic()
        model = fit() if fit else again(problem)
        seconds = time.monotonic() - begun
        return Candidate(model, validation_wql(model, problem), seconds, again, note)

    yield judged(lambda whole: fit_family("naive", whole, plan))
    if problem.target.season_steps:
        yield judged(lambda whole: fit_family("seasonal_naive", whole, plan))
    linear = [judged(lambda whole: fit_family("ar", whole, plan))]
    if problem.target.season_steps and not plan.iterated and plan.lags == LAGS:
        linear.append(
            judged(lambda whole: fit_ar(whole, LIGHT_LAGS, LIGHT_RATES), " with a light memory")
        )
    yield from linear
    better = min(linear, key=lambda one: one.wql)
    path = (
        better.model
        if plan.linear_path and isinstance(better.model, LinearAutoregression)
        else None
    )

    def latent(family: str, whole: Problem) -> Forecaster:
        fitted = better.again(whole) if path else None
        return fit_latent(
            family, whole, plan, fitted if isinstance(fitted, LinearAutoregression) else None
        )

    members: list[Forecaster] = []
    for family in MEMBERS:
        if budget_s is not None and time.monotonic() - started > budget_s:
            return
        one = judged(partial(latent, family), fit=partial(fit_latent, family, problem, plan, path))
        members.append(one.model)
        yield one
    if path:
        mixed = partial(_mixed, latent)
        yield judged(mixed, fit=lambda: Mixture(members).eval())


def _mixed(latent: Callable[[str, Problem], Forecaster], whole: Problem) -> Mixture:
    return Mixture([latent(family, whole) for family in MEMBERS]).eval()


def validation_wql(model: Forecaster, problem: Problem) -> float:
    """Mean loss over the two halves of the validation part,
    or over all of it if a half has too few origins."""
    memories = Memories(problem, model.memory.spec)
    middle = (problem.train_end + problem.validation_end) // 2
    apart = replace(problem, choices={})  # the choices of a half are not those of the whole part
    first, second = replace(apart, validation_end=middle), replace(apart, train_end=middle)
    if middle - problem.train_end < 2 * problem.target.reach:
        return validation_score(model, problem, memories).wql
    losses = []
    for half, other in ((first, second), (second, first)):
        crosswise = copy.deepcopy(model)
        if isinstance(crosswise, PointForecaster):
            fit_offsets(crosswise, other, memories)
        losses.append(validation_score(crosswise, half, memories).wql)
    return float(np.mean(losses))
