"""The season that `--season auto` finds, and where it finds none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fitting.problems import daily
from training.fitting.season import find_season


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 100), st.integers(0, 1000))
def test_a_noisy_pattern_is_found_with_holes_in_it(season: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.tile(random.normal(size=(season, 2)), (1200 // season, 1)) * 3 + random.normal(0, 0.3, (1, 2))
    values[random.random(values.shape) < 0.1] = np.nan
    assert find_season(values) == season


def test_a_drift_hides_no_season_and_two_days_are_not_taken_for_one() -> None:
    values = daily(0, steps=2000)
    values[:, 0] += np.linspace(0, 500, len(values))
    assert find_season(values) == 24


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(2000, 2)),
        np.random.default_rng(1).normal(size=(2000, 2)).cumsum(0),
        np.random.default_rng(2).normal(size=(2000, 1)).cumsum(0).cumsum(0),
        np.full((300, 2), 5.0),
        np.full((300, 2), np.nan),
        np.arange(8.0)[:, None],
        np.empty((0, 1)),
    ],
    ids=["noise", "walk", "smooth walk", "constant", "missing", "eight rows", "no rows"],
)
def test_none_is_found_where_there_is_none(values: np.ndarray) -> None:
    assert find_season(values) == 0


def test_less_than_four_days_show_no_daily_season() -> None:
    assert find_season(np.sin(2 * np.pi * np.arange(90) / 24)[:, None]) == 0
