"""A worker dies at each step of the commit: what is committed then, and the rows, are those of a
run that nothing disturbed, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.faults import PLACES
from tests.support.bundles import RECURRENT, START_MS, write_bundle
from tests.support.crashing import Fleet, held, outputs, stored
from tests.support.running import AT_ONCE, committed, memory_broker, send

MINUTE = 60_000
STREAMS = 6
STEPS = [place for place in PLACES if place.startswith("commit.")]


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def feed(fleet: Fleet, minutes: range, partitions: int = 2) -> None:
    """A reading a minute of each stream, some of them missing,
    one record in a while that is none."""
    sent: list[tuple[int, bytes, object]] = []
    for t in minutes:
        for s in range(STREAMS):
            if (t + s) % 5:
                value = {
                    "timestamp": START_MS + t * MINUTE + s * 1000,
                    "value": 10.0 * s + (t * 7 + s) % 11,
                }
                sent.append((s % partitions, b"stream-%d" % s, value))
        if t % 4 == 1:
            sent.append((t % partitions, b"bad", b"{"))
    send(fleet.broker, sent)


def undisturbed(runtime: Runtime, rounds: int = 6, partitions: int = 2) -> Fleet:
    fleet = Fleet(memory_broker(partitions), runtime)
    fleet.start()
    for n in range(rounds):
        feed(fleet, range(4 * n, 4 * n + 4), partitions)
        fleet.settle()
    return fleet


@pytest.mark.parametrize("place", STEPS)
@pytest.mark.parametrize("after", [1, 3])
def test_a_crash_at_any_step_of_the_commit_changes_nothing(
    recurrent: Runtime, place: str, after: int
) -> None:
    fleet = Fleet(memory_broker(2), recurrent)
    fleet.start(place, after)
    for n in range(6):
        feed(fleet, range(4 * n, 4 * n + 4))
        fleet.settle()
    assert fleet.started == 2, "it crashed and was replaced"
    expected = undisturbed(recurrent)
    assert outputs(fleet.broker) == outputs(expected.broker)
    assert (
        stored(fleet.broker)
        == stored(expected.broker)
        == held(fleet.alive[0])
        == held(expected.alive[0])
    )


def test_a_restart_restores_the_bits_of_every_row(recurrent: Runtime) -> None:
    fleet = Fleet(memory_broker(2), recurrent)
    first = fleet.start()
    feed(fleet, range(9))
    fleet.settle()
    before = held(first)
    assert sum(map(len, before.values())) == STREAMS
    fleet.kill(first)
    second = fleet.start()
    second.turn(2)
    assert held(second) == before
    assert second.value("restored_records_total") > 0


def test_a_crash_between_commits_leaves_nothing_behind(recurrent: Runtime) -> None:
    fleet = Fleet(memory_broker(2), recurrent, replace(AT_ONCE, commit_interval_s=1000.0))
    victim = fleet.start()
    feed(fleet, range(4))
    victim.turn(3)
    assert outputs(fleet.broker)["forecasts"] == [] and committed(fleet.broker) == {}
    assert len(fleet.broker.read("forecasts", "read_uncommitted")) > 0
    fleet.kill(victim)
    fleet.start(commit_interval_s=0.0)
    for n in range(1, 6):
        fleet.settle()
        feed(fleet, range(4 * n, 4 * n + 4))
    fleet.settle()
    assert outputs(fleet.broker) == outputs(undisturbed(recurrent).broker)
