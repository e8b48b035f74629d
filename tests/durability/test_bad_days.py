"""Bad days, one by one: what is refused, what is said, and what goes on all the same."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from eddycast.service.errors import OffsetGone, StateError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, is_stream
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.crashing import Fleet, held, outputs, stored
from tests.support.running import (
    AT_ONCE,
    CHANGELOG,
    DEAD,
    INPUT,
    committed,
    documents,
    errors,
    made,
    memory_broker,
    running,
    send,
)

MINUTE = 60_000


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return loaded(tmp_path_factory.mktemp("walk"), Walk())


def loaded(path: Path, walk: Walk) -> Runtime:
    write_bundle(path, walk)
    return load_runtime(path)


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


def test_a_bundle_that_does_not_understand_the_rows_is_refused_by_name(
    walk: Runtime, tmp_path: Path
) -> None:
    fleet = Fleet(memory_broker(), walk)
    fleet.stop(fleet.start())
    feed(fleet, range(3))
    fleet.settle()
    fleet.stop(fleet.alive[0])
    fleet.runtime = loaded(tmp_path, Walk(hidden=4))
    before = stored(fleet.broker)
    with pytest.raises(StateError) as caught:
        fleet.start().turn(3)
    for runtime in (walk, fleet.runtime):
        assert runtime.manifest.label in caught.value.what
    assert "bundle" in caught.value.action and stored(fleet.broker) == before


def test_idle_streams_leave_memory_and_changelog_in_the_same_commit(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(), walk, replace(AT_ONCE, state_ttl_ms=16 * MINUTE))
    subject = fleet.start()
    feed(fleet, range(2), streams=4)
    feed(fleet, range(2, 25), streams=2)
    fleet.settle()
    assert set(stored(fleet.broker)[0]) == set(held(subject)[0]) == {b"stream-0", b"stream-1"}
    tombs = [(r.key, r.offset) for r in made(fleet.broker, CHANGELOG) if r.value is None]
    assert sorted(key or b"" for key, _ in tombs) == [b"stream-2", b"stream-3"]
    assert subject.value("evicted_total") == 2
    fleet.kill(subject)
    second = fleet.start()
    second.turn(2)
    assert held(second) == {0: stored(fleet.broker)[0]}
    feed(fleet, range(25, 26), streams=4)
    fleet.settle()
    assert set(stored(fleet.broker)[0]) == {b"stream-%d" % s for s in range(4)}, "they begin anew"


def test_many_streams_back_after_a_long_gap_take_several_transactions(tmp_path: Path) -> None:
    runtime = loaded(tmp_path, Walk(max_gap=300, hidden=8))
    results = []
    for max_steps in (1_000_000, 2_000):
        fleet = Fleet(
            memory_broker(2),
            runtime,
            replace(AT_ONCE, commit_interval_s=1000.0, max_steps=max_steps),
        )
        subject = fleet.start()
        feed(fleet, range(1), streams=40, partitions=2)
        subject.turn()
        feed(fleet, range(250, 252), streams=40, partitions=2)
        subject.turn()
        commits = subject.value("commits_total")
        subject.finish()
        assert subject.value("imputed_steps_total") == 40 * 249
        assert commits == (0 if max_steps > 10_000 else 5), "9,960 imputed steps, 2,000 at a time"
        results.append((outputs(fleet.broker), stored(fleet.broker)))
    assert results[0] == results[1]


def test_thirty_two_partitions_are_taken_over(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(32), walk)
    first = fleet.start()
    feed(fleet, range(3), streams=64, partitions=32)
    fleet.settle()
    second = fleet.start()
    fleet.turn(4)
    feed(fleet, range(3, 5), streams=64, partitions=32)
    fleet.settle()
    assert {len(held(subject)) for subject in (first, second)} == {16}
    fleet.kill(first)
    feed(fleet, range(5, 6), streams=64, partitions=32)
    fleet.settle()
    expected = Fleet(memory_broker(32), walk)
    expected.start()
    feed(expected, range(6), streams=64, partitions=32)
    expected.settle()
    assert outputs(fleet.broker) == outputs(expected.broker)
    assert stored(fleet.broker) == stored(expected.broker) == held(second)


def test_partitions_that_are_back_are_served_while_others_wait(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(2), walk)
    fleet.start()
    feed(fleet, range(2), partitions=2)
    fleet.settle()
    fleet.stop(fleet.alive[0])
    hanging = fleet.broker.producer("another")
    hanging.begin()
    hanging.produce(CHANGELOG, 1, [b"stream-1"], [b"never committed"])
    subject = fleet.start()
    feed(fleet, range(2, 4), partitions=2)
    for _ in range(4):
        subject.pipeline.turn()
    assert committed(fleet.broker) == {0: 8, 1: 4}
    assert subject.health.ready_answer() == (False, "the rows of partitions 1")
    assert subject.value("restore_left") == 1
    hanging.abort()
    subject.turn(2)
    assert subject.health.ready_answer() == (True, "")
    assert committed(fleet.broker) == {0: 8, 1: 8}


def test_a_changelog_that_was_deleted_is_not_taken_for_an_empty_one(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(), walk)
    fleet.start()
    feed(fleet, range(2))
    fleet.settle()
    fleet.stop(fleet.alive[0])
    fleet.broker.delete_topic(CHANGELOG)
    fleet.broker.admin().create_topic(CHANGELOG, 1)
    with pytest.raises(StateError, match=r"offset 8.*no marker"):
        fleet.start().turn(3)


def test_a_value_of_no_bytes_in_the_changelog_is_named(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(), walk)
    producer = fleet.broker.producer()
    producer.produce(CHANGELOG, 0, [b"stream-1"], [b""])
    with pytest.raises(
        StateError, match=f"{CHANGELOG} partition 0 offset 0 key b'stream-1': 0 bytes"
    ):
        fleet.start().turn(3)


def test_an_input_that_has_grown_is_refused_while_serving(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(3), walk, replace(AT_ONCE, partitions=2))
    with pytest.raises(StateError, match=f"{INPUT} .* 2 partitions.* partition 2"):
        fleet.start().turn()


@pytest.mark.parametrize(("policy", "next_offset"), [("earliest", 5), ("latest", 8)])
def test_records_that_retention_deleted_are_passed_over_if_asked_and_counted(
    walk: Runtime, policy: Literal["earliest", "latest"], next_offset: int
) -> None:
    fleet = Fleet(memory_broker(), walk, replace(AT_ONCE, when_deleted=policy))
    fleet.start()
    feed(fleet, range(2), streams=1)
    fleet.settle()
    fleet.stop(fleet.alive[0])
    feed(fleet, range(2, 8), streams=1)
    fleet.broker.delete_records(INPUT, 0, 5)
    subject = fleet.start()
    subject.turn(2)
    assert subject.value("deleted_unread_total") == next_offset - 2
    feed(fleet, range(8, 9), streams=1)
    fleet.settle()
    stamps = [(document["timestamp"] - START_MS) // MINUTE for document in documents(fleet.broker)]
    assert stamps == [0, 1, *range(next_offset, 9)]


def test_retention_that_overtakes_a_running_service_ends_it_or_is_passed_over(
    walk: Runtime,
) -> None:
    for policy in ("fail", "earliest"):
        fleet = Fleet(memory_broker(), walk, replace(AT_ONCE, when_deleted=policy))
        subject = fleet.start()
        feed(fleet, range(1), streams=1)
        fleet.settle()
        feed(fleet, range(1, 6), streams=1)
        fleet.broker.delete_records(INPUT, 0, 4)
        if policy == "fail":
            with pytest.raises(OffsetGone, match=f"{INPUT} partition 0"):
                subject.turn()
            continue
        fleet.settle()
        assert len(made(fleet.broker)) == 3 and subject.value("deleted_unread_total") == 3


def test_a_record_that_breaks_the_graph_becomes_a_dead_letter_and_nobody_else_suffers(
    walk: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Runtime.step

    def fragile(self: Runtime, value: Any, timestamp: Any, state: Any) -> Any:
        if (np.asarray(value) == 666.0).any():
            raise RuntimeError("the graph does not like this number")
        return step(self, value, timestamp, state)

    fleet = Fleet(memory_broker(2), walk, replace(AT_ONCE, max_poll_records=50))
    fleet.start()
    monkeypatch.setattr(Runtime, "step", fragile)
    feed(fleet, range(5), partitions=2)
    send(fleet.broker, [(0, b"stream-0", {"timestamp": START_MS + 5 * MINUTE, "value": 666.0})])
    feed(fleet, range(6, 12), partitions=2)
    fleet.settle()
    (letter,) = made(fleet.broker, DEAD)
    headers = errors(letter.headers)
    assert (headers["error"], headers["partition"], headers["offset"]) == (b"failed", b"0", b"10")
    assert set(
        Counter((d["stream"], d["timestamp"]) for d in documents(fleet.broker)).values()
    ) == {1}
    assert len(documents(fleet.broker)) == 4 * 11


def test_a_stop_while_rows_come_back_leaves_everything_as_it_was(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(), walk)
    fleet.start()
    feed(fleet, range(2))
    fleet.settle()
    fleet.stop(fleet.alive[0])
    before = outputs(fleet.broker), stored(fleet.broker), committed(fleet.broker)
    hanging = fleet.broker.producer("another")
    hanging.begin()
    hanging.produce(CHANGELOG, 0, [b"stream-1"], [b"never committed"])
    subject = fleet.start()
    with running(subject):
        time.sleep(0.3)
        assert not subject.health.ready_answer()[0]
    assert (outputs(fleet.broker), stored(fleet.broker), committed(fleet.broker)) == before


def test_two_services_of_one_name_do_not_both_write(walk: Runtime) -> None:
    """The broker fences the older; its records are taken back."""
    fleet = Fleet(memory_broker(2), walk)
    first, second = fleet.start(), fleet.start()
    name = first.pipeline._delivery.connections.transactional_id
    second.pipeline._delivery.connections.transactional_id = name
    second.pipeline._delivery.checkpoint._producers = replace(
        second.pipeline._delivery.checkpoint._producers,
        transactions=lambda: fleet.broker.producer(name),
    )
    for n in range(4):
        feed(fleet, range(2 * n, 2 * n + 2), partitions=2)
        fleet.settle()
    assert first.value("retries_total", error="ProducerFenced") + second.value(
        "retries_total", error="ProducerFenced"
    )
    expected = Fleet(memory_broker(2), walk)
    expected.start()
    feed(expected, range(8), partitions=2)
    expected.settle()
    assert outputs(fleet.broker) == outputs(expected.broker)


def test_a_transaction_that_outlives_its_time_is_done_again(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(), walk, replace(AT_ONCE, commit_interval_s=1000.0))
    subject = fleet.start()
    feed(fleet, range(2))
    subject.turn()
    fleet.broker.expire()
    subject.pipeline._delivery.checkpoint._settings = AT_ONCE.settings().commit
    fleet.settle()
    assert subject.value("retries_total", error="ProducerFenced") == 1
    assert len(made(fleet.broker)) == 8


def test_every_commit_has_one_marker_a_partition(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(2), walk)
    fleet.start()
    for t in range(3):
        feed(fleet, range(t, t + 1), partitions=2)
        fleet.settle()
    keys = Counter((r.partition, r.key) for r in made(fleet.broker, CHANGELOG))
    assert keys[0, MARKER_KEY] == keys[1, MARKER_KEY] == 3
    assert {count for (_, key), count in keys.items() if is_stream(key)} == {3}
    assert keys[0, MODEL_KEY] == keys[1, MODEL_KEY] == 1, "recorded once, while nothing changes"
