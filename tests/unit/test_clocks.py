"""Wrong clocks: their effect on their own stream, and that they do not affect others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import LAST_TIMESTAMP
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.running import AT_ONCE, INPUT, Worker, documents, memory_broker, send, worker

MINUTE, DAY = 60_000, 86_400_000
OPTIONS = replace(AT_ONCE, state_ttl_ms=7 * DAY)


@pytest.fixture
def walk(tmp_path: Path) -> Runtime:
    write_bundle(tmp_path, Walk())
    return load_runtime(tmp_path)


def at(minute: float, value: float = 20.0) -> dict[str, Any]:
    return {"timestamp": int(START_MS + minute * MINUTE), "value": value}


class Plant:
    """Streams in one partition, whose records carry the time at which they are sent."""

    def __init__(self, walk: Runtime) -> None:
        self.broker = memory_broker()
        self.worker: Worker = worker(self.broker, walk, OPTIONS)

    def sends(self, key: bytes, reading: dict[str, Any], time: int | None = None) -> None:
        stamp = reading["timestamp"] if time is None else time
        self.broker._clock = lambda: stamp / 1000
        self.broker.producer().produce(INPUT, 0, [key], [json.dumps(reading).encode()])

    def pumps(self, minutes: range) -> None:
        for minute in minutes:
            for pump in range(20):
                self.sends(b"pump-%d" % pump, at(minute))
        self.worker.turn(2)


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        (LAST_TIMESTAMP, -1),
        (START_MS + 30 * DAY, START_MS + 30 * DAY),
        (START_MS + 8 * DAY, -1),
        (START_MS - 9 * DAY, START_MS),
    ],
)
@pytest.mark.parametrize("times", [1, 3, 100])
def test_a_rogue_forgets_no_other_stream(walk: Runtime, stamp: int, time: int, times: int) -> None:
    plant = Plant(walk)
    plant.pumps(range(10))
    for n in range(times):
        plant.sends(b"rogue", {"timestamp": stamp, "value": float(n)}, time)
        plant.worker.turn()
    plant.pumps(range(10, 12))
    assert plant.worker.value("evicted_total") == 0
    assert plant.worker.value("readings_total", verdict="next") == 20 * 11
    assert all(one["warm"] for one in documents(plant.broker)[-40:])


def test_streams_are_forgotten_again_afterwards(walk: Runtime) -> None:
    plant = Plant(walk)
    plant.pumps(range(10))
    plant.sends(b"rogue", {"timestamp": LAST_TIMESTAMP, "value": 1.0}, -1)
    for day in range(1, 12):
        for n in range(40):
            plant.sends(b"later", at(day * 24 * 60 + n))
        for n in range(400):
            plant.sends(b"later-%d" % n, at(day * 24 * 60 + 41))
        plant.worker.turn()
    assert plant.worker.value("evicted_total") >= 20


@pytest.mark.parametrize(
    "wrong", ["1970-01-01T00:00:03", "1980-01-06T00:00:00", "2000-01-01T00:00:00"]
)
@pytest.mark.parametrize("readings", [4, 40])
def test_a_clock_that_lost_its_battery_costs_its_own_readings_and_no_memory(
    walk: Runtime, wrong: str, readings: int
) -> None:
    broker = memory_broker()
    subject = worker(broker, walk, OPTIONS)
    before = [(0, b"plug", at(minute)) for minute in range(100)]
    lost = [
        (0, b"plug", {"timestamp": f"{wrong[:14]}{n:02}:{wrong[-2:]}", "value": 18.0})
        for n in range(readings)
    ]
    after = [(0, b"plug", at(minute)) for minute in range(104, 140)]
    send(broker, [*before, *lost, *after])
    subject.turn(2)
    made = documents(broker)
    assert len(made) == 136 and all(one["timestamp"] >= START_MS for one in made)
    assert all(one["warm"] for one in made[2:])
    assert subject.value("readings_total", verdict="late") == readings


def test_a_clock_that_was_ahead_is_believed_at_once_when_corrected(walk: Runtime) -> None:
    plant = Plant(walk)
    plant.pumps(range(10))
    for n in range(5):
        plant.sends(b"ahead", at(600 + n))
    plant.pumps(range(10, 12))
    for n in range(5):
        plant.sends(b"ahead", at(12 + n))
    plant.worker.turn()
    assert plant.worker.value("readings_total", verdict="late") == 2
    assert plant.worker.value("readings_total", verdict="set_back") == 1


def test_a_clock_that_is_set_back_for_good_is_believed_in_the_end(walk: Runtime) -> None:
    broker = memory_broker()
    subject = worker(broker, walk, OPTIONS)
    send(broker, [(0, b"s", at(minute)) for minute in range(5_000, 6_200)])
    send(broker, [(0, b"s", at(minute)) for minute in range(300)])
    subject.turn(2)
    assert subject.value("readings_total", verdict="late") == 255
    assert subject.value("readings_total", verdict="set_back") == 1
