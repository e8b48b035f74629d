"""A night without rows is part of its season; a gap that a service forgets over is said."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from eddycast.service.bundle import SETTLING
from eddycast.training.data.gap_limit import gap_note, night_share, stepped_gap
from eddycast.training.data.panel import MAX_GAP

DAY = 1440  # minutes


def by_day(days: int, night: int) -> NDArray[np.float64]:
    """A plant that sends nothing for `night` minutes a day, [1, days * DAY]."""
    minute = np.arange(days * DAY) % DAY
    return np.where(minute < night, np.nan, 1.0)[None]


def test_four_seasons_are_stepped_within_bounds() -> None:
    steps = [1 + SETTLING, 1 + SETTLING, 1 + 96 * 4, 1 + MAX_GAP]
    assert [stepped_gap(span) for span in (1, 24, 96, 1440)] == steps


@pytest.mark.parametrize("night", [200, 600, 900])
def test_the_share_of_nights_is_found(night: int) -> None:
    assert night_share(by_day(10, night), DAY) == pytest.approx(night / DAY)


def test_holes_and_outages_are_no_nights() -> None:
    values = by_day(10, 100)
    values[0, 3000:4000] = np.nan
    values[0, 6000:9000] = np.nan
    assert night_share(values, DAY) == 0
    assert night_share(by_day(10, 600), 0) == 0, "without a season there is no night"
    assert night_share(np.full((2, 50), np.nan), 24) == 0


def test_the_median_stream_has_the_say() -> None:
    day, night = by_day(10, 0), by_day(10, 720)
    assert night_share(np.concatenate([day, day, night]), DAY) == 0
    assert night_share(np.concatenate([day, night, night]), DAY) == pytest.approx(0.5)


def test_a_gap_that_begins_a_stream_anew_is_reported() -> None:
    values = by_day(10, 0)
    values[0, 3000:4000] = np.nan
    assert gap_note(values, 1001) is None
    note = gap_note(values, 900)
    assert note is not None
    assert "1 time for more than 900 slots, at most 1,001" in note and "begins anew" in note
    assert gap_note(np.full((2, 50), np.nan), 48) is None
