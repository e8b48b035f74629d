from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.processing.alignment import ACCEPTED, FRESH, Verdict, align
from eddycast.service.records import ROW_PREFIX
from eddycast.training.data.slots import assign_slots

MINUTE = 60_000
NOON = 1_700_000_000_000 // MINUTE * MINUTE  # a stamp on the grid
YEAR_9999 = 253_402_300_799_999


def read_one_by_one(
    stamps: Iterable[int],
    interval_ms: int = MINUTE,
    max_gap: int = 512,
    period: int | None = None,
) -> tuple[list[int], list[Verdict], list[int], list[Any]]:
    """Results of `align` for each reading of one stream, and its rows after each."""
    row, slots, verdicts, imputed, rows = np.zeros(1, ROW_PREFIX), [], [], [], []
    for stamp in stamps:
        aligned = align(row, np.array([stamp], np.int64), interval_ms, max_gap, period=period)
        row = aligned.rows
        slots.append(int(aligned.slot[0]))
        verdicts.append(Verdict(int(aligned.verdict[0])))
        imputed.append(int(aligned.imputed[0]))
        rows.append(row[0])
    return slots, verdicts, imputed, rows


def judge(*stamps: int, **options: int) -> list[Verdict]:
    return read_one_by_one(stamps, **options)[1]


def test_first_then_next() -> None:
    slots, verdicts, imputed, rows = read_one_by_one([NOON, NOON + MINUTE])
    assert verdicts == [Verdict.FIRST, Verdict.NEXT]
    assert slots == [NOON // MINUTE, NOON // MINUTE + 1]
    assert imputed == [0, 0]
    assert [int(row["observations"]) for row in rows] == [1, 2]
    assert int(rows[1]["last_timestamp"]) == NOON + MINUTE


def test_the_phase_starts_at_the_distance_from_the_nearest_slot_and_follows_by_a_tenth() -> None:
    _, _, _, rows = read_one_by_one([NOON + 20_000, NOON + MINUTE + 30_000])
    assert rows[0]["phase"] == 20_000
    assert rows[1]["phase"] == 21_000


def test_a_gap_up_to_max_gap_is_imputed_and_a_longer_one_resets() -> None:
    slots, verdicts, imputed, rows = read_one_by_one(
        [NOON, NOON + 5 * MINUTE, NOON + 11 * MINUTE], max_gap=5
    )
    assert verdicts == [Verdict.FIRST, Verdict.GAP, Verdict.RESET]
    assert imputed == [0, 4, 0]
    assert slots[2] == NOON // MINUTE + 11
    assert int(rows[2]["observations"]) == 1


def test_duplicate_and_second_reading_change_nothing() -> None:
    slots, verdicts, _, rows = read_one_by_one([NOON, NOON, NOON + 10_000])
    assert verdicts == [Verdict.FIRST, Verdict.DUPLICATE, Verdict.SECOND]
    assert rows[1] == rows[0]
    assert rows[2] == rows[0]
    assert slots[2] == slots[0]


def test_a_late_reading_changes_only_the_late_fields() -> None:
    _, verdicts, _, rows = read_one_by_one([NOON, NOON - MINUTE])
    assert verdicts[1] is Verdict.LATE
    assert rows[1]["late_timestamp"] == NOON - MINUTE
    assert rows[1]["late_run"] == 1
    for field in ("last_slot", "last_timestamp", "phase", "observations"):
        assert rows[1][field] == rows[0][field]


def test_three_late_readings_in_increasing_order_move_the_row_back_by_whole_periods() -> None:
    back = NOON - 90 * MINUTE + 10_000
    slots, verdicts, imputed, rows = read_one_by_one(
        [NOON, back, back + MINUTE, back + 2 * MINUTE, back + 3 * MINUTE], period=60
    )
    assert verdicts == [Verdict.FIRST, Verdict.LATE, Verdict.LATE, Verdict.SET_BACK, Verdict.NEXT]
    # from noon less two hours to noon less 88 minutes
    assert imputed == [0, 0, 0, 31, 0]
    assert slots[3:] == [NOON // MINUTE - 88, NOON // MINUTE - 87]
    assert [int(rows[3][name]) for name in ("observations", "late_run", "phase")] == [2, 0, 10_000]
    assert rows[3]["last_timestamp"] == back + 2 * MINUTE


@pytest.mark.parametrize(
    ("back", "period", "missing"), [(1, 1, 0), (70, 1, 0), (60, 60, 59), (59, 60, 0), (61, 60, 58)]
)
def test_a_row_moves_back_to_less_than_a_period_before_the_reading(
    back: int, period: int, missing: int
) -> None:
    late = [NOON - back * MINUTE - 20, NOON - back * MINUTE - 10, NOON - back * MINUTE]
    _, verdicts, imputed, _ = read_one_by_one([NOON, *late], period=period)
    assert verdicts[-1] is Verdict.SET_BACK and imputed[-1] == missing


def test_a_row_that_would_move_back_over_too_long_a_gap_restarts() -> None:
    stamps = [NOON, NOON - 30, NOON - 20, NOON - 10]
    assert judge(*stamps, period=5, max_gap=5)[-1] is Verdict.SET_BACK
    _, verdicts, imputed, rows = read_one_by_one(stamps, period=6, max_gap=5)
    assert verdicts[-1] is Verdict.RESTART and imputed[-1] == 0
    assert rows[-1]["observations"] == 1


def test_without_a_period_three_late_readings_in_increasing_order_restart_the_row() -> None:
    back = NOON - 90 * MINUTE
    slots, verdicts, _, rows = read_one_by_one(
        [NOON, back, back + MINUTE, back + 2 * MINUTE, back + 3 * MINUTE]
    )
    assert verdicts == [Verdict.FIRST, Verdict.LATE, Verdict.LATE, Verdict.RESTART, Verdict.NEXT]
    assert slots[3] == back // MINUTE + 2
    assert rows[3]["observations"] == 1
    assert rows[3]["late_run"] == 0


def test_late_readings_out_of_order_never_restart() -> None:
    assert (
        judge(NOON, NOON - 30, NOON - 20, NOON - 25, NOON - 24, NOON - 28)[1:] == [Verdict.LATE] * 5
    )


def test_an_accepted_reading_clears_the_run_of_late_ones() -> None:
    verdicts = judge(NOON, NOON - 40, NOON - 30, NOON + MINUTE, NOON - 20, NOON - 10)
    assert verdicts[1:] == [Verdict.LATE, Verdict.LATE, Verdict.NEXT, Verdict.LATE, Verdict.LATE]


def test_a_late_reading_that_comes_twice_neither_adds_to_the_run_nor_breaks_it() -> None:
    assert judge(NOON, *[NOON - 30] * 5)[1:] == [Verdict.LATE] * 5
    assert judge(NOON, NOON - 30, NOON - 30, NOON - 20, NOON - 20, NOON - 10)[-1] is Verdict.RESTART


def test_a_stamp_of_zero_is_a_reading_like_any_other() -> None:
    assert judge(0, 0, MINUTE) == [Verdict.FIRST, Verdict.DUPLICATE, Verdict.NEXT]


def test_stamps_at_the_end_of_year_9999_lose_no_millisecond() -> None:
    start = YEAR_9999 - 1000
    _, verdicts, _, rows = read_one_by_one(range(start, YEAR_9999 + 1), interval_ms=1)
    assert set(verdicts[1:]) == {Verdict.NEXT}
    assert rows[-1]["last_slot"] == YEAR_9999
    assert rows[-1]["phase"] == 0


@pytest.mark.parametrize("sd_s", [1, 2, 5])
def test_jitter_drops_and_imputes_nothing_at_any_phase(sd_s: int) -> None:
    """One sensor per second of phase, over ten hours, one column per reading."""
    rng = np.random.default_rng(sd_s)
    phase = np.arange(0, MINUTE, 1000)
    rows = np.zeros(len(phase), ROW_PREFIX)
    for reading in range(600):
        jitter = rng.normal(0, sd_s * 1000, len(phase)).astype(np.int64)
        aligned = align(rows, NOON + phase + reading * MINUTE + jitter, MINUTE, 512)
        assert set(aligned.verdict.tolist()) == {Verdict.NEXT if reading else Verdict.FIRST}
        rows = aligned.rows


def test_a_slow_clock_leaves_about_one_empty_slot_an_hour() -> None:
    _, verdicts = assign_slots(NOON + np.arange(0, 24 * 3_600_000, 61_000), MINUTE, 512)
    assert set(verdicts[1:].tolist()) == {Verdict.NEXT, Verdict.GAP}
    assert 22 <= np.count_nonzero(verdicts == Verdict.GAP) <= 25


def test_a_fast_clock_drops_about_one_reading_an_hour() -> None:
    _, verdicts = assign_slots(NOON + np.arange(0, 24 * 3_600_000, 59_000), MINUTE, 512)
    assert set(verdicts[1:].tolist()) == {Verdict.NEXT, Verdict.SECOND}
    assert 22 <= np.count_nonzero(verdicts == Verdict.SECOND) <= 25


def test_a_drifting_sensor_keeps_its_slot_near_its_stamp() -> None:
    stamps = NOON + np.arange(0, 48 * 3_600_000, 61_000)
    slots, _ = assign_slots(stamps, MINUTE, 512)
    assert np.abs(slots * MINUTE - stamps).max() <= 1.5 * MINUTE


# Steps as sensors and their faults make them: regular, jittered, repeated, back in time,
# across gaps.
steps = st.one_of(
    st.sampled_from([0, 1, 500, 1000, 1000, 1000, 2000, 5000, 9000, -1000, -3000]),
    st.integers(-4000, 9000),
)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 5000),
    st.lists(steps, max_size=60),
    st.sampled_from([7, 1000, 1001]),
    st.sampled_from([1, 4]),
)
def test_assigning_a_sequence_equals_aligning_record_by_record(
    start: int, walk: list[int], interval_ms: int, max_gap: int
) -> None:
    stamps = 1_000_000 + start + np.cumsum(np.array([0, *walk], np.int64))
    slots, verdicts = assign_slots(stamps, interval_ms, max_gap)
    expected_slots, expected_verdicts, _, _ = read_one_by_one(stamps.tolist(), interval_ms, max_gap)
    assert slots.tolist() == expected_slots
    assert verdicts.tolist() == expected_verdicts


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 999), st.lists(st.integers(0, 30), max_size=30), st.integers(0, 400))
def test_long_regular_runs_after_a_lock_that_has_not_settled(
    phase: int, jitters: list[int], repeats: int
) -> None:
    wobble = np.array([0, *jitters], np.int64) + np.arange(len(jitters) + 1) * 1000
    stamps = (
        5_000_000 + phase + np.concatenate([wobble, wobble[-1] + 1000 * np.arange(1, repeats + 1)])
    )
    slots, verdicts = assign_slots(stamps, 1000, 10)
    expected_slots, expected_verdicts, _, _ = read_one_by_one(stamps.tolist(), 1000, 10)
    assert slots.tolist() == expected_slots
    assert verdicts.tolist() == expected_verdicts


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-450, 450), st.integers(960, 1040), st.integers(1, 60)), max_size=5
    )
)
def test_clocks_that_drift_and_jump_between_regular_runs(
    segments: list[tuple[int, int, int]],
) -> None:
    walk = [part for jump, step, count in segments for part in (1000 + jump, *[step] * count)]
    stamps = 7_000_000 + np.cumsum(np.array([0, *walk], np.int64))
    slots, verdicts = assign_slots(stamps, 1000, 10)
    expected_slots, expected_verdicts, _, _ = read_one_by_one(stamps.tolist(), 1000, 10)
    assert slots.tolist() == expected_slots
    assert verdicts.tolist() == expected_verdicts


@pytest.mark.parametrize("interval_s", [59, 61])
def test_the_phase_of_a_drifting_sensor_stays_within_an_interval(interval_s: int) -> None:
    stamps = NOON + np.arange(0, 6 * 3_600_000, interval_s * 1000)
    _, _, _, rows = read_one_by_one(stamps.tolist())
    assert max(abs(float(row["phase"])) for row in rows) < MINUTE
    slots, verdicts = assign_slots(stamps, MINUTE, 512)
    expected_slots, expected_verdicts, _, _ = read_one_by_one(stamps.tolist())
    assert (slots.tolist(), verdicts.tolist()) == (expected_slots, expected_verdicts)


def test_a_run_taken_at_once_leaves_the_phase_it_found() -> None:
    """The phase is still adapting to a jump of 400 ms when the next jump comes."""
    jumps = np.repeat([0, 400, 800, 400], [3, 4, 30, 30])
    stamps = 7_000_000 + np.arange(len(jumps)) * 1000 + jumps
    expected_slots, expected_verdicts, _, _ = read_one_by_one(stamps.tolist(), 1000, 10)
    assert set(expected_verdicts) > {Verdict.FIRST, Verdict.NEXT}
    slots, verdicts = assign_slots(stamps, 1000, 10)
    assert (slots.tolist(), verdicts.tolist()) == (expected_slots, expected_verdicts)


def test_assigning_nothing() -> None:
    slots, verdicts = assign_slots(np.empty(0, np.int64), MINUTE, 512)
    assert len(slots) == len(verdicts) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_streams_are_aligned_independently_and_arguments_not_modified(
    pairs: list[tuple[int, int]],
) -> None:
    first, second = (np.array(column, np.int64) * 300 for column in zip(*pairs, strict=True))
    rows = align(np.zeros(len(pairs), ROW_PREFIX), first, 1000, 4).rows
    before = rows.copy()
    together = align(rows, second, 1000, 4)
    assert (rows == before).all()
    for i in range(len(pairs)):
        alone = align(rows[i : i + 1], second[i : i + 1], 1000, 4)
        assert alone.rows[0] == together.rows[i]
        assert alone.verdict[0] == together.verdict[i]


def test_the_masks_follow_the_verdict() -> None:
    rows = align(np.zeros(3, ROW_PREFIX), np.full(3, NOON), MINUTE, 5).rows
    aligned = align(rows, np.array([NOON, NOON + MINUTE, NOON + 10 * MINUTE]), MINUTE, 5)
    assert [Verdict(int(v)) for v in aligned.verdict] == [
        Verdict.DUPLICATE,
        Verdict.NEXT,
        Verdict.RESET,
    ]
    assert aligned.accepted.tolist() == [False, True, True]
    assert aligned.fresh.tolist() == [False, False, True]
    assert FRESH < ACCEPTED
