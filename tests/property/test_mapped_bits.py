"""Records of several readings give the same bits, however they are cut into polls, chunks and
partitions, and whoever dies meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.faults import PLACES
from tests.support.bundles import RECURRENT, START_MS, write_bundle
from tests.support.crashing import Fleet, all_served, held, outputs, stored
from tests.support.running import AT_ONCE, INPUT, Worker, memory_broker, send, worker

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
STREAMS = 6
MAPPING = {
    "each": "/readings/*",
    "stream": "{site}/{name}",
    "value": "/v",
    "timestamp": "/t",
    "where": "/off != 1",
}
AWAY = (*[0] * 12, 7_000, -3 * MINUTE, -2 * HOUR, -5 * DAY, 50 * MINUTE)
#: Partition, the record's own time, document (None = a tombstone).
Sent = tuple[int, int, dict[str, Any] | None]


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


@st.composite
def records(draw: st.DrawFn) -> list[Sent]:
    """Gateways that send several sensors in a record, some of them late, wrong, or passed over;
    streams that fall silent and are forgotten; tombstones."""
    now, sent = START_MS, list[Sent]()
    steps = st.sampled_from((MINUTE, MINUTE, 2 * HOUR, DAY))
    for step in draw(st.lists(steps, min_size=3, max_size=25)):
        now += step
        for site in draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)):
            readings: list[Any] = []
            for name in draw(st.lists(st.integers(0, STREAMS), max_size=5)):
                stamp = now + draw(st.sampled_from(AWAY))
                value = draw(st.sampled_from((1.5, 2.5, 3.0, None, "x")))
                off = draw(st.sampled_from((0, 0, 0, 1)))
                readings.append({"name": f"s{name}", "t": stamp, "v": value, "off": off})
            sent.append((site, now, {"site": site, "readings": readings}))
        if draw(st.integers(0, 6)) == 0:
            sent.append((draw(st.integers(0, 3)), now, None))
    return sent


def outcome(
    runtime: Runtime, sent: list[Sent], polls: Sequence[int], partitions: int, steps: int
) -> tuple[object, ...]:
    """Everything written, the final rows and the counts."""
    broker = memory_broker(partitions)
    times = chain([time / 1000 for _, time, _ in sent], repeat(START_MS / 1000))
    broker._clock = times.__next__
    for site, _, document in sent:
        key = b"%d/s1" % site
        payload = None if document is None else json.dumps(document).encode()
        broker.producer().produce(INPUT, site % partitions, [key], [payload], [[("site", key)]])
    options = replace(AT_ONCE, state_ttl_ms=DAY, late="dead_letter", max_steps=steps)
    subject = worker(broker, runtime, replace(options, input=MAPPING))
    return (*all_served(broker, subject, polls), counts(subject))


def counts(subject: Worker) -> list[float]:
    return [subject.value(name) for name in ("tombstones_total", "streams", "filtered_total")]


@settings(max_examples=60, deadline=None)
@given(
    sent=records(),
    polls=st.lists(st.sampled_from([1, 2, 3, 7, 50]), min_size=1, max_size=4),
    partitions=st.integers(1, 3),
    steps=st.sampled_from([1, 3, 20, 10_000]),
)
def test_however_records_are_cut(
    recurrent: Runtime, sent: list[Sent], polls: list[int], partitions: int, steps: int
) -> None:
    whole = outcome(recurrent, sent, [5000], partitions, 200_000)
    assert outcome(recurrent, sent, polls, partitions, steps) == whole


def feed(fleet: Fleet, minutes: range) -> None:
    sent: list[tuple[int, bytes, object]] = []
    for t in minutes:
        for site in range(2):
            readings = [
                {"name": f"s{s}", "t": START_MS + t * MINUTE + s * 1000, "v": v, "off": s == t % 9}
                for s in range(STREAMS)
                for v in ((t * 7 + s) % 11 if (t + s) % 5 else "x",)
            ]
            sent.append((site, b"gateway", {"site": site, "readings": readings}))
    send(fleet.broker, sent)


def fed(runtime: Runtime, place: str | None, after: int) -> Fleet:
    fleet = Fleet(memory_broker(2), runtime, replace(AT_ONCE, input=MAPPING, max_steps=5))
    fleet.start(place, after)
    for n in range(6):
        feed(fleet, range(4 * n, 4 * n + 4))
        fleet.settle()
    return fleet


@pytest.mark.parametrize("place", [place for place in PLACES if place.startswith("commit.")])
@pytest.mark.parametrize("after", [1, 4])
def test_a_crash_divides_no_record(recurrent: Runtime, place: str, after: int) -> None:
    fleet, expected = fed(recurrent, place, after), fed(recurrent, None, 1)
    assert fleet.started == 2, "it crashed and was replaced"
    assert outputs(fleet.broker) == outputs(expected.broker)
    assert stored(fleet.broker) == stored(expected.broker) == held(fleet.alive[0])
