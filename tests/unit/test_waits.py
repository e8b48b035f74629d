"""Lag in seconds: never more than a record can have waited, and rising while nothing is read."""

from __future__ import annotations

import pytest

from eddycast.service.delivery.waits import Waits


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_counts_from_the_last_record_that_was_read(clock: Clock) -> None:
    waits = Waits(clock)
    assert waits.seconds({0: 3, 1: 0}, {0: 990_000, 1: 5_000}) == {0: 10.0, 1: 0.0}
    clock.now += 60
    assert waits.seconds({0: 3}, {0: 990_000}) == {0: 70.0}, "nothing is read"
    assert waits.seconds({0: 2}, {0: 1_050_000}) == {0: 10.0}


def test_a_record_after_a_silence_has_not_waited_for_all_of_it(clock: Clock) -> None:
    waits = Waits(clock)
    assert waits.seconds({0: 0}, {0: 1_000}) == {0: 0.0}
    clock.now += 2
    assert waits.seconds({0: 1}, {0: 1_000}) == {0: 2.0}


def test_a_partition_of_which_nothing_is_known_has_none(clock: Clock) -> None:
    waits = Waits(clock)
    assert waits.seconds({0: 5, 1: 5}, {1: -1}) == {}


def test_a_broker_whose_clock_is_ahead_gives_no_negative_lag(clock: Clock) -> None:
    assert Waits(clock).seconds({0: 1}, {0: 1_003_000}) == {0: 0.0}
