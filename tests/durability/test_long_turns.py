"""A turn ends in time whatever the shape of its records, keeps what it has done,
and changes nothing by being cut.

Time is the test's own: each call of the graph takes `CALL_S`, and as much again for every 64 rows;
all else takes none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eddycast.service.delivery.pace import Pace
from eddycast.service.model.loading import load_runtime
from eddycast.service.pipeline import Pipeline
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.crashing import Fleet, held, outputs, stored
from tests.support.running import AT_ONCE, INPUT, committed, memory_broker, send

MINUTE, MAX_GAP = 60_000, 48
CALL_S, TURN_S = 0.01, 1.5
Reading = tuple[int, int]  # stream, minute

#: Records that a producer may send in one poll, by name.
SHAPES: dict[str, list[Reading]] = {
    "one stream with many gaps": [(0, 40 * i) for i in range(150)],
    "gaps of two streams, one after the other": [(i % 2, 40 * (i // 2)) for i in range(150)],
    "gaps of many streams, each at another reading": [
        (s, t + 40 * (t > 2 * s)) for t in range(42) for s in range(20)
    ],
    "gaps between late readings": [(0, 40 * (i // 2) - 500 * (i % 2)) for i in range(200)],
    "gaps after a clock that was set back": [
        (0, minute) for i in range(40) for minute in (5000, i, i + 1, i + 2, i + 42, i + 82)
    ],
    "gaps between repeats": [(0, 40 * (i // 3)) for i in range(300)],
    "gaps beyond the longest": [(0, 40 * i + 100 * (i // 5)) for i in range(150)],
    "one stream that has sent nothing for long": [(0, i) for i in range(1500)],
    "all streams back after a long gap": [(s, t) for t in (0, 45) for s in range(1500)],
    "a fast stream between slow ones": [
        (s, i * (40 if s else 1)) for i in range(100) for s in (0, 0, 0, 1)
    ],
}


class Clock:
    """Seconds that pass when something takes them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def during(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, which takes its time."""

        def taken(values: Any, *others: Any) -> Any:
            self.now += CALL_S * (1 + len(values) / 64)
            return call(values, *others)

        return taken


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("walk")
    write_bundle(path, Walk(max_gap=MAX_GAP, hidden=8))
    return path


def feed(fleet: Fleet, readings: Iterable[Reading]) -> None:
    minutes = [
        (s, {"timestamp": START_MS + t * MINUTE + 1000 * s, "value": float((s + t) % 7)})
        for s, t in readings
    ]
    send(fleet.broker, [(s % 2, b"stream-%d" % s, value) for s, value in minutes])


def serve(bundle: Path, readings: list[Reading], turn_s: float) -> tuple[Fleet, list[float]]:
    """Outcome of the readings, and the duration of each turn that had any."""
    runtime, clock = load_runtime(bundle), Clock()
    fleet = Fleet(memory_broker(2), runtime, replace(AT_ONCE, turn_s=turn_s))
    subject = fleet.start()
    subject.turn(2)
    runtime.step = clock.during(runtime.step)  # type: ignore[method-assign]
    subject.pipeline._pace = Pace(turn_s, clock)
    polled = counted_polls(subject.pipeline._delivery.connections.consumer)
    feed(fleet, readings)
    took: list[float] = []
    while not fleet.is_done():
        before, began = sum(committed(fleet.broker).values()), clock.now
        assert subject.pipeline.turn() > 0
        took.append(clock.now - began)
        assert sum(committed(fleet.broker).values()) > before, "what a turn has done is kept"
    assert (
        subject.value("records_total")
        == len(readings)
        == sum(log.end for log in fleet.broker.logs(INPUT))
    )
    assert held(subject) == stored(fleet.broker)
    assert sum(polled[1:]) <= 2 * len(readings), "what is read is not read many times"
    return fleet, took


def counted_polls(consumer: Any) -> list[int]:
    """Numbers of records of all polls from now on, appended as they come."""
    polled: list[int] = []
    poll = consumer.poll

    def counted(timeout_s: float, most: int) -> Any:
        batches = poll(timeout_s, most)
        polled.append(sum(map(len, batches)))
        return batches

    consumer.poll = counted
    return polled


@pytest.mark.parametrize("shape", SHAPES)
def test_a_turn_ends_in_time_and_keeps_what_it_has_done(bundle: Path, shape: str) -> None:
    readings = SHAPES[shape]
    whole, (all_at_once,) = serve(bundle, readings, turn_s=1e6)
    cut, took = serve(bundle, readings, TURN_S)
    assert max(took) <= 2 * TURN_S + 1.1 * MAX_GAP * CALL_S < all_at_once
    assert outputs(cut.broker) == outputs(whole.broker) and stored(cut.broker) == stored(
        whole.broker
    )


jumps = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([-300, -2, 0, 1, 1, 2, 40, 47, 60])), max_size=120
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(jumps=jumps)
def test_no_records_make_a_turn_too_long(bundle: Path, jumps: list[tuple[int, int]]) -> None:
    at = [0] * 4
    readings = []
    for stream, minutes in jumps:
        at[stream] += minutes
        readings.append((stream, 1000 + at[stream]))
    _, took = serve(bundle, readings, TURN_S)
    assert max(took, default=0.0) <= 2 * TURN_S + 2 * MAX_GAP * CALL_S


def test_a_graph_that_is_slower_than_expected_costs_one_turn(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.durability.test_long_turns.CALL_S", 0.1)
    _, took = serve(bundle, SHAPES["one stream with many gaps"], TURN_S)
    assert max(took[1:]) <= 2 * TURN_S + 1.1 * MAX_GAP * 0.1 and took[0] <= 10 * TURN_S


def test_a_worker_that_is_lost_in_the_middle_of_a_cut_poll_leaves_the_same_bits(
    bundle: Path,
) -> None:
    readings = SHAPES["gaps of many streams, each at another reading"]
    fleet = Fleet(memory_broker(2), load_runtime(bundle), replace(AT_ONCE, turn_s=0.0))
    feed(fleet, readings)
    for place in ("commit.3", "commit.6", "rolled_back"):
        fleet.start(place, after=7)
        fleet.turn(5)
    fleet.settle(turns=3000)
    whole, _ = serve(bundle, readings, turn_s=1e6)
    assert outputs(fleet.broker) == outputs(whole.broker) and stored(fleet.broker) == stored(
        whole.broker
    )


def test_the_pipeline_looks_at_its_own_clock_by_default(bundle: Path) -> None:
    fleet = Fleet(memory_broker(2), load_runtime(bundle), replace(AT_ONCE, turn_s=0.0))
    pipeline: Pipeline = fleet.start().pipeline
    assert pipeline._pace.chunk == 0.0 and pipeline._pace.is_over
