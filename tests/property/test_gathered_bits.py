"""Readings gathered in slots give the same bits however they are cut into polls, and the columns
give what the definition gives."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing import slot_columns
from eddycast.service.processing.slot_rows import Rows
from tests.support.bundles import RECURRENT, START_MS, write_bundle
from tests.support.crashing import all_served
from tests.support.running import AT_ONCE, INPUT, memory_broker, worker

MINUTE = 60_000
STREAMS = 7
Sent = tuple[int, dict[str, Any] | None]  # stream, value; None = a tombstone
AGGREGATES = ("last", "mean", "sum", "min", "max")
#: From one round of readings to the next, and how far a stamp may be from it.
STEPS = (0, 1_000, 1_000, 7_000, 20_000, 20_000, 20_000, 61_000, 5 * MINUTE, 3 * 60 * MINUTE)
AWAY = (*[0] * 12, 500, -1_000, -30_000, -2 * MINUTE, -40 * MINUTE, -5 * 3_600_000, 30 * MINUTE)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


@st.composite
def gathered(draw: st.DrawFn) -> list[Sent]:
    """Sensors faster and slower than the model, in order and not; repeats and corrections, missing
    values, a stream that is hours behind the others, clocks that go wrong, tombstones."""
    now, sent = START_MS, list[Sent]()
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=5, max_size=60)):
        now += step
        for stream in draw(st.lists(st.integers(0, STREAMS - 1), min_size=1, max_size=5)):
            stamp = now + draw(st.sampled_from(AWAY)) - (stream == 3) * 2 * 60 * MINUTE
            value = draw(st.sampled_from((0.0, -0.0, 0.1, 3.3, 1e9, -7.7, None)))
            reading: Sent = (stream, {"timestamp": stamp, "value": value})
            if draw(st.integers(0, 20)) == 0:
                reading = (stream, None)
            sent += [reading] * (2 if draw(st.integers(0, 9)) == 0 else 1)
    return sent


def outcome(
    runtime: Runtime, sent: list[Sent], polls: list[int], partitions: int, **options: Any
) -> tuple[object, ...]:
    """Everything written, the final rows and the counts after polls of these sizes in turn."""
    broker = memory_broker(partitions)
    broker._clock = repeat((START_MS + 10**9) / 1000).__next__
    for stream, value in sent:
        payload = None if value is None else json.dumps(value).encode()
        broker.producer().produce(INPUT, stream % partitions, [b"stream-%d" % stream], [payload])
    settled = replace(AT_ONCE, state_ttl_ms=90 * MINUTE, late="dead_letter", close_after_ms=30_000)
    subject = worker(broker, runtime, replace(settled, **options))
    ends = all_served(broker, subject, polls)
    verdicts = ("first", "next", "gap", "reset", "set_back", "late", "duplicate", "gathered")
    counts = [subject.value("readings_total", verdict=verdict) for verdict in verdicts]
    return (*ends, counts)


@settings(max_examples=100, deadline=None)
@given(
    sent=gathered(),
    polls=st.lists(st.sampled_from([1, 2, 3, 7, 50, 5000]), min_size=1, max_size=5),
    partitions=st.integers(1, 3),
    aggregate=st.sampled_from(("first", *AGGREGATES)),
    hold=st.sampled_from([None, 3 * MINUTE]),
    steps=st.sampled_from([200_000, 5]),
)
def test_however_they_are_cut(
    recurrent: Runtime,
    sent: list[Sent],
    polls: list[int],
    partitions: int,
    aggregate: str,
    hold: int | None,
    steps: int,
) -> None:
    options: dict[str, Any] = {"aggregate": aggregate, "hold_ms": hold}
    found = outcome(recurrent, sent, polls, partitions, **options, max_steps=steps)
    assert found == outcome(recurrent, sent, [5000], partitions, **options)


@settings(max_examples=100, deadline=None)
@given(sent=gathered(), aggregate=st.sampled_from(AGGREGATES))
@example(
    sent=[(0, {"timestamp": START_MS, "value": zero}) for zero in (0.0, -0.0)], aggregate="last"
)
def test_columns_give_what_the_definition_gives(
    recurrent: Runtime, sent: list[Sent], aggregate: str
) -> None:
    found = outcome(recurrent, sent, [5000], 1, aggregate=aggregate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slot_columns, "_irregular", _all_rows)
        assert found == outcome(recurrent, sent, [5000], 1, aggregate=aggregate)


def _all_rows(rows: Rows, *_: object) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(rows.status), np.bool_)
