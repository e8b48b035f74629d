"""Stream time follows the majority of records and no single one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.records import LAST_TIMESTAMP, Int64
from eddycast.service.state.stream_time import FULL, Clock, advance, latest_stamps

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_795_000_000_000


def after(stamps: list[int], clock: Clock | None = None) -> Clock:
    return advance(clock or Clock(), np.array(stamps, np.int64), HOUR)[1]


def steady(count: int, start: int = NOW) -> list[int]:
    return [start + i * MINUTE for i in range(count)]


stamps = st.lists(
    st.one_of(
        st.integers(NOW - HOUR, NOW + HOUR),
        st.integers(NOW - 30 * DAY, NOW + 30 * DAY),
        st.sampled_from([0, LAST_TIMESTAMP]),
    ),
    max_size=40,
)


@given(sent=stamps, cuts=st.lists(st.integers(0, 40), max_size=5))
def test_cuts_change_nothing(sent: list[int], cuts: list[int]) -> None:
    whole, clock = advance(Clock(), np.array(sent, np.int64), HOUR)
    found: list[int] = []
    part = Clock()
    edges = sorted({0, len(sent), *(min(cut, len(sent)) for cut in cuts)})
    for start, end in pairwise(edges):
        times, part = advance(part, np.array(sent[start:end], np.int64), HOUR)
        found += times.tolist()
    assert found == whole.tolist() and part == clock


@given(
    sent=st.lists(st.integers(NOW - HOUR // 2, NOW + HOUR // 2), min_size=1, max_size=20),
    at=st.integers(0, 20),
)
def test_the_common_case_is_the_rule_of_the_single_one(sent: list[int], at: int) -> None:
    """Columns are processed at once if all stamps confirm each other, else one by one."""
    mixed = [*sent[:at], LAST_TIMESTAMP, *sent[at:]] if at else sent
    times = np.maximum.accumulate(np.array(sent, np.int64))
    assert after(mixed).newest == times[-1]


@given(before=stamps.filter(bool), one=st.integers(0, LAST_TIMESTAMP))
def test_one_record_moves_stream_time_by_at_most_the_leap(before: list[int], one: int) -> None:
    clock = after(before)
    moved = after([one], clock).newest
    assert moved <= max(clock.newest, max(before, default=one) + HOUR)
    assert moved >= min(clock.newest, min(before, default=one) - HOUR) or clock.newest < 0


def test_readings_ahead_are_not_believed_while_others_go_on() -> None:
    clock = after(steady(200))
    for evil in (LAST_TIMESTAMP, NOW + 10 * DAY):
        assert after([evil] * 199, clock).newest == clock.newest
    live = steady(400, NOW + 200 * MINUTE)
    mixed = [stamp for one in live for stamp in (one, LAST_TIMESTAMP)]
    assert after(mixed, clock).newest == live[-1]


def test_a_backfill_beside_live_sensors_leaves_it_where_they_are() -> None:
    live, old = steady(300), steady(250, NOW - 90 * DAY)
    mixed = [*live[:50], *(stamp for pair in zip(live[50:], old, strict=True) for stamp in pair)]
    assert after(mixed).newest == live[-1]


def test_after_an_outage_it_goes_on_with_the_others() -> None:
    clock = after(steady(100))
    later = steady(150, NOW + 9 * DAY)
    assert after(later, clock).newest == later[-1]
    assert after(later[:99], clock).newest == clock.newest


def test_a_full_trust_is_used_up_at_last() -> None:
    clock = after(steady(5 * FULL))
    assert clock.trust == FULL
    assert after(steady(FULL + 1, NOW + 90 * DAY), clock).newest >= NOW + 90 * DAY


def test_a_wrong_one_heals() -> None:
    """Also with a clock from an old marker, which only has the newest stamp."""
    for clock in (after([LAST_TIMESTAMP]), Clock(LAST_TIMESTAMP, 1)):
        assert after(steady(3), clock).newest == NOW + 2 * MINUTE
    assert after([*steady(1), LAST_TIMESTAMP, *steady(3, NOW + MINUTE)]).newest == NOW + 3 * MINUTE


def test_readings_hours_apart_take_it_along_one_behind() -> None:
    sent = [NOW + i * 2 * HOUR for i in range(20)]
    assert after(sent).newest == sent[-2]


def test_the_first_stamp_of_all_may_be_zero() -> None:
    assert after([0]) == Clock(0, 1)
    assert after([0, MINUTE]).newest == MINUTE


def test_how_late_a_stamp_may_be() -> None:
    def latest(clock: Clock, times: list[int], offsets: list[int]) -> list[int]:
        columns: list[Int64] = [np.array(column, np.int64) for column in (times, offsets)]
        found: list[int] = latest_stamps(clock, columns[0], columns[1], HOUR).tolist()
        return found

    never = Clock()
    assert latest(never, [NOW, NOW + 1], [5, 6]) == [NOW + HOUR, NOW + 1 + HOUR]
    assert latest(never, [-1, NOW, -1, -1], [5, 6, 7, 9]) == [
        LAST_TIMESTAMP,
        NOW + HOUR,
        NOW + HOUR,
        NOW + 3 * HOUR,
    ]
    heard = Clock(record_time=NOW, record_offset=3)
    assert latest(heard, [-1, -1], [4, 10]) == [NOW + HOUR, NOW + 7 * HOUR]
    assert latest(heard, [-1, LAST_TIMESTAMP], [10**15, 10**15 + 1]) == [LAST_TIMESTAMP] * 2
