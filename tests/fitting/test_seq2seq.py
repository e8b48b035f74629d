"""A decoder reads the target before its own: the true one where it is shown,
its own median elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from eddycast.training.fitting.families import Plan, fit_family
from eddycast.training.fitting.recurrent import schedule_of
from eddycast.training.models import LinearAutoregression, SequenceToSequence
from eddycast.training.models.contract import View
from eddycast.training.models.memory.columns import unroll_memory
from eddycast.training.models.unrolling import view_of
from tests.fitting.problems import daily, problem
from tests.models.zoo import forecaster


def views(model: SequenceToSequence) -> View:
    whole = problem(daily(1), season=24)
    columns = unroll_memory(model.memory.spec, whole.values, whole.timestamps)
    t, s = whole.pairs(np.arange(300, 310))
    return view_of(columns, t, s, torch.randn(len(t), model.latent.units))


@torch.no_grad()
def test_a_target_is_read_for_the_leads_after_it_alone() -> None:
    model = forecaster("seq2seq")
    assert isinstance(model, SequenceToSequence)
    view = views(model)
    shown = torch.full((len(view.timestamp), 12), torch.nan)
    own = model.multi_step_units(view)
    assert torch.equal(model.multi_step_units(replace(view, shown=shown)), own)
    shown[:, 4] = 3.0
    told = model.multi_step_units(replace(view, shown=shown))
    assert torch.equal(told[:, :5], own[:, :5])
    assert (told[:, 5:] != own[:, 5:]).any(-1).any(-1).all()


@torch.no_grad()
def test_a_forecast_is_what_its_own_medians_would_teach() -> None:
    model = forecaster("seq2seq-plain")
    assert isinstance(model, SequenceToSequence)
    view = views(model)
    own = model.multi_step_units(view)
    taught = model.multi_step_units(replace(view, shown=own[:, :, model.target.median]))
    assert torch.allclose(taught, own, atol=1e-6)


def test_untrained_it_is_its_linear_path() -> None:
    """The correction starts at zero, so that a short training cannot spoil what the closed form
    found."""
    whole = problem(daily(2), season=24)
    still = replace(schedule_of("seq2seq"), epochs=0)
    model = fit_family("seq2seq", whole, Plan(schedules=lambda _: still))
    assert isinstance(model, SequenceToSequence)
    assert isinstance(model.linear, LinearAutoregression)
    at = range(400, 410)
    corrected, path = (
        one.unroll(whole.values, whole.timestamps, at).multi_step for one in (model, model.linear)
    )
    assert np.allclose(corrected[..., 1], path[..., 1], atol=1e-4)
