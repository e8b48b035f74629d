"""From a family's name to a fitted forecaster."""

from __future__ import annotations

import torch

from training.fitting.problem import Problem
from training.fitting.recurrent import Report, Schedule, fit_recurrent, no_report
from training.fitting.residuals import fit_offsets
from training.fitting.ridge import fit_linear
from training.models import Forecaster, LatentAutoregression, LinearAutoregression, Naive, SeasonalNaive
from training.models.cells import CELLS
from training.models.columns import unroll_memory
from training.models.linear import LAGS

FAMILIES = ("naive", "seasonal_naive", "ar", *CELLS)


def fit_family(
    family: str,
    problem: Problem,
    *,
    lags: int = LAGS,
    linear_path: bool = True,
    schedule: Schedule | None = None,
    report: Report = no_report,
) -> Forecaster:
    """Fit `family` on the problem's train part, choosing by its validation part. Deterministic for a seed."""
    torch.manual_seed((schedule or Schedule()).seed)
    if family in CELLS:
        linear = _fit_ar(problem, lags) if linear_path else None
        model = LatentAutoregression(problem.target, family, linear)
        columns = unroll_memory(model.memory.spec, problem.values, problem.timestamps)
        fit_recurrent(model, problem, columns, schedule or Schedule(), report)
        return model.eval()
    if family == "ar":
        return _fit_ar(problem, lags)
    point = Naive(problem.target) if family == "naive" else SeasonalNaive(problem.target)
    fit_offsets(point, problem, unroll_memory(point.memory.spec, problem.values, problem.timestamps))
    return point.eval()


def _fit_ar(problem: Problem, lags: int) -> LinearAutoregression:
    model = LinearAutoregression(problem.target, lags)
    columns = unroll_memory(model.memory.spec, problem.values, problem.timestamps)
    weights = torch.as_tensor(fit_linear(problem, columns, problem.target.horizon).weights)
    model.weights_one.copy_(weights[:, 0])
    model.weights_multi.copy_(weights)
    fit_offsets(model, problem, columns)
    model.eval()
    return model
