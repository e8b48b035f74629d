"""The engine compared with a plain-Python implementation: record by record, without columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.bundle import SETTLING
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.alignment import Verdict
from eddycast.service.processing.engine import Engine, Forecasts
from eddycast.service.records import Observations
from eddycast.service.state.arena import Arena
from tests.support.bundles import (
    DAY_MS,
    OFFSETS,
    RECURRENT,
    START_MS,
    TWO_CHANNELS,
    Walk,
    write_bundle,
)

MINUTE = 60_000
Reading = tuple[int, bytes, int, float]  # partition, stream, timestamp, value


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path = tmp_path_factory.mktemp("walk")
    write_bundle(path, Walk(ranks=True, expects=True))
    return load_runtime(path, max_batch=16)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path, max_batch=32)


def engine(
    runtime: Runtime, capacity: int = 2, max_gap: int | None = None, forecast_every: int = 1
) -> Engine:
    arena = Arena(runtime.manifest.state, capacity=capacity)
    return Engine(runtime, arena, max_gap=max_gap, forecast_every=forecast_every)


def batches(readings: list[Reading]) -> list[Observations]:
    """Return the readings of a poll by partition, in order."""
    found = []
    for partition in sorted({reading[0] for reading in readings}):
        own = [reading for reading in readings if reading[0] == partition]
        stamps = np.array([reading[2] for reading in own], np.int64)
        values = np.array([[reading[3]] for reading in own], np.float64)
        found.append(
            Observations(
                partition, [r[1] for r in own], stamps, values, stamps, np.arange(len(own))
            )
        )
    return found


def minutes(*values: float, stream: bytes = b"s", partition: int = 0) -> list[Reading]:
    """One reading a minute."""
    return [(partition, stream, START_MS + i * MINUTE, value) for i, value in enumerate(values)]


@dataclass
class Row:
    """One stream, aligned by the table of `alignment.py`, one reading at a time."""

    slot: int = 0
    stamp: int = 0
    phase: float = 0.0
    seen: int = 0
    late: list[int] = field(default_factory=list)
    last: float = 0.0
    count: int = 0

    def read(self, stamp: int, max_gap: int, period: int) -> tuple[Verdict, int]:
        """Return the verdict and the number of missing steps before it."""
        if not self.seen:
            return self._begin(stamp, Verdict.FIRST), 0
        if stamp == self.stamp:
            return Verdict.DUPLICATE, 0
        if stamp < self.stamp:
            if stamp not in self.late[-1:]:
                self.late = [*self.late, stamp] if self.late and stamp > self.late[-1] else [stamp]
            return self._back(stamp, max_gap, period) if len(self.late) == 3 else (Verdict.LATE, 0)
        slot = math.floor((stamp - self.phase) / MINUTE + 0.5)
        phase = self.phase + (stamp - slot * MINUTE - self.phase) / 10
        turn = (phase >= MINUTE) - (phase <= -MINUTE)
        slot, phase = slot + turn, phase - turn * MINUTE
        k = slot - self.slot
        if k < 1:
            return Verdict.SECOND, 0
        if k > max_gap:
            return self._begin(stamp, Verdict.RESET), 0
        self.slot, self.stamp, self.phase, self.seen, self.late = (
            slot,
            stamp,
            phase,
            self.seen + 1,
            [],
        )
        return (Verdict.NEXT if k == 1 else Verdict.GAP), k - 1

    def _back(self, stamp: int, max_gap: int, period: int) -> tuple[Verdict, int]:
        slot = math.floor(stamp / MINUTE + 0.5)
        while self.slot >= slot:
            self.slot -= period
        missing = slot - self.slot - 1
        if missing >= max_gap:
            return self._begin(stamp, Verdict.RESTART), 0
        self.slot, self.stamp, self.phase = slot, stamp, float(stamp - slot * MINUTE)
        self.seen, self.late = self.seen + 1, []
        return Verdict.SET_BACK, missing

    def _begin(self, stamp: int, verdict: Verdict) -> Verdict:
        slot = math.floor(stamp / MINUTE + 0.5)
        self.__init__(slot, stamp, float(stamp - slot * MINUTE), 1)  # type: ignore[misc]
        return verdict


def check_against_rows(
    made: Forecasts,
    readings: list[Reading],
    rows: dict[tuple[int, bytes], Row],
    warm_from: int,
    period: int,
) -> None:
    """Every column of `made` equals that of a walk stepped reading by reading."""
    imputed, at = 0, 0
    for i, (partition, stream, stamp, value) in enumerate(readings):
        row = rows.setdefault((partition, stream), Row())
        verdict, missing = row.read(stamp, 8, period)
        assert made.verdicts[i] == verdict, f"reading {i}"
        imputed += missing
        if verdict in (Verdict.DUPLICATE, Verdict.SECOND, Verdict.LATE):
            continue
        assert made.index[at] == i
        before = row.last if row.count else math.nan
        error = value - before
        if not math.isnan(value):
            row.last, row.count = value, row.count + 1
        level = row.last if row.count else math.nan
        assert made.one_step[at, 0] == pytest.approx(level + OFFSETS, nan_ok=True)
        day = row.slot * MINUTE % DAY_MS / DAY_MS
        assert made.multi_step[at, 1, 0] == pytest.approx(
            level + day + math.sqrt(2) * OFFSETS, nan_ok=True
        )
        assert made.surprise[at] == pytest.approx(error**2 / 2, rel=1e-5, nan_ok=True)
        assert made.anomaly[at] == pytest.approx(
            1 - math.exp(-(error**2) / 2), abs=1e-6, nan_ok=True
        )
        assert made.expected[at, 0] == pytest.approx(before + OFFSETS, nan_ok=True)
        assert made.error[at, 0] == pytest.approx(error, nan_ok=True)
        assert made.scores[at, 0, 0] == pytest.approx(abs(error), rel=1e-5, nan_ok=True)
        assert made.warm[at] == (row.seen >= warm_from)
        at += 1
    assert len(made) == at and made.has_multi.all()
    assert made.imputed == imputed


#: Distance of a reading's stamp from the previous one, minutes: mostly one, sometimes anything.
steps = st.one_of(
    st.just(1.0),
    st.floats(0.4, 1.6),
    st.sampled_from([0.0, 0.1, -1.0, -2.5, -40.0, 2, 5, 8, 9, 12, 300]),
)
values = st.one_of(st.floats(-100, 100).map(lambda value: round(value, 2)), st.just(math.nan))


@settings(max_examples=80, deadline=None)
@given(
    drawn=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), steps, values), min_size=1, max_size=60
    ),
    cuts=st.lists(st.integers(1, 59), max_size=4, unique=True).map(sorted),
    period=st.sampled_from([1, 7, 30]),
)
def test_any_history_gives_what_one_record_at_a_time_gives(
    walk: Runtime, drawn: list[tuple[int, int, float, float]], cuts: list[int], period: int
) -> None:
    now: dict[tuple[int, int], int] = {}
    readings: list[Reading] = []
    for partition, stream, step, value in drawn:
        key = partition, stream
        now[key] = now.get(key, START_MS + 7_000 * stream) + round(step * MINUTE)
        readings.append((partition, b"stream-%d" % stream, now[key], value))
    subject, rows = engine(walk), dict[tuple[int, bytes], Row]()
    subject.period = period
    for start, end in zip([0, *cuts], [*cuts, len(readings)], strict=True):
        polled = sorted(readings[start:end], key=lambda reading: reading[0])
        if polled:
            check_against_rows(
                subject.run(batches(polled)), polled, rows, walk.manifest.warmup_steps, period
            )
    assert len(subject.arena) == len(rows)


def test_a_gap_is_stepped_over_with_nothing_observed(recurrent: Runtime) -> None:
    """Missing readings give the same bits as readings of NaN in those slots."""
    spoken = minutes(1.0, 2.0, math.nan, math.nan, math.nan, 5.0, math.nan, 7.0)
    silent = [
        (0, b"silent", stamp, value) for _, _, stamp, value in spoken if not math.isnan(value)
    ]
    one, other = engine(recurrent), engine(recurrent)
    said, unsaid = one.run(batches(spoken)), other.run(batches(silent))
    assert (said.imputed, unsaid.imputed) == (0, 4)
    assert unsaid.verdicts.tolist() == [Verdict.FIRST, Verdict.NEXT, Verdict.GAP, Verdict.GAP]
    assert said.one_step[[0, 1, 5, 7]].tobytes() == unsaid.one_step.tobytes()
    first, second = (e.arena.gather(np.array([0])) for e in (one, other))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_only_rows_that_still_need_a_step_are_imputed(recurrent: Runtime) -> None:
    subject = engine(recurrent, max_gap=500)
    streams = [b"%d" % i for i in range(40)]
    subject.run(batches([(0, stream, START_MS, 1.0) for stream in streams]))
    late = [(0, stream, START_MS + (i + 1) * MINUTE, 2.0) for i, stream in enumerate(streams)]
    made = subject.run(batches(late))
    assert made.imputed == sum(range(40))
    calls = made.step_rows.tolist()
    assert sum(calls) == made.imputed + 40 and max(calls) <= recurrent.max_batch
    assert calls[:3] == [32, 32, 32], "the longest gaps go together"


def test_a_gap_of_any_length_holds_one_piece_of_state(walk: Runtime) -> None:
    subject = engine(walk, max_gap=20_000)
    subject.run(batches(minutes(1.0)))
    made = subject.run(batches([(0, b"s", START_MS + 20_000 * MINUTE, 2.0)]))
    assert made.imputed == 19_999 and made.one_step[0, 0, 1] == 2.0
    assert set(made.step_rows.tolist()) == {1}


@pytest.fixture(scope="module")
def jumping(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path = tmp_path_factory.mktemp("jumping")
    write_bundle(path, replace(RECURRENT, jumps=True, max_gap=120))
    return load_runtime(path, max_batch=32)


def by_hand(runtime: Runtime, before: dict[str, Any], slot: int, missing: int) -> dict[str, Any]:
    """One row after `missing` slots without a value, the first of which is `slot`."""
    jumped = missing - SETTLING if missing > 119 else 0
    state, minute = dict(before), runtime.manifest.interval_ms
    if jumped:
        state |= runtime.jump(np.array([jumped]), np.array([(slot + jumped - 1) * minute]), state)
    for i in range(jumped, missing):
        state = runtime.step(
            np.full((1, 1), np.nan), np.array([(slot + i) * minute]), state
        ).next_state
    return state


@pytest.mark.parametrize("gap", [2, 120, 121, 5000])
def test_a_long_gap_is_a_jump_and_the_last_steps(jumping: Runtime, gap: int) -> None:
    subject = engine(jumping, max_gap=10_000)
    subject.run(batches(minutes(1.0, 5.0, 3.0)))
    before = subject.arena.gather(np.array([0]))
    slot = START_MS // MINUTE + 3
    made = subject.run(batches([(0, b"s", START_MS + (2 + gap) * MINUTE, 2.0)]))
    assert made.verdicts.tolist() == [Verdict.GAP] and made.warm[0]
    assert made.imputed == (gap - 1 if gap <= 120 else 1 + SETTLING)
    expected = jumping.step(
        np.full((1, 1), 2.0),
        np.array([START_MS + (2 + gap) * MINUTE]),
        by_hand(jumping, before, slot, gap - 1),
    )
    assert made.one_step.tobytes() == expected.one_step.tobytes()
    assert made.expected.tobytes() == expected.expected.tobytes()
    after = subject.arena.gather(np.array([0]))
    assert all(after[name].tobytes() == row.tobytes() for name, row in expected.next_state.items())


def test_gaps_of_any_length_share_their_calls(jumping: Runtime) -> None:
    """A morning of many streams: one jump for each piece of 32, and the same steps for all."""
    subject, gaps = engine(jumping, max_gap=10_000), [1, 3, 121, 400, 9000] * 10
    streams = [b"%d" % i for i in range(len(gaps))]
    subject.run(batches([(0, stream, START_MS, 1.0) for stream in streams]))
    late = zip(streams, gaps, strict=True)
    readings = [(0, stream, START_MS + gap * MINUTE, 2.0) for stream, gap in late]
    made = subject.run(batches(readings))
    assert made.imputed == 10 * 2 + 30 * (1 + SETTLING)
    assert len(made.step_rows) == 1 + SETTLING + 2 + 2  # 30 rows jump; the other 10; all step
    alone = engine(jumping, max_gap=10_000)
    for i, reading in enumerate(readings):
        alone.run(batches([(0, streams[i], START_MS, 1.0)]))
        assert alone.run(batches([reading])).one_step.tobytes() == made.one_step[i].tobytes()


def test_a_reset_forgets_everything(recurrent: Runtime) -> None:
    subject = engine(recurrent)
    subject.run(batches(minutes(1.0, 5.0, 3.0)))
    made = subject.run(batches([(0, b"s", START_MS + 500 * MINUTE, 2.0)]))
    fresh = engine(recurrent).run(batches([(0, b"new", START_MS + 500 * MINUTE, 2.0)]))
    assert made.verdicts.tolist() == [Verdict.RESET] and not made.warm[0]
    assert np.isnan(made.surprise[0])
    assert made.one_step.tobytes() == fresh.one_step.tobytes()


def test_a_dropped_reading_leaves_the_row_alone(recurrent: Runtime) -> None:
    subject = engine(recurrent)
    subject.run(batches(minutes(1.0, 5.0)))
    before = subject.arena.gather(np.array([0]))
    late = START_MS - 5 * MINUTE
    made = subject.run(
        batches(
            [
                (0, b"s", START_MS + MINUTE, 9.0),
                (0, b"s", START_MS + MINUTE + 5, 9.0),
                (0, b"s", late, 9.0),
            ]
        )
    )
    assert made.verdicts.tolist() == [Verdict.DUPLICATE, Verdict.SECOND, Verdict.LATE]
    assert (
        len(made) == 0
        and made.one_step.shape == (0, 1, 3)
        and made.multi_step.shape == (0, 3, 1, 3)
    )
    after = subject.arena.gather(np.array([0]))
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_a_corrected_clock_leaves_the_memory_in_phase(tmp_path: Path) -> None:
    """The row of a clock that was set back is that of a sensor whose clock was right all the time
    and that was silent for the rest of a period."""
    write_bundle(tmp_path, replace(RECURRENT, fields={"seasons_ms": (60 * MINUTE, 90 * MINUTE)}))
    runtime = load_runtime(tmp_path)
    assert runtime.manifest.period == 180
    ahead, right = minutes(*range(40)), minutes(*range(20))
    silent = [(0, b"s", stamp - 180 * MINUTE, value) for *_, stamp, value in ahead]
    back = [(0, b"s", stamp, 100 + value) for *_, stamp, value in right]
    one, other = engine(runtime, max_gap=200), engine(runtime, max_gap=200)
    made, same = one.run(batches(ahead + back)), other.run(batches(silent + back[2:]))
    assert made.verdicts.tolist()[39:44] == [
        Verdict.NEXT, Verdict.LATE, Verdict.LATE, Verdict.SET_BACK, Verdict.NEXT,
    ]  # fmt: skip
    assert made.imputed == same.imputed == 142
    assert made.one_step[40:].tobytes() == same.one_step[40:].tobytes()
    assert made.multi_step[40:].tobytes() == same.multi_step[40:].tobytes()


def test_a_corrected_clock_restarts_a_stream_that_cannot_be_moved(walk: Runtime) -> None:
    subject = engine(walk)
    subject.period = None
    subject.run(batches(minutes(1.0)))
    back = [(0, b"s", START_MS - DAY_MS + i * MINUTE, 10.0 + i) for i in range(4)]
    made = subject.run(batches(back))
    assert made.verdicts.tolist() == [Verdict.LATE, Verdict.LATE, Verdict.RESTART, Verdict.NEXT]
    assert made.index.tolist() == [2, 3] and made.one_step[:, 0, 1].tolist() == [12.0, 13.0]


def test_waves_run_across_partitions(walk: Runtime) -> None:
    readings = [
        (p, b"s%d" % s, START_MS + t * MINUTE, 1.0)
        for p in range(3)
        for t in range(2)
        for s in range(4)
    ]
    made = engine(walk).run(batches(readings))
    assert made.step_rows.tolist() == [12, 12]
    assert made.index.tolist() == list(range(24))


def test_the_same_stream_name_in_two_partitions_is_two_streams(walk: Runtime) -> None:
    made = engine(walk).run(batches([*minutes(1.0), *minutes(8.0, partition=1)]))
    assert made.verdicts.tolist() == [Verdict.FIRST] * 2
    assert made.one_step[:, 0, 1].tolist() == [1.0, 8.0]


def test_multi_step_at_every_third_observation(walk: Runtime) -> None:
    subject = engine(walk, forecast_every=3)
    first = subject.run(batches(minutes(*range(5))))
    assert first.has_multi.tolist() == [False, False, True, False, False]
    assert (
        np.isnan(first.multi_step[~first.has_multi]).all()
        and not np.isnan(first.multi_step[2]).any()
    )
    later = [(0, b"s", START_MS + i * MINUTE, 1.0) for i in (5, 6, 7, 8)]
    assert subject.run(batches(later)).has_multi.tolist() == [True, False, False, True]


def test_the_caller_may_say_where_multi_step_is_wanted(walk: Runtime) -> None:
    wanted = np.array([False, True, False, True])
    made = engine(walk).run(batches(minutes(*range(4))), wanted=wanted)
    assert made.has_multi.tolist() == wanted.tolist()
    assert np.isnan(made.multi_step[0]).all() and not np.isnan(made.multi_step[3]).any()


def test_an_empty_poll_is_no_trouble(walk: Runtime) -> None:
    nothing = np.zeros(0, np.int64)
    made = engine(walk).run([Observations(0, [], nothing, np.zeros((0, 1)), nothing, nothing)])
    assert len(made) == 0 and made.imputed == 0 and len(made.verdicts) == 0


def test_two_channels(tmp_path: Path) -> None:
    write_bundle(tmp_path, TWO_CHANNELS)
    subject = engine(load_runtime(tmp_path))
    stamps = START_MS + np.arange(3) * 2 * MINUTE
    column = np.array([[1.0, math.nan], [math.nan, 2.0], [3.0, 4.0]])
    made = subject.run([Observations(0, [b"s"] * 3, stamps, column, stamps, np.arange(3))])
    assert made.imputed == 2 and made.one_step.shape == (3, 2, 3)
    assert np.array_equal(
        made.one_step[:, :, 1], [[1.0, math.nan], [1.0, 2.0], [3.0, 4.0]], equal_nan=True
    )


def test_stages_are_entered_one_at_a_time(walk: Runtime) -> None:
    seen: Counter[str] = Counter()
    inside: list[str] = []

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        assert not inside, f"{name} within {inside}"
        inside.append(name)
        seen[name] += 1
        yield
        inside.remove(name)

    subject = engine(walk)
    subject.run(batches([*minutes(1.0, 2.0), (0, b"s", START_MS + 5 * MINUTE, 3.0)]), stage)
    assert set(seen) == {"waves", "align", "gather", "step", "scatter", "forecast"}
