"""A worker that sleeps while it restores has lost its partitions:
it applies nothing newer, and raises nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.errors import StateError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.state.changelog import MARKER_KEY
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.crashing import Fleet, held, outputs, stored
from tests.support.running import AT_ONCE, CHANGELOG, Worker, memory_broker, send, worker

MINUTE = 60_000


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("walk")
    write_bundle(path, Walk())
    return load_runtime(path)


def feed(fleet: Fleet, minutes: range, streams: int = 4) -> None:
    readings = [(s, START_MS + t * MINUTE, float(t % 7)) for t in minutes for s in range(streams)]
    send(
        fleet.broker,
        [(s % 2, b"stream-%d" % s, {"timestamp": at, "value": value}) for s, at, value in readings],
    )


def served(walk: Runtime) -> Fleet:
    """Two partitions with rows, and no worker that serves them."""
    fleet = Fleet(memory_broker(2), walk)
    fleet.start()
    feed(fleet, range(3))
    fleet.settle()
    fleet.stop(fleet.alive[0])
    return fleet


def frozen(fleet: Fleet, place: str, meanwhile: Callable[[Worker], None]) -> Worker:
    """A worker that sleeps when it comes to this place of a restore, until `meanwhile` is over."""
    asleep: list[Worker] = []
    reached = CrashPoint(place, 1, lambda: meanwhile(asleep[0]))
    asleep.append(worker(fleet.broker, fleet.runtime, AT_ONCE, "frozen", reached))
    return asleep[0]


def taken_over(fleet: Fleet) -> Callable[[Worker], None]:
    """The session of whoever sleeps ends; another worker restores, serves, and commits more."""

    def meanwhile(asleep: Worker) -> None:
        fleet.broker.expel(asleep.pipeline._delivery.connections.consumer)  # type: ignore[arg-type]
        fleet.start()
        feed(fleet, range(3, 6), streams=6)
        fleet.settle()

    return meanwhile


def goes_on(fleet: Fleet, sleeper: Worker, minutes: int = 6) -> None:
    """The sleeper is awake: nothing is raised, and all that was ever sent leads to what one run
    makes of it."""
    sleeper.turn(5)
    fleet.alive.append(sleeper)
    feed(fleet, range(minutes, minutes + 2), streams=6)
    fleet.settle()
    expected = Fleet(memory_broker(2), fleet.runtime)
    expected.start()
    feed(expected, range(3))
    feed(expected, range(3, minutes + 2), streams=6)
    expected.settle()
    assert outputs(fleet.broker) == outputs(expected.broker) and stored(fleet.broker) == stored(
        expected.broker
    )
    rows = {p: row for subject in fleet.alive for p, row in held(subject).items()}
    assert rows == stored(fleet.broker)


@pytest.mark.parametrize("place", ["restoring", "reading"])
def test_others_have_served_while_it_slept(walk: Runtime, place: str) -> None:
    fleet = served(walk)
    goes_on(fleet, frozen(fleet, place, taken_over(fleet)))


def test_what_it_was_to_read_is_compacted_away(walk: Runtime) -> None:
    """The rows that it began with are gone, and newer ones stand beyond its end."""
    fleet = served(walk)
    take_over = taken_over(fleet)

    def meanwhile(asleep: Worker) -> None:
        ends = [log.end for log in fleet.broker.logs(CHANGELOG)]
        take_over(asleep)
        for partition, end in enumerate(ends):
            fleet.broker.delete_records(CHANGELOG, partition, end)

    goes_on_after = frozen(fleet, "reading", meanwhile)
    goes_on_after.turn(5)
    assert goes_on_after.value("retries_total") == 0


def test_rows_of_a_newer_layout_stand_beyond_its_end(walk: Runtime) -> None:
    fleet = served(walk)

    def meanwhile(asleep: Worker) -> None:
        fleet.broker.expel(asleep.pipeline._delivery.connections.consumer)  # type: ignore[arg-type]
        fleet.broker.producer().produce(
            CHANGELOG, 0, [b"stream-0", MARKER_KEY], [b"another's", b"another's"]
        )

    sleeper = frozen(fleet, "reading", meanwhile)
    with pytest.raises(StateError, match=r"partition 0 offset \d+ key b'stream-0': 9 bytes"):
        # it is a member once more, restores to the end of today, and that is damaged indeed
        sleeper.turn(5)


def test_a_member_that_was_never_away_names_what_is_wrong(walk: Runtime) -> None:
    """According to the group the member has held the partitions all the time, so the changelog is
    at fault."""
    fleet = served(walk)

    def meanwhile(_asleep: Worker) -> None:
        fleet.broker.group("observations", "eddycast").committed[1] = 3

    with pytest.raises(StateError, match=r"offset 3.*marker for offset 6"):
        frozen(fleet, "restoring", meanwhile).turn(5)
