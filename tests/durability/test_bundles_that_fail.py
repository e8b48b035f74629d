"""A graph that raises, and outputs that are too large:
one record's fault if it is one, the bundle's if it is many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.delivery.failing_bundles import BundleFailures
from eddycast.service.errors import BundleError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.crashing import Fleet, held, stored
from tests.support.running import AT_ONCE, DEAD, committed, made, memory_broker, send

MINUTE = 60_000
BAD = 666.0


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """A bundle of one's own, and no pauses between attempts."""
    monkeypatch.setattr("eddycast.service.delivery.outages._PAUSE_AT_MOST_S", 0.0)
    write_bundle(tmp_path, Walk())
    return load_runtime(tmp_path)


def breaks_on(walk: Runtime, monkeypatch: pytest.MonkeyPatch, is_bad: Callable[[Any], Any]) -> None:
    """The graph raises for values of this kind."""
    step = walk.step

    def raising(values: Any, *others: Any) -> Any:
        if np.any(is_bad(values)):
            raise RuntimeError("Non-zero status code returned while running Gather node")
        return step(values, *others)

    monkeypatch.setattr(walk, "step", raising)


def feed(fleet: Fleet, count: int, bad: int = 0) -> None:
    """Readings of eight streams, some of them bad, spread evenly."""
    every = count // bad if bad else count + 1
    for i in range(count):
        value = BAD if i % every == every - 1 else float(i % 7)
        send(
            fleet.broker,
            [(0, b"s%d" % (i % 8), {"timestamp": START_MS + i // 8 * MINUTE, "value": value})],
        )


@pytest.mark.parametrize("count", [5, 64, 1000])
def test_a_graph_that_raises_for_all_ends_the_process_and_is_named(
    walk: Runtime, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    fleet = Fleet(memory_broker(), walk)
    subject = fleet.start()
    breaks_on(walk, monkeypatch, np.isfinite)
    feed(fleet, count)
    with pytest.raises(BundleError, match=r"bundle walk@.* records that failed") as caught:
        fleet.settle(turns=3000)
    assert caught.value.exit_code == 3 and "another version" in caught.value.action
    is_ready, why = subject.health.ready_answer()
    assert not is_ready and "bundle walk@" in why
    assert len(made(fleet.broker, DEAD)) < 5, "good records stay where they are"
    subject.pipeline.close()
    monkeypatch.undo()
    monkeypatch.setattr("eddycast.service.delivery.outages._PAUSE_AT_MOST_S", 0.0)
    fleet.alive.clear()
    again = fleet.start()
    fleet.settle()
    assert held(again) == stored(fleet.broker) and committed(fleet.broker) == {0: count}


def test_a_graph_that_raises_for_a_few_costs_those(
    walk: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(memory_broker(), walk)
    subject = fleet.start()
    breaks_on(walk, monkeypatch, lambda values: values == BAD)
    feed(fleet, 1000, bad=8)
    fleet.settle(turns=3000)
    assert len(made(fleet.broker, DEAD)) == 8 and committed(fleet.broker) == {0: 1000}
    assert held(subject) == stored(fleet.broker)


def test_outputs_that_are_too_large_end_the_process_before_any_is_a_dead_letter(
    walk: Runtime,
) -> None:
    fleet = Fleet(memory_broker(), walk, replace(AT_ONCE, max_output_bytes=50))
    fleet.start()
    feed(fleet, 64)
    with pytest.raises(BundleError, match="64 of 64 records"):
        fleet.settle()
    assert made(fleet.broker, DEAD) == [] and committed(fleet.broker) == {}


def test_the_share_is_of_one_minute_and_of_what_is_committed() -> None:
    now = 0.0
    failures = BundleFailures("m", lambda: now)
    for _ in range(10):  # a record that fails whenever it is tried again
        failures.served(100, ["failed"])
        failures.undone()
    for _ in range(10):  # four a minute, of few records
        failures.served(4, ["failed", "late", "not_json"] * 4)
        failures.committed()
        now += 61.0
    failures.served(500, ["failed"] * 5)
    failures.committed()
    with pytest.raises(BundleError, match="6 of 501 records"):
        failures.served(1, ["forecast_too_large"])
