"""The same observations give the same bits, however they are cut into partitions, polls,
batches and workers."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.bundle import SETTLING
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from tests.support.bundles import RECURRENT, START_MS, write_bundle
from tests.support.crashing import all_served
from tests.support.exported import Exported
from tests.support.running import AT_ONCE, INPUT, made, memory_broker, send, worker

STREAMS, SLOTS = 11, 16
Reading = tuple[bytes, dict[str, Any]]
Sent = tuple[int, int, dict[str, Any] | None]  # stream, the record's own time, value
Written = dict[bytes, list[bytes | None]]
Load = Callable[[int], Runtime]  # of a largest batch

KINDS = ("walk", pytest.param("gru", marks=pytest.mark.slow))


@pytest.fixture(scope="module", params=KINDS)
def load(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, exported: Exported
) -> Load:
    """A bundle written node by node, and the trainer's."""
    if request.param == "walk":
        directory: Path = tmp_path_factory.mktemp("bundle")
        write_bundle(directory, RECURRENT)
    else:
        directory = exported(request.param)
    return cache(lambda max_batch: load_runtime(directory, max_batch=max_batch))


@pytest.fixture(scope="module", params=["begins anew", "jumps"])
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """The smallest of the models: after a long gap it begins anew, or jumps and goes on."""
    directory: Path = tmp_path_factory.mktemp("walk")
    jumping = replace(RECURRENT, jumps=True, max_gap=SETTLING + 1)
    write_bundle(directory, jumping if request.param == "jumps" else RECURRENT)
    return load_runtime(directory, max_batch=32)


@cache
def readings(interval_ms: int) -> list[Reading]:
    """Sensors with gaps, jitter, missing values, repeats and a late one now and then,
    in order of arrival."""
    rng = np.random.default_rng(3)
    sent: list[tuple[float, Reading]] = []
    for stream in range(STREAMS):
        for slot in range(SLOTS):
            if rng.random() < 0.15:
                continue
            stamp = START_MS + int((slot + rng.normal(0, 0.06) + 0.08 * stream) * interval_ms)
            value = None if rng.random() < 0.1 else round(20 + stream + rng.normal(0, 3), 2)
            reading = b"stream-%d" % stream, {"timestamp": stamp, "value": value}
            sent += [(stamp + rng.exponential(interval_ms / 3), reading)] * (
                2 if rng.random() < 0.05 else 1
            )
    return [reading for _, reading in sorted(sent, key=lambda pair: pair[0])]


def written(
    runtime: Runtime,
    partitions: int,
    sizes: list[int],
    largest_poll: int = 10_000,
    workers: int = 1,
    turn_s: float = AT_ONCE.turn_s,
) -> Written:
    """The forecasts of each stream in order, after all readings came in portions of these sizes."""
    broker = memory_broker(partitions)
    options = replace(AT_ONCE, max_poll_records=largest_poll, turn_s=turn_s)
    members = [worker(broker, runtime, options) for _ in range(workers)]
    for member in members * 2:  # the partitions are handed out
        member.turn()
    home = {
        key: int(key.rpartition(b"-")[2]) % partitions
        for key, _ in readings(runtime.manifest.interval_ms)
    }
    waiting = [(home[key], key, value) for key, value in readings(runtime.manifest.interval_ms)]
    turn = 0
    while waiting:
        size = sizes[turn % len(sizes)]
        send(broker, waiting[:size])
        del waiting[:size]
        for member in members:
            while member.turn():
                pass
        turn += 1
    for member in members:
        member.finish()
    found: Written = defaultdict(list)
    for record in made(broker):
        assert record.partition == home[record.key or b""]
        found[record.key or b""].append(record.value)
    return dict(found)


def at_once(load: Load) -> Written:
    """One partition, one poll, one worker, one call of the graph for each wave."""
    return written(load(512), 1, [10_000])


portions = st.lists(st.integers(1, 60), min_size=1, max_size=6)


@settings(max_examples=20, deadline=None)
@given(
    partitions=st.integers(1, 7),
    sizes=portions,
    largest_poll=st.sampled_from([1, 5, 16, 100]),
    max_batch=st.sampled_from([16, 32, 512]),
    turn_s=st.sampled_from([0.0, 0.02, 300.0]),
)
def test_however_they_are_cut(
    load: Load, partitions: int, sizes: list[int], largest_poll: int, max_batch: int, turn_s: float
) -> None:
    assert written(load(max_batch), partitions, sizes, largest_poll, turn_s=turn_s) == at_once(load)


@settings(max_examples=8, deadline=None)
@given(partitions=st.integers(2, 6), sizes=portions, workers=st.integers(2, 3))
def test_however_many_share_the_work(
    load: Load, partitions: int, sizes: list[int], workers: int
) -> None:
    assert written(load(32), partitions, sizes, workers=workers) == at_once(load)


MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
#: From one round of readings to the next, and how far a stamp may be from it.
STEPS = (MINUTE, MINUTE, MINUTE, 3 * MINUTE, 2 * HOUR, 9 * HOUR, 3 * DAY)
AWAY = (*[0] * 12, 7_000, -3 * MINUTE, -2 * HOUR, -5 * DAY, HOUR, 3 * DAY, 400 * DAY)


@st.composite
def unruly(draw: st.DrawFn) -> list[Sent]:
    """Live sensors whose stamps are minutes to days apart, so that some are forgotten; backfills
    beside them, one that is forgotten again and again; clocks that go wrong; records without a time
    of their own; tombstones."""
    now, sent = START_MS, list[Sent]()
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=5, max_size=40)):
        now += step
        for stream in draw(st.lists(st.integers(0, STREAMS - 1), min_size=1, max_size=6)):
            away = draw(st.sampled_from(AWAY))
            time = draw(st.sampled_from((now, now, now, -1, now + away)))
            value = (
                None
                if draw(st.integers(0, 15)) == 0
                else {"timestamp": now + away, "value": stream + away % 7}
            )
            sent.append((stream, time, value))
        sent.append(
            (STREAMS + 1, now, {"timestamp": START_MS + len(sent) * MINUTE, "value": len(sent)})
        )
        if draw(st.integers(0, 9)) == 0:
            old = now - draw(st.sampled_from((2, 40))) * DAY
            sent += [(STREAMS, now, {"timestamp": old + i * MINUTE, "value": i}) for i in range(20)]
    return sent


def outcome(
    runtime: Runtime, sent: list[Sent], polls: list[int], partitions: int
) -> tuple[object, ...]:
    """Everything written and the final rows after polls of these sizes in turn."""
    broker = memory_broker(partitions)
    times = chain([time / 1000 for _, time, _ in sent], repeat(START_MS / 1000))
    broker._clock = times.__next__
    for stream, _, value in sent:
        payload = None if value is None else json.dumps(value).encode()
        broker.producer().produce(INPUT, stream % partitions, [b"stream-%d" % stream], [payload])
    subject = worker(broker, runtime, replace(AT_ONCE, state_ttl_ms=2 * DAY, late="dead_letter"))
    ends = all_served(broker, subject, polls)
    return (*ends, [subject.value(name) for name in ("tombstones_total", "streams")])


@settings(max_examples=100, deadline=None)
@given(
    sent=unruly(),
    polls=st.lists(st.sampled_from([1, 2, 3, 7, 50, 5000]), min_size=1, max_size=5),
    partitions=st.integers(1, 3),
)
def test_who_is_forgotten_follows_from_the_records(
    walk: Runtime, sent: list[Sent], polls: list[int], partitions: int
) -> None:
    """The model has no say in it."""
    assert outcome(walk, sent, polls, partitions) == outcome(walk, sent, [5000], partitions)


def test_none_is_missing(load: Load) -> None:
    """Every reading has its forecast, but for those that stream time drops."""
    runtime = load(512)
    sent = readings(runtime.manifest.interval_ms)
    subject = worker(broker := memory_broker(), runtime)
    send(broker, [(0, key, value) for key, value in sent])
    subject.turn()
    dropped = sum(
        subject.value("readings_total", verdict=verdict)
        for verdict in ("duplicate", "second", "late")
    )
    written_by_stream = at_once(load)
    assert sum(map(len, written_by_stream.values())) == len(sent) - dropped and dropped > 0
    assert set(written_by_stream) == {b"stream-%d" % stream for stream in range(STREAMS)}
    assert subject.value("readings_total", verdict="gap") > 5
    assert not math.isnan(subject.value("surprise_mean"))
