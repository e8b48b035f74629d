"""Events on a topic: each once, also after a restart, and valid by their schema."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
import structlog

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.broker.port import Broker
from eddycast.service.errors import NotAuthorized, SettingsError, TopicMissing
from eddycast.service.monitor import event_writer, follower
from eddycast.service.monitor.event_records import Known
from eddycast.service.monitor.run import Monitor
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.load import load_settings
from tests.monitor.records import MINUTE, START, forecast, with_expected
from tests.monitor.test_follower import PATIENCE_S, broker_with, send, wait_until
from tests.support.faulty_broker import FaultyBroker
from tests.support.schemas import validator

EVENTS, VALID = "monitor-events", validator("event")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_writer, "_EVERY_S", 0.01)
    for name in ("_AGAIN_S", "_POLL_S", "_ENDS_EVERY_S"):
        monkeypatch.setattr(follower, name, 0.01)


@contextmanager
def monitoring(broker: Broker, *flags: str, topic: str = EVENTS) -> Iterator[Monitor]:
    """A monitor that writes events while the block lasts, once it has caught up."""
    given = ["monitor.port=0", "monitor.max_streams=100", f"monitor.events={topic}", *flags]
    monitor = Monitor(load_settings([f"--{flag}" for flag in given], {}), broker)
    stop = threading.Event()
    thread = threading.Thread(target=monitor.run, args=(stop,))
    thread.start()
    try:
        yield monitor
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def surprises(stream: str, first: int, last: int, every: int = 5) -> list[dict[str, Any]]:
    """Readings of a warm stream of which every fifth is an anomaly."""
    rng = np.random.default_rng(1)
    return with_expected(
        [
            forecast(stream, step, float(step), rng, warm=True, anomaly=float(step % every == 0))
            for step in range(first, last)
        ]
    )


def written(broker: FaultyBroker, topic: str = EVENTS) -> list[dict[str, Any]]:
    """The events on the topic, all valid, keyed by their stream."""
    if broker.admin().partitions(topic) is None:
        return []
    found = []
    for record in broker.read(topic):
        event = json.loads(record.value or b"")
        VALID.validate(event)
        assert record.key == event["stream"].encode()
        found.append(event)
    return found


def stamps(events: Sequence[dict[str, Any]]) -> list[int]:
    """Steps of the anomalies among events."""
    return [(e["timestamp"] - START) // MINUTE for e in events if e["event"] == "anomaly"]


def test_an_anomaly_is_written_with_what_was_expected() -> None:
    records = surprises("a", 1, 6)
    broker = broker_with(records)
    with monitoring(broker, "monitor.alarms_per_week=2"):
        wait_until(lambda: len(written(broker)) == 1)
    (event,) = written(broker)
    low, _, high = records[-1]["expected"]
    assert abs(event.pop("time") - time.time_ns() // 1_000_000) < 3_600_000
    assert event == {
        "stream": "a", "event": "anomaly", "target": "", "timestamp": START + 5 * MINUTE,
        "value": 5.0, "low": low, "high": high, "nominal": 0.8, "anomaly": 1.0,
        "surprise": float(np.float32(records[-1]["surprise"])), "model": "walk@123456",
        "alarms_per_week": 2.0,
    }  # fmt: skip


def test_a_restart_writes_what_is_missing_and_repeats_nothing() -> None:
    broker = broker_with(surprises("a", 0, 11))
    with monitoring(broker):
        wait_until(lambda: len(written(broker)) == 3)
    send(broker, surprises("a", 11, 21))  # while no monitor runs
    with monitoring(broker):
        wait_until(lambda: len(written(broker)) == 5)
        send(broker, surprises("a", 21, 26))
        wait_until(lambda: len(written(broker)) == 6)
    with monitoring(broker) as monitor:
        wait_until(lambda: monitor.board.records == 26)
    assert stamps(written(broker)) == [0, 5, 10, 15, 20, 25]


@pytest.mark.parametrize("call", ["producer", "produce", "flush"])
def test_an_event_that_is_not_acknowledged_is_written_again(call: str) -> None:
    broker = broker_with(surprises("a", 1, 6))
    broker.fail_next(call, 3)
    with monitoring(broker):
        wait_until(lambda: bool(written(broker)))
    assert set(stamps(written(broker))) == {5}


def test_silence_and_its_end_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = broker_with(surprises("a", 1, 4) + surprises("b", 1, 4))
    ahead_ms = 3_600_000
    monkeypatch.setattr(follower, "now_ms", lambda: time.time_ns() // 1_000_000 + ahead_ms)
    with monitoring(broker):
        wait_until(lambda: len(written(broker)) == 2)
    with monitoring(broker) as monitor:
        wait_until(lambda: monitor.board.records == 6)
        ahead_ms = 0
        send(broker, surprises("b", 4, 5))
        wait_until(lambda: len(written(broker)) == 4)
    silence, ends = written(broker)[:2], written(broker)[2:]
    assert [(e["event"], e["stream"]) for e in silence] == [("silent", "a"), ("silent", "b")]
    assert {e["timestamp"] for e in silence} == {START + 3 * MINUTE}
    assert all(e["usual_s"] == 60 and e["silent_s"] > 180 for e in silence)
    assert sorted((e["event"], e["stream"]) for e in ends) == [("back", "a"), ("back", "b")]


def test_records_that_are_not_read_yet_do_not_make_a_stream_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = START / 1000
    for module in (event_writer, follower):
        monkeypatch.setattr(module, "now_ms", lambda: int(now_s * 1000))
    broker = broker_with(surprises("a", 1, 4), clock=lambda: now_s)

    def outage() -> None:
        """Wait while reading begins again, and fails, several times."""
        left = len(broker.faults._ordered["read"])
        wait_until(lambda: len(broker.faults._ordered["read"]) < left - 20)

    with monitoring(broker) as monitor:
        wait_until(lambda: monitor.board.records == 3)
        broker.fail_next("read", 1_000_000)
        outage()
        now_s += 3_600
        outage()
        send(broker, surprises("a", 4, 5))
        outage()
        broker.faults.clear()
        wait_until(lambda: monitor.board.records == 4)
        assert written(broker) == []
        now_s += 3_600
        wait_until(lambda: len(written(broker)) == 1)
    assert written(broker)[0]["timestamp"] == START + 4 * MINUTE


def test_other_records_of_the_topic_are_passed_over() -> None:
    values: list[bytes | None] = [b"", None, b"[]", b"3", b'{"event":"silent"}', b"\xff"]
    n = len(values)
    known = Known()
    known.add([PartitionBatch("e", 0, [None] * n, values, np.zeros(n, np.int64), np.arange(n))])
    assert (known.silent, known.anomalies) == ({}, set())


def test_anomalies_of_the_topic_are_remembered_until_the_monitor_has_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remembered: list[Known] = []

    def keep() -> Known:
        remembered.append(Known())
        return remembered[-1]

    monkeypatch.setattr(event_writer, "Known", keep)
    broker = broker_with(surprises("a", 0, 11))
    with monitoring(broker):
        wait_until(lambda: len(written(broker)) == 3)
    with monitoring(broker) as monitor:
        wait_until(lambda: monitor.board.records == 11 and not remembered[1].anomalies)
    assert len(written(broker)) == 3


def test_of_anomalies_that_cannot_be_written_the_latest_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_writer, "_WAITING", 4)
    broker = broker_with(surprises("a", 0, 101))
    broker.fail_next("producer", 1_000_000)
    with structlog.testing.capture_logs() as logged, monitoring(broker) as monitor:
        wait_until(lambda: monitor.board.records == 101)
        broker.faults.clear()
        wait_until(lambda: len(written(broker)) == 4)
    assert stamps(written(broker)) == [85, 90, 95, 100]
    assert [line["count"] for line in logged if "were dropped" in line["event"]] == [17]


@pytest.mark.parametrize(("flags", "days"), [((), 30), (("monitor.forget_after_s=3456000",), 40)])
def test_the_topic_is_created_with_a_retention(flags: tuple[str, ...], days: int) -> None:
    broker = broker_with(surprises("a", 1, 6))
    with monitoring(broker, *flags):
        wait_until(lambda: bool(written(broker)))
    config = broker.admin().config(EVENTS)
    assert (config["cleanup.policy"], config["retention.ms"]) == ("delete", str(days * 86_400_000))


def test_without_a_topic_nothing_is_written_and_the_topic_is_created_only_if_allowed() -> None:
    broker = broker_with(surprises("a", 1, 6))
    settings = load_settings(["--monitor.events=e", "--topics.create=false"], {})
    assert load_settings([], {}).monitor.events is None
    with pytest.raises(TopicMissing, match="topic e does not exist"):
        Monitor(settings, broker).run(threading.Event())
    with pytest.raises(SettingsError, match=r"monitor\.events must be a topic of its own"):
        load_settings(["--monitor.events=forecasts"], {})


def test_an_event_that_is_too_large_is_dropped_alone() -> None:
    long = "b" * 400
    broker = broker_with(surprises("a", 1, 6) + surprises(long, 1, 6) + surprises("c", 1, 6))
    broker.admin().create_topic(EVENTS, 1, config={"max.message.bytes": "500"})
    with monitoring(broker), structlog.testing.capture_logs() as logged:
        wait_until(lambda: {event["stream"] for event in written(broker)} == {"a", "c"})
        send(broker, surprises("a", 6, 11))
        wait_until(lambda: 10 in stamps(written(broker)))
    dropped = [line["stream"] for line in logged if line["event"] == "an event is dropped"]
    assert dropped == [long]


def test_without_the_right_to_write_the_monitor_goes_on() -> None:
    broker = broker_with(surprises("a", 1, 6))
    broker.fail_next("flush", 1, NotAuthorized("the user may not write to the topic"))
    with monitoring(broker) as monitor:
        wait_until(lambda: not broker.faults._ordered["flush"])
        send(broker, surprises("a", 6, 8))
        wait_until(lambda: monitor.board.records == 7)


@pytest.mark.kafka
def test_events_on_a_real_kafka(kafka: KafkaServer, make_topic: Callable[..., str]) -> None:
    topic, letters, events = make_topic(), make_topic(), make_topic(3)
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
    flags = (f"topics.output={topic}", f"topics.dead_letters={letters}")

    def produce(first: int, last: int) -> None:
        records = surprises("a", first, last) + surprises("b", first, last)
        with closing(broker.producer()) as producer:
            values: list[bytes | None] = [json.dumps(record).encode() for record in records]
            producer.produce(topic, 0, [None] * len(values), values)
            producer.flush(PATIENCE_S)

    known, stop = Known(), threading.Event()
    reading = follower.Follower(broker, events, known.add, 1_000)
    thread = threading.Thread(target=reading.run, args=(stop,))
    thread.start()
    produce(1, 21)
    with monitoring(broker, *flags, topic=events):
        wait_until(lambda: len(known.anomalies) == 8)
    produce(21, 41)
    with monitoring(broker, *flags, topic=events):
        wait_until(lambda: len(known.anomalies) == 16)
    stop.set()
    thread.join(PATIENCE_S)
    with broker.reader(events) as reader:
        assert sum(reader.end(range(3)).values()) == 16
