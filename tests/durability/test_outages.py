"""Lasting trouble: a broker that refuses, an outage of a day, a foreign bundle or name,
excessively long names."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from eddycast.service.delivery.connections import transactional_id
from eddycast.service.errors import OffsetGone, ProduceFailed, StateError
from eddycast.service.formats.json_observation import KEY_LIMIT_BYTES
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.load import load_settings
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.crashing import Fleet, held, outputs, stored
from tests.support.running import (
    AT_ONCE,
    DEAD,
    INPUT,
    Worker,
    committed,
    errors,
    made,
    memory_broker,
    send,
)

MINUTE = 60_000


def loaded(path: Path, walk: Walk) -> Runtime:
    write_bundle(path, walk)
    return load_runtime(path)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return loaded(tmp_path_factory.mktemp("walk"), Walk())


def feed(fleet: Fleet, minutes: range, streams: int = 4, partitions: int = 1) -> None:
    send(
        fleet.broker,
        [
            (
                s % partitions,
                b"stream-%d" % s,
                {"timestamp": START_MS + t * MINUTE, "value": 10.0 * s + t % 7},
            )
            for t in minutes
            for s in range(streams)
        ],
    )


def undisturbed(walk: Runtime, minutes: range, partitions: int = 1) -> Fleet:
    """Result of an undisturbed run on the same readings."""
    fleet = Fleet(memory_broker(partitions), walk)
    fleet.start()
    feed(fleet, minutes, partitions=partitions)
    fleet.settle()
    return fleet


def turn_for(subject: Worker, seconds: float) -> None:
    """Turn by hand for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        subject.turn()


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_refused_for_less_than_its_patience_the_service_recovers_by_itself(
    walk: Runtime, delivery: str
) -> None:
    """A minute of refusals against two minutes of patience, at a fiftieth of the time."""
    options = replace(AT_ONCE, give_up_s=2.4, delivery=delivery)  # type: ignore[arg-type]
    fleet = Fleet(memory_broker(), walk, options)
    subject = fleet.start()
    feed(fleet, range(2))
    fleet.settle()
    feed(fleet, range(2, 4))
    fleet.broker.fail_next("produce", 10_000)
    turn_for(subject, 1.2)
    assert committed(fleet.broker) == {0: 8}, "nothing is committed while records are refused"
    tried = sum(
        subject.value("retries_total", error=error)
        for error in ("ProduceFailed", "TransactionFailed")
    )
    assert 3 <= tried < 30, "pauses grow between attempts"
    fleet.broker.faults.clear()
    fleet.settle()
    expected = undisturbed(walk, range(4))
    assert outputs(fleet.broker) == outputs(expected.broker) and stored(fleet.broker) == stored(
        expected.broker
    )
    assert made(fleet.broker, DEAD) == [], "an outage costs no forecast"


def test_refused_for_longer_it_ends_and_names_the_records(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(), walk, replace(AT_ONCE, give_up_s=0.6))
    subject = fleet.start()
    feed(fleet, range(2))
    fleet.settle()
    feed(fleet, range(2, 4))
    fleet.broker.fail_next("produce", 10_000)
    began = time.monotonic()
    with pytest.raises(ProduceFailed, match=f"{INPUT} partition 0 offset 8 .*0.6 s"):
        turn_for(subject, 60.0)
    assert time.monotonic() - began >= 0.6
    assert committed(fleet.broker) == {0: 8} and made(fleet.broker, DEAD) == []


def test_ten_thousand_streams_come_back_after_a_day(tmp_path: Path) -> None:
    """Streams of one reading per quarter of an hour:
    95 imputed steps before the reading, in transactions of 200,000 steps."""
    quarter = 15 * MINUTE
    runtime = loaded(tmp_path, Walk(interval_ms=quarter, max_gap=200))
    fleet = Fleet(
        memory_broker(4),
        runtime,
        replace(AT_ONCE, commit_interval_s=1000.0, max_poll_records=100_000),
    )
    subject = fleet.start()
    for at in (0, 96):
        values = [
            json.dumps({"timestamp": START_MS + at * quarter, "value": float(s % 7)}).encode()
            for s in range(10)
        ]
        producer = fleet.broker.producer()
        for p in range(4):
            keys: list[bytes | None] = [b"stream-%d" % s for s in range(p, 10_000, 4)]
            producer.produce(INPUT, p, keys, [values[i % 10] for i in range(len(keys))])
        producer.flush(5.0)
        before = subject.value("commits_total")
        subject.turn()
        commits = subject.value("commits_total") - before
        assert (at and commits >= 3) or commits == 0, (
            "960,000 steps, each transaction less than twice 200,000"
        )
    subject.finish()
    assert subject.value("imputed_steps_total") == 10_000 * 95
    assert len(made(fleet.broker)) == 20_000 and committed(fleet.broker) == dict.fromkeys(
        range(4), 5_000
    )
    assert sum(map(len, stored(fleet.broker).values())) == 10_000


def test_a_bundle_of_another_layout_does_not_disturb_the_one_that_serves(
    walk: Runtime, tmp_path: Path
) -> None:
    """The same group, started with another bundle:
    the newcomer ends, and the group goes on without it."""
    fleet = Fleet(memory_broker(2), walk)
    first = fleet.start()
    feed(fleet, range(3), partitions=2)
    fleet.settle()
    fleet.runtime = loaded(tmp_path, Walk(hidden=4))
    newcomer = fleet.start()
    with pytest.raises(StateError, match=f"{walk.manifest.label} .*{fleet.runtime.manifest.label}"):
        for _ in range(4):
            first.turn()
            newcomer.turn()
    newcomer.pipeline.close()
    fleet.alive.remove(newcomer)
    feed(fleet, range(3, 5), partitions=2)
    fleet.settle()
    expected = undisturbed(walk, range(5), partitions=2)
    assert outputs(fleet.broker) == outputs(expected.broker)
    assert stored(fleet.broker) == stored(expected.broker) == held(first)


def test_a_name_is_as_long_as_allowed_or_a_dead_letter(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(), walk)
    fleet.start()
    longest, beyond, huge = b"n" * KEY_LIMIT_BYTES, b"n" * (KEY_LIMIT_BYTES + 1), b"n" * 60_000
    reading = {"timestamp": START_MS, "value": 1.0}
    send(fleet.broker, [(0, name, reading) for name in (longest, beyond, huge, b"after")])
    fleet.settle()
    assert [record.key for record in made(fleet.broker)] == [longest, b"after"]
    assert set(stored(fleet.broker)[0]) == {longest, b"after"}
    letters = made(fleet.broker, DEAD)
    assert [letter.key for letter in letters] == [beyond, huge]
    assert {errors(letter.headers)["error"] for letter in letters} == {b"too_large"}
    fleet.kill(fleet.alive[0])
    restored = fleet.start()
    restored.turn(2)
    assert held(restored) == stored(fleet.broker)


def test_services_of_one_prefix_have_names_of_their_own(walk: Runtime) -> None:
    """A static member fences its own predecessor;
    a dynamic member and another group fence no process."""

    def name(*flags: str) -> str:
        return transactional_id(load_settings(flags, {}))

    assert name() != name()
    assert (
        name("--kafka.instance_id=a")
        == name("--kafka.instance_id=a")
        != name("--kafka.instance_id=b")
    )
    assert name("--kafka.instance_id=a") != name("--kafka.instance_id=a", "--kafka.group=other")
    fleet = Fleet(memory_broker(2), walk)
    workers = [fleet.start(), fleet.start()]
    for n in range(4):
        feed(fleet, range(n, n + 1), partitions=2)
        fleet.settle()
    assert [subject.value("retries_total", error="ProducerFenced") for subject in workers] == [0, 0]
    assert outputs(fleet.broker) == outputs(undisturbed(walk, range(4), partitions=2).broker)


def test_an_input_that_grows_while_it_is_served_ends_who_is_given_the_new_partition(
    walk: Runtime,
) -> None:
    fleet = Fleet(memory_broker(2), walk, replace(AT_ONCE, partitions=2))
    subject = fleet.start()
    feed(fleet, range(3), partitions=2)
    fleet.settle()
    fleet.broker.grow(INPUT, 3)
    with pytest.raises(StateError, match=f"{INPUT} .* 2 partitions.* partition 2"):
        subject.turn(3)
    assert committed(fleet.broker) == {0: 6, 1: 6} and len(made(fleet.broker)) == 12


def test_a_committed_offset_that_retention_deleted_ends_the_start_unless_told_otherwise(
    walk: Runtime,
) -> None:
    fleet = Fleet(memory_broker(), walk)
    fleet.start()
    feed(fleet, range(2), streams=1)
    fleet.settle()
    fleet.stop(fleet.alive[0])
    feed(fleet, range(2, 8), streams=1)
    fleet.broker.delete_records(INPUT, 0, 5)
    subject = fleet.start()
    with pytest.raises(OffsetGone, match=f"{INPUT} partition 0 .*offset 5.*offset 2"):
        subject.turn(2)
    assert subject.value("deleted_unread_total") == 0 and committed(fleet.broker) == {0: 2}
