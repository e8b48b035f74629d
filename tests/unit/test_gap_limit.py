"""A night without rows is bridged; an outage is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from eddycast.training.data.gap_limit import gap_note, longest_gap, usual_gap
from eddycast.training.data.panel import MAX_GAP

DAY = 1440  # minutes


def by_day(days: int, night: int) -> NDArray[np.float64]:
    """A plant that sends nothing for `night` minutes a day, [1, days * DAY]."""
    minute = np.arange(days * DAY) % DAY
    return np.where(minute < night, np.nan, 1.0)[None]


def test_the_usual_gap_is_two_seasons_within_bounds() -> None:
    assert [usual_gap(span) for span in (1, 24, 1440)] == [2, 48, MAX_GAP]


@pytest.mark.parametrize("night", [600, 900])
def test_a_night_without_rows_is_bridged_with_room_for_longer_ones(night: int) -> None:
    values = by_day(10, night)
    bridged = longest_gap(values, DAY)
    assert night < bridged <= DAY
    note = gap_note(values, DAY, bridged)
    assert note is not None
    assert f"gaps up to {bridged:,} are bridged" in note


def test_an_outage_is_reported_instead_of_bridged() -> None:
    values = by_day(10, 0)
    values[0, 3000:4000] = np.nan
    assert longest_gap(values, DAY) == MAX_GAP
    note = gap_note(values, DAY, MAX_GAP)
    assert note is not None
    assert "begins anew" in note
    assert "1 time for" in note


def test_short_gaps_are_not_reported() -> None:
    assert longest_gap(by_day(10, 300), DAY) == MAX_GAP
    assert gap_note(by_day(10, 300), DAY, MAX_GAP) is None
    assert gap_note(np.full((2, 50), np.nan), 24, 48) is None
