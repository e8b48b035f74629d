"""Holes that are made for training: how many, how long,
and that the truth behind them is still what is learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.training.fitting import recurrent
from eddycast.training.fitting.families import Plan, fit_family
from eddycast.training.fitting.masking import holes, with_masked_runs
from eddycast.training.fitting.recurrent import schedule_of
from eddycast.training.models.unrolling import view_of
from tests.fitting.problems import daily, problem


def _runs(missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the runs of True in a column."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(int), [0]])))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize("longest", [14, 48, 192])
def test_holes_take_their_share_in_runs_from_one_row_to_the_longest(longest: int) -> None:
    made = holes((50_000, 3), longest, 0.2, np.random.default_rng(0))
    assert 0.17 < made.mean() < 0.26
    lengths = _runs(made[:, 0])
    assert lengths.min() == 1
    assert longest <= lengths.max() <= 4 * longest  # runs meet
    assert np.mean(made[:, 0] & made[:, 1]) < 0.1  # every stream has its own


def test_a_value_is_taken_out_or_left_as_it_is_in_every_channel() -> None:
    whole = replace(problem(daily(0), season=24), others=(daily(1), daily(2)))
    twin = with_masked_runs(whole, np.random.default_rng(0))
    taken = []
    for before, after in zip(
        (whole.values, *whole.others), (twin.values, *twin.others), strict=True
    ):
        missing = np.isnan(after)
        np.testing.assert_array_equal(np.where(missing, before, after), before)
        taken.append(missing)
    assert all(missing.any() for missing in taken)
    assert not np.array_equal(taken[0], taken[1])


@pytest.mark.exhaustive
def test_who_saw_holes_in_training_knows_how_wide_an_interval_is_inside_of_one() -> None:
    """A random walk: after a while without a value it may be anywhere."""
    walk = np.random.default_rng(3).normal(0, 1, (1500, 4)).cumsum(0)
    whole = problem(walk, horizon=6)
    holed = with_masked_runs(whole, np.random.default_rng(9))
    coverage = {}
    for masked in (0.0, 0.5):
        schedule = replace(schedule_of("gru"), epochs=3, iterations=60, masked=masked)
        model = fit_family(
            "gru", whole, Plan(linear_path=False, schedules={"gru": schedule}.__getitem__)
        )
        columns = holed.columns(model.memory.spec)
        t, s = whole.pairs(whole.validation_origins(6))
        inside = ~columns.observed[t, s]
        t, s = t[inside], s[inside]
        hidden = model.scan(columns)[torch.as_tensor(t), torch.as_tensor(s)]
        with torch.no_grad():
            units = model.one_step_units(view_of(columns, t, s, hidden)).numpy()
        came = (whole.next(t, s)[:, 0] - columns.x[t, s]) / columns.scale[t, s]
        coverage[masked] = np.mean((came >= units[:, 0]) & (came <= units[:, -1]))
    assert coverage[0.0] < 0.5
    assert coverage[0.5] > coverage[0.0] + 0.03


@pytest.mark.parametrize("masked", [0.0, 1.0])
def test_the_targets_are_the_true_values(masked: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much of the twin is missing."""
    seen: list[Tensor] = []
    genuine = recurrent._pinball

    def watched(
        units: Tensor, came: Tensor, weight: Tensor, levels: tuple[float, ...], end: Tensor | None
    ) -> Tensor:
        seen.append(came)
        return genuine(units, came, weight, levels, end)

    monkeypatch.setattr(recurrent, "_pinball", watched)
    whole = problem(daily(4), horizon=6, season=24)
    schedule = replace(schedule_of("gru"), epochs=1, iterations=4, masked=masked)
    fit_family("gru", whole, Plan(linear_path=False, schedules=lambda _: schedule))
    assert seen and not any(came.isnan().any() for came in seen)
