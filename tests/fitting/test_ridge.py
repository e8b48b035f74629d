"""The linear map learns each lead from the rows in which that lead's own target was observed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from eddycast.training.fitting import ridge
from eddycast.training.fitting.families import Plan, fit_ar, fit_family
from eddycast.training.fitting.memories import Memories
from eddycast.training.fitting.problem import Problem
from eddycast.training.fitting.recurrent import _losses, _mean
from eddycast.training.fitting.ridge import fit_linear
from eddycast.training.fitting.validation import validation_score
from eddycast.training.models import LatentAutoregression
from eddycast.training.models.linear import linear_memory
from tests.fitting.problems import daily, problem

NIGHT = 10  # hours without a row


def only_by_day(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A plant that is silent at night: no row of 12 leads is ever whole."""
    return np.where((np.arange(len(values)) % 24 < NIGHT)[:, None], np.nan, values)


def by_day(horizon: int = 12) -> Problem:
    return problem(only_by_day(daily(0, 2400)), horizon=horizon, season=24)


def test_leads_behind_a_night_are_learned() -> None:
    """No row has all of the leads 7 to 12: they had the map of zeros,
    which forecasts the last value."""
    whole = by_day()
    maps = fit_linear(whole, Memories(whole, linear_memory(whole.target)), 12).weights
    assert (np.abs(maps).sum(0) > 0.1).all()
    seasonal = validation_score(fit_family("seasonal_naive", whole, Plan()), whole)
    assert validation_score(fit_ar(whole, 48), whole).mse < seasonal.mse


@pytest.mark.parametrize("holes", ["night", "random", "none"])
@pytest.mark.parametrize("cells", [ridge.GRAM_CELLS, 1])
def test_a_lead_is_fitted_as_if_it_were_the_only_one(
    holes: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map of a lead is that of least squares over its own rows, in one pass or in several."""
    monkeypatch.setattr(ridge, "GRAM_CELLS", cells)
    values = daily(1, 800)
    if holes != "none":
        lost = np.random.default_rng(1).random(values.shape) < 0.3
        values = only_by_day(values) if holes == "night" else np.where(lost, np.nan, values)
    whole = problem(values, horizon=9, season=24)
    memory = linear_memory(whole.target, 6, (0.3,))
    found, columns = fit_linear(whole, Memories(whole, memory), 9), whole.columns(memory)
    t, s = whole.pairs(whole.train_origins(9))
    t, s = (part[columns.count[t, s] > 0] for part in (t, s))
    features = columns.features(t, s) * (columns.scale[t, s] / whole.unit[s])[:, None]
    for lead in (1, 4, 9):
        target = (whole.windows(t, s, lead)[:, -1] - columns.x[t, s]) / whole.unit[s]
        kept = ~np.isnan(target)
        x = features[kept]
        strength = found.strengths[lead] * kept.sum() * np.mean(x**2, 0)
        expected = np.linalg.solve(x.T @ x + np.diag(strength), x.T @ target[kept])
        assert found.weights[:, lead] == pytest.approx(expected, abs=2e-3)


def test_a_lead_that_was_never_observed_is_the_last_value() -> None:
    values = daily(2, 600)
    values[90:360] = np.nan
    whole = problem(values, horizon=4)
    assert whole.warmup >= 90
    memories = Memories(whole, linear_memory(whole.target, 4))
    assert not fit_linear(whole, memories, 4).weights[:, 1:].any()


def test_a_seldom_observed_lead_weighs_as_much_as_any_other_in_the_loss() -> None:
    """The loss is the mean over leads of each lead's own mean."""
    whole = by_day(3)
    values = whole.values.copy()
    torch.manual_seed(0)
    model = LatentAutoregression(whole.target, "gru", None, units=4).eval()
    columns = whole.columns(model.memory.spec)
    t, s = whole.pairs(np.arange(400, 700))
    hidden = torch.zeros(len(t), 4)
    with torch.no_grad():
        losses = _losses(model, whole, columns, hidden, t, s)
    assert losses.shape == (2, 4)
    assert losses[1, :3].tolist() == [
        float((~np.isnan(values[t + lead, s])).sum()) for lead in (1, 2, 3)
    ]
    by_lead = losses[0] / losses[1]
    assert float(_mean(losses)) == pytest.approx(float(0.8 * by_lead[:3].mean() + 0.2 * by_lead[3]))
    assert float(_mean(torch.zeros(2, 4))) == 0.0
