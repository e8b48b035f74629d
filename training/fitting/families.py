"""From the name of a family to a fitted forecaster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.service.errors import DataError
from eddycast.training.fitting.custom_family import fit_custom, is_custom, load_custom
from eddycast.training.fitting.iterated import fit_iterated
from eddycast.training.fitting.memories import Memories
from eddycast.training.fitting.problem import Problem
from eddycast.training.fitting.recurrent import (
    Schedule,
    TrainingProgress,
    fit_recurrent,
    no_progress,
    schedule_of,
)
from eddycast.training.fitting.residuals import fit_offsets
from eddycast.training.fitting.ridge import fit_linear
from eddycast.training.models import (
    Forecaster,
    LatentAutoregression,
    LinearAutoregression,
    Mixture,
    Naive,
    Recurrent,
    SeasonalNaive,
    SequenceToSequence,
)
from eddycast.training.models.linear import LAGS, RATES, iterated_memory, linear_memory
from eddycast.training.models.recurrent import RECURRENT
from eddycast.training.models.seq2seq import SEQ2SEQ
from eddycast.training.recipe import Recipe

MIX, AUTO = "mix", "auto"
LATENT = (*RECURRENT, SEQ2SEQ)
FAMILIES = ("naive", "seasonal_naive", "ar", *LATENT, MIX, AUTO)
MEMBERS = Recipe.members
MIXABLE = ("ar", *LATENT)


@dataclass(frozen=True)
class Plan:
    """Settings for fitting the families of one training. `schedules` returns the hyperparameters of
    a family by its name."""

    lags: int = LAGS
    iterated: bool = False
    linear_path: bool = True
    members: Sequence[str] = MEMBERS
    schedules: Callable[[str], Schedule] = schedule_of
    report: TrainingProgress = no_progress


def fit_family(family: str, problem: Problem, plan: Plan) -> Forecaster:
    """Fit `family` to the train part of a problem, with choices by its validation part.
    Deterministic for a seed.

    Raises DataError for a name that is not in FAMILIES, and for AUTO (see
    `training/fitting/selection.py`); FamilyError for a custom family that cannot be loaded or
    fails.
    """
    torch.manual_seed(plan.schedules(family).seed)
    if is_custom(family):
        return fit_custom(load_custom(family), problem, plan.schedules(family), plan.report)
    if family in LATENT:
        linear = fit_ar(problem, plan.lags) if plan.linear_path else None
        return fit_latent(family, problem, plan, linear)
    if family == MIX:
        return fit_mixture(problem, plan)
    if family == "ar":
        return _fit_iterated(problem, plan.lags) if plan.iterated else fit_ar(problem, plan.lags)
    if family not in ("naive", "seasonal_naive"):
        raise DataError(f"there is no family {family!r}", f"choose one of {', '.join(FAMILIES)}")
    point = Naive(problem.target) if family == "naive" else SeasonalNaive(problem.target)
    fit_offsets(point, problem, Memories(problem, point.memory.spec))
    return point.eval()


def fit_latent(
    family: str, problem: Problem, plan: Plan, linear: LinearAutoregression | None
) -> Recurrent:
    """A recurrent family, as a correction of `linear` if that is given."""
    torch.manual_seed(plan.schedules(family).seed)
    model: Recurrent = (
        SequenceToSequence(problem.target, linear)
        if family == SEQ2SEQ
        else LatentAutoregression(problem.target, family, linear)
    )
    columns = problem.columns(model.memory.spec)
    fit_recurrent(model, problem, columns, plan.schedules(family), plan.report)
    return model.eval()


def fit_mixture(problem: Problem, plan: Plan) -> Mixture:
    """Fit each member by itself on the same linear path.
    Raises DataError for members that cannot be mixed."""
    wrong = [name for name in plan.members if name not in MIXABLE]
    if wrong or len(plan.members) < 2 or len(set(plan.members)) < len(plan.members):
        raise DataError(
            f"{','.join(plan.members)} cannot be mixed", f"name two or more of {', '.join(MIXABLE)}"
        )
    linear = fit_ar(problem, plan.lags)
    fitted = [
        linear if name == "ar" else fit_latent(name, problem, plan, linear) for name in plan.members
    ]
    return Mixture(fitted).eval()


def fit_ar(problem: Problem, lags: int, rates: tuple[float, ...] = RATES) -> LinearAutoregression:
    """The linear autoregression on `lags` past values and seasonal tables of these rates."""
    memories = Memories(problem, linear_memory(problem.target, lags, rates))
    return _linear(problem, memories, fit_linear(problem, memories, problem.target.horizon).weights)


def _fit_iterated(problem: Problem, lags: int) -> LinearAutoregression:
    memories = Memories(problem, iterated_memory(problem.target, lags))
    return _linear(problem, memories, fit_iterated(problem, memories, problem.target.horizon))


def _linear(
    problem: Problem, memories: Memories, maps: NDArray[np.float32]
) -> LinearAutoregression:
    """A forecaster with the maps [features, 1 + horizon], next value first,
    and quantiles from its own errors."""
    model = LinearAutoregression(problem.target, memories.spec)
    weights = torch.as_tensor(maps)
    model.weights_one.copy_(weights[:, 0])
    model.weights_multi.copy_(weights[:, 1:])
    fit_offsets(model, problem, memories)
    model.eval()
    return model
