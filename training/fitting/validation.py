"""The score of a fitted forecaster on the validation part, by which families are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.training.evaluation.metrics import pinball
from eddycast.training.fitting.memories import Memories, groups_to_scan
from eddycast.training.fitting.problem import Problem
from eddycast.training.models.forecaster import Forecaster
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.units import Frame
from eddycast.training.models.quantiles.support import confine
from eddycast.training.models.unrolling import view_of

FORECASTS = 250_000  # scored at a time


@dataclass(frozen=True)
class ValidationScore:
    """Scores over all leads of the validation origins, every stream z-scored by its mean and
    deviation in the train part; NaN without any target."""

    wql: float  # weighted quantile loss: mean over levels of sum 2 pinball / sum |y|
    mse: float  # of the median


@torch.no_grad()
def validation_score(
    model: Forecaster, problem: Problem, memories: Memories | None = None
) -> ValidationScore:
    """Score `model` on the validation part, its hidden state carried from the first row."""
    model.eval()
    sums = np.zeros(4)  # pinball, size, squared error, targets
    memories, horizon = memories or Memories(problem, model.memory.spec), problem.target.horizon
    most = max(1, min(FORECASTS // horizon, memories.pairs_at_once(horizon)))
    for part, columns in memories.parts(problem):
        for streams in groups_to_scan(part, model.latent.units if model.latent else 0):
            sums += _sums(model, part.of(streams), columns.of(streams), most)
    loss, size, squared, targets = sums
    return ValidationScore(
        loss / size if size else np.nan, squared / targets if targets else np.nan
    )


def _sums(model: Forecaster, problem: Problem, columns: Columns, most: int) -> NDArray[np.float64]:
    """Pinball losses, sizes of the targets, squared errors and number of the targets of some
    streams, `most` pairs at a time."""
    hidden, horizon = model.scan(columns), problem.target.horizon
    levels = np.asarray(problem.target.quantiles)
    centre = _means(problem)
    sums = np.zeros(4)
    origins = problem.validation_origins(horizon)
    for t, s in problem.pair_chunks(origins, most):
        unit, came = problem.unit[s][:, None], problem.windows(t, s, horizon)
        view = view_of(columns, t, s, hidden[torch.as_tensor(t), torch.as_tensor(s)])
        frame = Frame(torch.as_tensor(columns.x[t, s]), torch.as_tensor(columns.scale[t, s]))
        emitted = confine(frame.raw(model.multi_step_units(view)), problem.target.support).numpy()
        error = (came[:, :, None] - emitted) / unit[:, :, None]
        judged = ~np.isnan(came) & (columns.count[t, s] > 0)[:, None]
        error = error[judged]
        sums += (
            2 * pinball(error, levels).mean(1).sum(),
            np.abs((came - centre[s][:, None]) / unit)[judged].sum(),
            (error[:, problem.target.median] ** 2).sum(),
            judged.sum(),
        )
    return sums


def _means(problem: Problem) -> NDArray[np.float64]:
    """Mean of each stream in the train part, [S]; 0 without a value."""
    train = problem.values[: problem.train_end]
    observed = ~np.isnan(train)
    return np.asarray(np.where(observed, train, 0.0).sum(0) / np.maximum(observed.sum(0), 1))
