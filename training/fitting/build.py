"""From a family's name to a fitted forecaster."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from training.fitting.iterated import fit_iterated
from training.fitting.problem import Problem
from training.fitting.recurrent import Report, Schedule, fit_recurrent, no_report, schedule_of
from training.fitting.residuals import fit_offsets
from training.fitting.ridge import fit_linear
from training.models import Forecaster, LatentAutoregression, LinearAutoregression, Naive, SeasonalNaive
from training.models.columns import Columns, unroll_memory
from training.models.linear import LAGS, iterated_memory, linear_memory
from training.models.recurrent import RECURRENT

FAMILIES = ("naive", "seasonal_naive", "ar", *RECURRENT)


def fit_family(
    family: str,
    problem: Problem,
    *,
    lags: int = LAGS,
    iterated: bool = False,
    linear_path: bool = True,
    schedule: Schedule | None = None,
    report: Report = no_report,
) -> Forecaster:
    """Fit `family` on the problem's train part, choosing by its validation part. Deterministic for a seed."""
    schedule = schedule or schedule_of(family)
    torch.manual_seed(schedule.seed)
    if family in RECURRENT:
        linear = _fit_ar(problem, lags) if linear_path else None
        model = LatentAutoregression(problem.target, family, linear)
        columns = unroll_memory(model.memory.spec, problem.values, problem.timestamps)
        fit_recurrent(model, problem, columns, schedule, report)
        return model.eval()
    if family == "ar":
        return _fit_iterated(problem, lags) if iterated else _fit_ar(problem, lags)
    point = Naive(problem.target) if family == "naive" else SeasonalNaive(problem.target)
    fit_offsets(point, problem, unroll_memory(point.memory.spec, problem.values, problem.timestamps))
    return point.eval()


def _fit_ar(problem: Problem, lags: int) -> LinearAutoregression:
    columns = unroll_memory(linear_memory(problem.target, lags), problem.values, problem.timestamps)
    return _linear(problem, columns, fit_linear(problem, columns, problem.target.horizon).weights)


def _fit_iterated(problem: Problem, lags: int) -> LinearAutoregression:
    columns = unroll_memory(iterated_memory(problem.target, lags), problem.values, problem.timestamps)
    return _linear(problem, columns, fit_iterated(problem, columns, problem.target.horizon))


def _linear(problem: Problem, columns: Columns, maps: NDArray[np.float32]) -> LinearAutoregression:
    """The forecaster with these maps [features, horizon], lead by lead, and quantiles from its own errors."""
    model = LinearAutoregression(problem.target, columns.spec)
    weights = torch.as_tensor(maps)
    model.weights_one.copy_(weights[:, 0])
    model.weights_multi.copy_(weights)
    fit_offsets(model, problem, columns)
    model.eval()
    return model
