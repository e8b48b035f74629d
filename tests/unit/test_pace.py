"""The pace follows what was measured, and a turn is over when its time is."""

from __future__ import annotations

from eddycast.service.delivery.pace import Pace


class Clock:
    now = 5.0

    def __call__(self) -> float:
        return self.now


def measured(pace: Pace, clock: Clock, unit_s: float, times: int = 1) -> float:
    """Allowed cost of a chunk, after chunks of that cost took `unit_s` per unit."""
    for _ in range(times):
        cost = pace.chunk
        clock.now += 60.0  # a commit, which is no work
        pace.go_on()
        clock.now += cost * unit_s
        pace.did(cost)
    return pace.chunk


def test_a_portion_takes_half_a_turn_once_the_pace_is_known() -> None:
    clock = Clock()
    pace = Pace(2.0, clock)
    pace.begin()
    for unit_s in (1e-4, 0.05, 0.001):
        assert 0.9 < measured(pace, clock, unit_s, times=20) * unit_s < 1.1


def test_a_graph_that_is_slow_is_noticed_after_one_portion() -> None:
    clock = Clock()
    pace = Pace(2.0, clock)
    pace.begin()
    assert measured(pace, clock, 1.0) < 3.0


def test_a_clock_that_does_not_move_stops_nothing() -> None:
    pace = Pace(2.0, Clock())
    for _ in range(2000):
        pace.did(1.0)
    assert pace.chunk > 0


def test_a_turn_is_over_when_its_time_is_and_begins_anew() -> None:
    clock = Clock()
    pace = Pace(2.0, clock)
    said = []
    for waited, worked in ((9.0, 1.0), (0.0, 2.0)):
        pace.begin()
        clock.now += waited
        pace.go_on()
        clock.now += worked
        pace.did(1.0)
        said.append(pace.is_over)
    pace.begin()
    assert [*said, pace.is_over] == [False, True, False]


def test_polls_take_twice_what_a_turn_could_process_until_turns_leave_nothing() -> None:
    pace = Pace(2.0, Clock())
    all_of_them = pace.limit
    limits = []
    for served, fetched in ((50_000, 50_000), (40, 50_000), (10, 80), (0, 0), (20, 20), (40, 40)):
        pace.end(served, fetched)
        limits.append(pace.limit)
    assert limits == [all_of_them, 80, 20, 20, 40, 80], "an empty poll proves nothing"
    for _ in range(100):
        pace.end(7, 7)
    assert pace.limit == all_of_them > 1_000_000_000
