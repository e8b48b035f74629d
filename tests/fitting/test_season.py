"""The season that `--season auto` finds, and where it finds none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.training.data.seasons import find_season, find_seasons
from tests.fitting.problems import daily


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 100), st.integers(0, 1000))
def test_a_noisy_pattern_is_found_with_holes_in_it(season: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.tile(random.normal(size=(season, 2)), (1200 // season, 1)) * 3 + random.normal(
        0, 0.3, (1, 2)
    )
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


def week(steps: int, noise: float, weekend: float) -> np.ndarray:
    """[steps, 2] of a daily pattern that counts `weekend` times on two days of seven,
    with holes."""
    random = np.random.default_rng(3)
    hours = np.arange(steps)
    pattern = random.normal(size=24).cumsum()
    share = np.where(hours // 24 % 7 < 5, 1.0, weekend)
    values = (pattern[hours % 24] * share)[:, None] + random.normal(0, noise, (steps, 2))
    values[random.random(values.shape) < 0.05] = np.nan
    return values


@pytest.mark.parametrize("weekend", [0.2, 0.4])
def test_a_week_is_found_beside_the_day(weekend: float) -> None:
    assert find_seasons(week(24 * 7 * 20, 0.2, weekend)) == (24, 168)


def test_less_than_four_weeks_show_no_week() -> None:
    assert find_seasons(week(24 * 7 * 4 - 1, 0.2, 0.3)) == (24,)


@pytest.mark.parametrize("seed", range(5))
def test_no_second_season_is_found_where_all_days_are_alike(seed: int) -> None:
    assert find_seasons(daily(seed, steps=24 * 7 * 20)) == (24,)


def test_nothing_is_found_in_noise() -> None:
    assert find_seasons(np.random.default_rng(0).normal(size=(2000, 2))) == ()
