"""Truncated back-propagation: it learns, over long horizons too,
and the drawn leads are the head's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from eddycast.training.fitting.families import Plan, fit_family
from eddycast.training.fitting.problem import LONG
from eddycast.training.fitting.recurrent import schedule_of, validation_loss
from eddycast.training.models.bank import stride_of
from eddycast.training.models.memory.columns import unroll_memory
from eddycast.training.models.memory.memory import MemorySpec
from eddycast.training.models.recurrent import LatentAutoregression, Recurrent
from eddycast.training.models.seq2seq import SequenceToSequence
from eddycast.training.models.unrolling import view_of
from tests.fitting.problems import daily, problem


@pytest.mark.parametrize(
    ("family", "horizon"), [("dilated_gru", 12), ("lstm", 120), ("seq2seq", 12)]
)
def test_training_lowers_the_loss_on_validation(family: str, horizon: int) -> None:
    """Alone, so that all is to be learned. Beyond LONG leads every batch draws some of them."""
    whole = problem(daily(0), horizon=horizon, season=24)
    torch.manual_seed(0)
    seq2seq = family == "seq2seq"
    fresh = (
        SequenceToSequence(whole.target, None)
        if seq2seq
        else LatentAutoregression(whole.target, family, None)
    )
    columns = unroll_memory(fresh.memory.spec, whole.values, whole.timestamps)
    schedule = replace(schedule_of(family), epochs=2, iterations=8, learning_rate=5e-3)
    fitted = fit_family(family, whole, Plan(linear_path=False, schedules=lambda _: schedule))
    assert isinstance(fitted, Recurrent)
    assert validation_loss(fitted, whole, columns) < 0.9 * validation_loss(fresh, whole, columns)


@pytest.mark.parametrize("family", ["lstm", "dilated_gru"])
def test_drawn_leads_are_those_of_the_whole_horizon(family: str) -> None:
    whole = problem(daily(1), season=24)
    model = LatentAutoregression(whole.target, family, None).eval()
    columns = unroll_memory(model.memory.spec, whole.values, whole.timestamps)
    t, s = whole.pairs(np.arange(300, 310))
    view = view_of(columns, t, s, torch.randn(len(t), model.latent.units))
    leads = [7, 0, 3]
    with torch.no_grad():
        assert torch.allclose(
            model.units_at(view, leads), model.multi_step_units(view)[:, leads], atol=1e-6
        )


@pytest.mark.parametrize(
    ("family", "season", "block"), [("lstm", 24, 1), ("dilated_gru", 24, 1), ("gru", 336, 3)]
)
def test_alone_a_correction_starts_from_the_seasonal_table(
    family: str, season: int, block: int
) -> None:
    """For a history that repeats itself exactly, the table alone is the forecast."""
    # a bin of 336 slots holds two of them
    wave = np.repeat(np.sin(2 * np.pi * np.arange(12) / 12), 2)
    whole = problem(50 + np.tile(wave, 60)[:, None], season=season, block=block)
    model = LatentAutoregression(whole.target, family, None).eval()
    torch.nn.init.zeros_(model.multi_head.weight)
    columns = unroll_memory(model.memory.spec, whole.values, whole.timestamps)
    t, s = whole.pairs(np.arange(800, 850))
    with torch.no_grad():
        units = model.multi_step_units(
            view_of(columns, t, s, torch.randn(len(t), model.latent.units))
        )
    median = (
        columns.x[t, s][:, None]
        + columns.scale[t, s][:, None] * units[:, :, whole.target.median].numpy()
    )
    np.testing.assert_allclose(median, whole.windows(t, s, whole.target.horizon), atol=1e-5)


def test_long_horizons_are_judged_at_every_eighth_origin() -> None:
    whole = problem(daily(2), season=24)
    assert np.all(np.diff(whole.validation_origins(LONG)) == 1)
    assert np.all(np.diff(whole.validation_origins(LONG + 1)) == 8)


@pytest.mark.parametrize(
    ("season", "lags", "stride"),
    [
        (24, 48, 24),
        (96, 48, 24),
        (168, 48, 24),
        (7, 48, 7),
        (0, 48, 24),
        (24, 10, 8),
        (97, 48, 1),
        (0, 2, 2),
    ],
)
def test_a_bank_takes_whole_turns_in_a_season(season: int, lags: int, stride: int) -> None:
    assert stride_of(MemorySpec(1000, season, lags)) == stride
