"""The whole way of a record over the in-process broker, undisturbed and disturbed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import pytest

from eddycast.service.broker.memory.consumer import MemoryConsumer
from eddycast.service.errors import BrokerUnavailable, ProduceFailed, TransactionFailed
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.metric_list import STAGES
from tests.support.bundles import DAY_MS, OFFSETS, START_MS, TWO_CHANNELS, Walk, write_bundle
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import (
    AT_ONCE,
    CHANGELOG,
    DEAD,
    INPUT,
    OUTPUT,
    committed,
    documents,
    errors,
    made,
    memory_broker,
    running,
    send,
    worker,
)

MINUTE = 60_000
NUMBERS = count()
Sent = tuple[int, bytes, dict[str, Any]]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path = tmp_path_factory.mktemp("walk")
    write_bundle(path, Walk())
    return load_runtime(path)


def readings(minutes: range, streams: int = 3, partitions: int = 1) -> list[Sent]:
    """A reading a minute of each stream; a stream stays in its partition."""
    return [
        (
            s % partitions,
            b"stream-%d" % s,
            {"timestamp": START_MS + t * MINUTE, "value": 10.0 * s + t % 7},
        )
        for t in minutes
        for s in range(streams)
    ]


def identities(broker: FaultyBroker) -> Counter[tuple[str, int]]:
    """Number of forecasts by stream and stamp."""
    return Counter((document["stream"], document["timestamp"]) for document in documents(broker))


def asked(sent: list[Sent]) -> set[tuple[str, int]]:
    """The forecasts that must be there."""
    return {(key.decode(), value["timestamp"]) for _, key, value in sent}


def undisturbed(
    runtime: Runtime, sent: list[Sent], partitions: int = 1
) -> dict[tuple[bytes | None, int], bytes | None]:
    """The bytes of every forecast of a run in which nothing fails,
    by key and order within the key."""
    broker = memory_broker(partitions)
    send(broker, sent)
    worker(broker, runtime).turn(5)
    return by_order(broker)


def by_order(broker: FaultyBroker) -> dict[tuple[bytes | None, int], bytes | None]:
    """Forecasts by key and order within the key."""
    order: Counter[bytes | None] = Counter()
    found = {}
    for record in made(broker):
        found[record.key, order[record.key]] = record.value
        order[record.key] += 1
    return found


def test_every_observation_has_its_forecast_where_it_came_from(walk: Runtime) -> None:
    broker, sent = memory_broker(3), readings(range(5), streams=6, partitions=3)
    send(broker, sent)
    subject = worker(broker, walk)
    assert subject.turn(3) == 30
    assert [(r.partition, r.key) for r in made(broker)] == [
        (p, k) for q in range(3) for p, k, _ in sent if p == q
    ]
    last = documents(broker)[-1]
    assert (
        last["stream"] == "stream-5"
        and last["value"] == 54.0
        and last["model"] == walk.manifest.label
    )
    assert last["one_step"][1] == 54.0 and len(last["multi_step"]) == 3 and last["warm"] is True
    assert last["surprise"] == 0.5
    assert committed(broker) == {0: 10, 1: 10, 2: 10}


def test_polls_of_any_size_give_the_same_records(walk: Runtime) -> None:
    sent = readings(range(6))
    broker = memory_broker()
    send(broker, sent)
    worker(broker, walk, replace(AT_ONCE, max_poll_records=4)).turn(6)
    assert by_order(broker) == undisturbed(walk, sent)


def test_a_record_that_cannot_be_read_harms_nobody(walk: Runtime) -> None:
    broker = memory_broker()
    send(
        broker,
        [
            *readings(range(1)),
            (0, b"bad", b"\x00nonsense"),
            (0, b"", b"{}"),
            *readings(range(1, 2)),
        ],
    )
    subject = worker(broker, walk)
    subject.turn()
    assert len(made(broker)) == 6 and len(made(broker, DEAD)) == 2
    letter = made(broker, DEAD)[0]
    assert (letter.key, letter.value) == (b"bad", b"\x00nonsense")
    headers = errors(letter.headers)
    assert (
        headers["error"] == b"not_json"
        and headers["offset"] == b"3"
        and headers["topic"] == INPUT.encode()
    )
    assert committed(broker) == {0: 8}
    assert subject.value("dead_letters_total", error="not_json") == 1


def test_a_poll_of_nothing_but_bad_records_is_done_too(walk: Runtime) -> None:
    broker = memory_broker()
    send(broker, [(0, b"bad", b"[")] * 3)
    worker(broker, walk).turn()
    assert committed(broker) == {0: 3} and made(broker) == []


@pytest.mark.parametrize("late_ones", ["drop", "dead_letter"])
def test_late_readings_go_to_the_dead_letters_if_asked(
    walk: Runtime, late_ones: Literal["drop", "dead_letter"]
) -> None:
    broker = memory_broker(2)
    late = {"timestamp": START_MS - 3 * MINUTE, "value": 5.0}
    sent = [
        *readings(range(2), 2, 2),
        (1, b"stream-1", late),
        (0, b"bad", b"["),
        *readings(range(2, 3), 2, 2),
    ]
    send(broker, sent)
    subject = worker(broker, walk, replace(AT_ONCE, late=late_ones))
    subject.turn()
    letters = {errors(record.headers)["error"]: record for record in made(broker, DEAD)}
    assert set(letters) == ({b"late", b"not_json"} if late_ones == "dead_letter" else {b"not_json"})
    if late_ones == "dead_letter":
        headers = errors(letters[b"late"].headers)
        assert letters[b"late"].partition == 1 and headers["offset"] == b"2"
        assert b'"value": 5.0' in (letters[b"late"].value or b"")
    assert subject.value("readings_total", verdict="late") == 1
    assert len(made(broker)) == 6


def test_two_channels(tmp_path: Path) -> None:
    write_bundle(tmp_path, TWO_CHANNELS)
    broker = memory_broker()
    send(
        broker,
        [(0, b"s", {"timestamp": START_MS, "value": [1.5, None]}), (0, b"s", {"value": 1.0})],
    )
    worker(broker, load_runtime(tmp_path)).turn()
    (document,) = documents(broker)
    assert document["value"] == [1.5, None]
    assert document["one_step"]["flow"][1] == 1.5 and document["one_step"]["level"] == [None] * 3
    assert errors(made(broker, DEAD)[0].headers)["error"] == b"wrong_channels"


@pytest.mark.parametrize(
    "fault", ["produce", "flush", "begin", "send_offsets", "transaction", "answer", "producer"]
)
def test_whatever_fails_in_a_commit_is_undone_and_done_again_once(
    walk: Runtime, fault: str
) -> None:
    sent = readings(range(8))
    broker = memory_broker()
    subject = worker(broker, walk)
    send(broker, sent[:9])
    subject.turn()
    send(broker, sent[9:15])
    if fault == "producer":
        broker.fail_next("transaction")
    broker.fail_next(fault, 2)
    subject.turn(4)
    send(broker, sent[15:])
    subject.turn(2)
    assert by_order(broker) == undisturbed(walk, sent)
    assert identities(broker) == Counter(asked(sent)), "each once"
    assert committed(broker) == {0: 24}
    assert subject.value("retries_total", error="CommitUnknown") == (2 if fault == "answer" else 0)


def test_at_least_once_forecasts_are_out_before_their_commit_and_may_repeat_with_the_same_bytes(
    walk: Runtime,
) -> None:
    sent, broker = readings(range(8)), memory_broker()
    subject = worker(
        broker, walk, replace(AT_ONCE, delivery="at_least_once", commit_interval_s=1000.0)
    )
    send(broker, sent[:12])
    subject.turn()
    assert len(made(broker)) == 12 and committed(broker) == {} and made(broker, CHANGELOG) == []
    assert subject.value("forecasts_total") == 12, "acknowledged"
    broker.fail_next("transaction")
    subject.finish()
    second = worker(broker, walk, replace(AT_ONCE, delivery="at_least_once"), "1")
    send(broker, sent[12:])
    second.turn(2)
    found = identities(broker)
    assert set(found) == asked(sent) and set(found.values()) == {1, 2}
    assert {record.value for record in made(broker)} == set(undisturbed(walk, sent).values()), (
        "rows count once"
    )


def test_what_fails_for_too_long_ends_the_run_and_names_the_record(walk: Runtime) -> None:
    broker = memory_broker()
    subject = worker(broker, walk, replace(AT_ONCE, give_up_s=0.3))
    send(broker, readings(range(1)))
    subject.turn()
    send(broker, readings(range(1, 2)))
    broker.fail_next("produce", 100_000)
    with (
        pytest.raises(ProduceFailed, match=f"{INPUT} partition 0 offset 3 .*0.3 s") as caught,
        running(subject),
    ):
        time.sleep(1.0)
    assert caught.value.exit_code != 0
    assert committed(broker) == {0: 3}
    assert broker.group(INPUT, AT_ONCE.group).members == [], "the group was left"


def test_a_forecast_that_no_topic_takes_is_a_dead_letter(walk: Runtime) -> None:
    broker = memory_broker()
    subject = worker(broker, walk, replace(AT_ONCE, max_output_bytes=500))
    long = b"s" * 300
    send(
        broker,
        [
            *readings(range(1)),
            (0, long, {"timestamp": START_MS, "value": 1.0}),
            *readings(range(1, 2)),
        ],
    )
    subject.turn()
    assert identities(broker) == Counter(asked(readings(range(2))))
    (letter,) = made(broker, DEAD)
    assert letter.key == long and errors(letter.headers)["error"] == b"forecast_too_large"
    assert errors(letter.headers)["offset"] == b"3"
    assert committed(broker) == {0: 7}


def test_an_expelled_member_comes_back_to_the_rows_of_the_last_commit(walk: Runtime) -> None:
    broker, sent = memory_broker(), readings(range(5))
    subject = worker(broker, walk)
    send(broker, sent[:9])
    subject.turn()
    send(broker, sent[9:])
    broker.fail_next("transaction")
    subject.turn()
    broker.expel(subject.pipeline._delivery.connections.consumer)  # type: ignore[arg-type]
    subject.turn(3)
    assert by_order(broker) == undisturbed(walk, sent)
    assert committed(broker) == {0: 15}


def test_membership_lost_at_a_commit_takes_it_back_and_keeps_the_producer(walk: Runtime) -> None:
    broker = memory_broker()
    subject = worker(broker, walk)
    subject.turn()
    send(broker, readings(range(2)))
    consumer = subject.pipeline._delivery.connections.consumer
    poll = consumer.poll

    def forgetful(timeout_s: float, max_records: int) -> Any:
        batches = poll(timeout_s, max_records)
        consumer.membership = None  # type: ignore[attr-defined]
        return batches

    consumer.poll = forgetful  # type: ignore[method-assign]
    subject.turn()
    producer = subject.pipeline._delivery.checkpoint._transactions
    assert committed(broker) == {} and made(broker) == []
    assert subject.value("retries_total", error="MembershipLost") == 1
    consumer.poll = poll  # type: ignore[method-assign]
    subject.turn()
    assert committed(broker) == {0: 6} and len(made(broker)) == 6
    assert subject.pipeline._delivery.checkpoint._transactions is producer


def test_only_a_trouble_that_lasts_is_said_and_not_at_every_attempt(
    walk: Runtime, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eddycast.service.delivery.outages.PATIENCE_S", 0.3)
    broker = memory_broker()
    subject = worker(broker, walk)
    send(broker, readings(range(1)))
    broker.fail_next("begin", 2, BrokerUnavailable("the group is rebalancing"))
    subject.turn(3)
    assert "rebalancing" not in capsys.readouterr().out
    send(broker, readings(range(1, 2)))
    broker.fail_next("begin", 100_000, BrokerUnavailable("nobody answers"))
    started = time.monotonic()
    while time.monotonic() - started < 0.6:
        subject.turn()
        time.sleep(0.01)
    assert capsys.readouterr().out.count("nobody answers") == 1


def test_a_broker_that_cannot_be_polled_is_waited_for(walk: Runtime) -> None:
    broker = memory_broker()
    send(broker, readings(range(2)))
    subject = worker(broker, walk)
    broker.fail_next("poll", 1)
    with running(subject):
        time.sleep(0.2)
        assert subject.health.ready_answer() == (False, "the broker to answer")
        _until(lambda: len(made(broker)) == 6)
        _until(lambda: subject.health.ready_answer()[0])
    assert committed(broker) == {0: 6}


def test_a_second_member_takes_over_where_the_first_has_committed(walk: Runtime) -> None:
    broker, streams = memory_broker(4), 8
    lazy = replace(AT_ONCE, commit_interval_s=1000.0)
    first = worker(broker, walk, lazy)
    send(broker, readings(range(3), streams, 4))
    assert first.turn() == 24 and committed(broker) == {}
    second = worker(broker, walk, lazy, "1")
    assert second.turn() == 0, "nothing is handed over before its owner has committed"
    first.turn()
    assert committed(broker) == dict.fromkeys(range(4), 6), (
        "the whole commit happens while handing over"
    )
    assert first.value("streams") == streams / 2
    send(broker, readings(range(3, 5), streams, 4))
    for _ in range(3):
        first.turn()
        second.turn()
    assert first.value("records_total") + second.value("records_total") == 5 * streams
    assert second.value("partitions") == 2 and second.value("streams") == streams / 2
    first.finish()
    second.finish()
    sent = readings(range(5), streams, 4)
    assert identities(broker) == Counter(asked(sent)) and by_order(broker) == undisturbed(
        walk, sent, 4
    )


@pytest.mark.parametrize("fault", ["produce", "flush", "send_offsets", "transaction", "answer"])
def test_a_hand_over_whose_commit_fails_loses_and_repeats_nothing(
    walk: Runtime, fault: str
) -> None:
    broker, streams = memory_broker(2), 4
    first = worker(broker, walk, replace(AT_ONCE, commit_interval_s=1000.0))
    sent = readings(range(5), streams, 2)
    send(broker, sent[:12])
    first.turn()
    second = worker(broker, walk, name="1")
    second.turn()
    # the very poll that hands over brings records that follow what is taken back
    send(broker, sent[12:])
    broker.fail_next(fault, 1)
    first.turn()
    first.pipeline._delivery.checkpoint._settings = AT_ONCE.settings().commit
    for _ in range(4):
        first.turn()
        second.turn()
    first.finish()
    second.finish()
    assert by_order(broker) == undisturbed(walk, sent, 2)
    assert committed(broker) == {0: 10, 1: 10}


def test_stopping_finishes_commits_and_leaves(walk: Runtime) -> None:
    broker = memory_broker(2)
    subject = worker(broker, walk, replace(AT_ONCE, poll_timeout_s=0.5, commit_interval_s=1000.0))
    with running(subject):
        send(broker, readings(range(10), 4, 2))
        _until(lambda: len(broker.read(OUTPUT, "read_uncommitted")) == 40)
        assert made(broker) == [] and committed(broker) == {}
    assert committed(broker) == {0: 20, 1: 20} and len(made(broker)) == 40
    assert broker.group(INPUT, AT_ONCE.group).members == []


def test_a_restart_goes_on_where_the_last_run_stopped(walk: Runtime) -> None:
    broker = memory_broker()
    for minutes in (range(4), range(4, 8)):
        subject = worker(broker, walk)
        send(broker, readings(minutes))
        subject.turn()
        subject.finish()
    assert by_order(broker) == undisturbed(walk, readings(range(8)))


def test_a_stop_without_a_last_commit_ends_within_its_time_and_costs_nothing(walk: Runtime) -> None:
    broker = memory_broker()
    subject = worker(broker, walk, replace(AT_ONCE, commit_interval_s=1000.0, drain_timeout_s=0.5))
    send(broker, readings(range(1)))
    subject.turn()
    broker.fail_next("transaction", 1)
    subject.finish()
    assert broker.group(INPUT, AT_ONCE.group).members == [] and made(broker) == []
    second = worker(broker, walk, name="1")
    second.turn()
    assert by_order(broker) == undisturbed(walk, readings(range(1)))


def test_readers_are_given_up_when_the_group_cannot_be_joined(
    walk: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = memory_broker()
    closed: list[object] = []
    monkeypatch.setattr(
        "eddycast.service.broker.memory.reader.MemoryReader.close", lambda self: closed.append(self)
    )
    monkeypatch.setattr(broker, "consumer", _refuse)
    with pytest.raises(BrokerUnavailable):
        worker(broker, walk)
    assert len(closed) == 2


def _refuse(*_: object) -> None:
    raise BrokerUnavailable("nobody answers")


def test_idle_streams_are_forgotten_by_stream_time(walk: Runtime) -> None:
    broker = memory_broker(2)
    subject = worker(broker, walk, replace(AT_ONCE, state_ttl_ms=DAY_MS, far_future_ms=DAY_MS // 8))
    old = [
        (0, b"old", {"timestamp": START_MS, "value": 1.0}),
        (1, b"elsewhere", {"timestamp": START_MS, "value": 1.0}),
    ]
    send(broker, old)
    subject.turn()
    for hours in range(0, 30, 2):
        send(broker, [(0, b"young", {"timestamp": START_MS + hours * 3_600_000, "value": 1.0})])
        subject.turn()
        assert subject.value("streams") == (3 if hours < 28 else 2), (
            "looked for every eighth of the time to live"
        )
    assert subject.value("evicted_total") == 1, "of its own partition only"


def test_a_time_to_live_shorter_than_a_gap_changes_no_forecast(walk: Runtime) -> None:
    """A reading after a gap that may be bridged finds its row, however short the time to live."""
    broker = memory_broker()
    subject = worker(broker, walk, replace(AT_ONCE, state_ttl_ms=1))
    for minute in (0, 1, 2, 6):
        send(broker, [(0, b"busy", {"timestamp": START_MS + minute * MINUTE, "value": 1.0})])
        if minute in (0, 6):
            send(broker, [(0, b"seldom", {"timestamp": START_MS + minute * MINUTE, "value": 1.0})])
        subject.turn()
    assert subject.value("readings_total", verdict="first") == 2
    assert subject.value("readings_total", verdict="gap") == 2


def test_what_is_measured(walk: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddycast.service.delivery.assignment._SHOW_S", 0.0)
    broker = memory_broker(2)
    subject = worker(broker, walk)
    sent = readings(range(6), 4, 2)
    del sent[4:12]  # minutes 1 and 2 of all streams
    send(broker, sent)
    subject.turn(2)
    assert subject.value("records_total") == subject.value("forecasts_total") == 16
    assert subject.value("readings_total", verdict="first") == 4
    assert subject.value("readings_total", verdict="gap") == 4
    assert subject.value("imputed_steps_total") == 8
    assert (
        subject.value("step_batch_rows_count") == 6 and subject.value("step_batch_rows_sum") == 24
    )
    for name in ("service", "end_to_end_acknowledged", "end_to_end_committed"):
        assert subject.value(f"{name}_seconds_count") == 16
        assert 0 <= subject.value(f"{name}_seconds_sum") < 16 * 5
    assert subject.value("scored_total", target="value", warm="true") == 12
    width = OFFSETS[-1] - OFFSETS[0]
    error = subject.value("score_total", target="value", score="absolute_error", warm="true")
    assert error == pytest.approx(4 * (3 + 1 + 1) / width)
    assert subject.value("streams") == 4 and subject.value("state_bytes") > 0
    assert all(subject.value("stage_seconds_count", stage=stage) >= 1 for stage in STAGES)
    assert subject.value("commits_total") == subject.value("commit_seconds_count") == 1
    assert subject.value("consumer_lag", partition="1") == 0


def test_a_poll_that_was_full_leaves_the_acknowledgements_to_the_next_turn(walk: Runtime) -> None:
    broker = memory_broker()
    eager = replace(AT_ONCE, commit_interval_s=1000.0, max_poll_records=6, delivery="at_least_once")
    subject = worker(broker, walk, eager)
    send(broker, readings(range(3)))
    subject.turn()
    assert subject.value("forecasts_total") == 0
    subject.turn()
    assert subject.value("forecasts_total") == 9


def _until(done: Any, seconds: float = 60.0) -> None:
    """Wait for `done()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it never came"
        threading.Event().wait(0.01)


def test_who_has_joined_and_not_heard_of_its_partitions_is_not_ready(
    walk: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client joins in one poll and reports the assignment in the next."""
    broker = memory_broker()
    send(broker, readings(range(3)))
    subject = worker(broker, walk)
    consumer = subject.pipeline._delivery.connections.consumer
    with monkeypatch.context() as early:
        early.setattr(consumer, "poll", lambda *_: [])
        early.setattr(consumer, "is_member", lambda: True)
        early.setattr(consumer, "assignment", lambda: frozenset({0}))
        subject.turn()
        assert not subject.health.ready_answer()[0]
    subject.turn(5)
    assert subject.health.ready_answer()[0]


def transactions(broker: FaultyBroker, partition: int, *ends: str) -> None:
    """One transaction for each of `ends`, with a reading of a stream of its own."""
    producer = broker.producer("gateway")
    for end in ends:
        producer.begin()
        producer.produce(
            INPUT, partition, [b"%d" % next(NUMBERS)], [b'{"timestamp":%d,"value":1}' % START_MS]
        )
        producer.flush(1.0)
        producer.commit() if end == "commit" else producer.abort()
    producer.close(1.0)


@pytest.mark.parametrize(
    "ends", [["commit"] * 3, ["commit", "abort"], ["abort"], ["abort", "commit", "abort", "abort"]]
)
def test_behind_a_transactional_producer_nothing_is_left_to_read(
    walk: Runtime, ends: list[str]
) -> None:
    """The position is committed, also where only control and aborted records follow;
    the marker agrees."""
    broker = memory_broker(2)
    subject = worker(broker, walk)
    for _ in range(2):
        transactions(broker, 1, *ends)
        subject.turn(3)
    assert committed(broker)[1] == 4 * len(ends)
    subject.finish()
    successor = worker(broker, walk, name="1")
    successor.turn(2)  # restores, which fails unless the marker agrees
    assert successor.value("consumer_lag", partition="1") == 0
    assert successor.value("records_total") == 0 and len(documents(broker)) == 2 * ends.count(
        "commit"
    )
    transactions(broker, 1, *["abort"] * 2)
    successor.turn(3)
    assert committed(broker)[1] == 4 * len(ends) + 4
    successor.finish()


def test_what_is_read_again_is_not_stepped_over(walk: Runtime) -> None:
    """After a failure the consumer's position is ahead of what is done, until it has gone back."""
    broker = memory_broker(1)
    subject = worker(broker, walk)
    transactions(broker, 0, "commit", "abort", "commit")
    broker.fail_next("send_offsets", error=TransactionFailed("refused"))
    subject.turn(6)
    assert committed(broker) == {0: 6} and len(documents(broker)) == 2
    subject.finish()


def test_lag_is_true_before_anything_is_fetched(walk: Runtime) -> None:
    broker = memory_broker(2)
    send(broker, readings(range(10), streams=2, partitions=2))
    subject = worker(broker, walk, replace(AT_ONCE, max_poll_records=1))
    # as Kafka's does not know it before a fetch
    with patch.object(MemoryConsumer, "lag", lambda _: {}):
        subject.turn(1)
        lag = {p: subject.value("consumer_lag", partition=p) for p in ("0", "1")}
    assert sum(lag.values()) >= 18 and min(lag.values()) >= 9
    assert subject.value("partitions") == 2
    subject.finish()
