"""`feed mqtt` between a real mosquitto and the in-process broker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eddycast.service.bridges.messages import MessageMapper
from eddycast.service.bridges.mqtt_feed import MqttFeed
from eddycast.service.bridges.mqtt_session import MqttSession
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.errors import MqttRefused, ProduceFailed
from eddycast.service.settings.settings import Settings
from tests.chaos.fleet import await_true
from tests.support.crashing import Crash, crash
from tests.support.faulty_broker import FaultyBroker
from tests.support.feeding import START_MS
from tests.support.mosquitto import Mosquitto
from tests.support.running import DEAD, INPUT, errors

PATIENCE_S = 60.0
MAPPING = {"stream": "{topic.1}/{topic.3}", "value": "/v", "timestamp": "/ts, record"}


def settings(mosquitto: Mosquitto, mapping: dict[str, Any] | None = None, **mqtt: Any) -> Settings:
    return Settings.model_validate(
        {
            "mqtt": {"host": "127.0.0.1", "port": mosquitto.port, "topics": "plant/#"} | mqtt,
            "input": MAPPING if mapping is None else mapping,
        }
    )


def bridge(chosen: Settings, broker: FaultyBroker, at: CrashPoint | None = None) -> MqttFeed:
    session = MqttSession(chosen.mqtt, chosen.feed.max_bytes)
    return MqttFeed(session, broker, chosen, MessageMapper(chosen, 1), at or CrashPoint())


@contextmanager
def running(subject: MqttFeed) -> Iterator[None]:
    """The bridge runs while the block lasts, and is then stopped as by a signal."""
    stop, raised = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            subject.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=work, name="bridge")
    thread.start()
    try:
        await_true(lambda: subject._session.is_subscribed or raised, PATIENCE_S, "no connection")
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    if raised:
        raise raised[0]


def reading(number: int) -> bytes:
    return json.dumps({"v": number, "ts": START_MS + number * 1000}).encode()


def numbered(numbers: range) -> list[tuple[str, bytes]]:
    return [(f"plant/line/s{n % 5}", reading(n)) for n in numbers]


def values(broker: FaultyBroker) -> list[float]:
    return sorted(json.loads(record.value or b"")["value"] for record in broker.read(INPUT))


def await_values(broker: FaultyBroker, numbers: range) -> None:
    """Wait until each number is there at least once."""
    await_true(lambda: {*values(broker)} >= {*numbers}, PATIENCE_S, f"{numbers} are not all there")


def open_session(chosen: Settings) -> None:
    """Let the broker begin to keep messages for the bridge."""
    with running(bridge(chosen, FaultyBroker())):
        pass


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_messages_become_readings_with_levels_of_the_topic(
    mosquitto: Mosquitto, version: str
) -> None:
    chosen, broker = settings(mosquitto, version=version), FaultyBroker()
    with running(bridge(chosen, broker)):
        mosquitto.publish([("plant/line/s1", reading(1)), ("plant/line/s2", b"{"), ("other", b"1")])
        mosquitto.publish([("plant/line/s1", b'{"v": 2}')], qos=0)
        await_values(broker, range(1, 3))
    first, second = sorted(broker.read(INPUT), key=lambda record: record.offset)
    assert (first.key, second.key) == (b"plant/s1", b"plant/s1")
    assert json.loads(first.value or b"") == {"timestamp": START_MS + 1000, "value": 1}
    assert abs(json.loads(second.value or b"")["timestamp"] - time.time() * 1000) < 3_600_000
    (letter,) = broker.read(DEAD)
    found = errors(letter.headers)
    assert (letter.key, letter.value) == (b"plant/line/s2", b"{")
    assert (found["error"], found["topic"]) == (b"not_json", b"plant/line/s2")


def test_without_a_mapping_each_topic_is_a_stream(mosquitto: Mosquitto) -> None:
    broker = FaultyBroker()
    with running(bridge(settings(mosquitto, {}), broker)):
        mosquitto.publish([("plant/t", b'{"value": 1}')])
        await_values(broker, range(1, 2))
    assert broker.read(INPUT)[0].key == b"plant/t"


def test_messages_that_come_while_no_bridge_runs_are_kept(mosquitto: Mosquitto) -> None:
    chosen, broker = settings(mosquitto), FaultyBroker()
    open_session(chosen)
    mosquitto.publish(numbered(range(3000)))
    with running(bridge(chosen, broker)):
        await_values(broker, range(3000))
    assert values(broker) == list(range(3000))


@pytest.mark.parametrize(("place", "repeats"), [("feed.1", False), ("feed.2", True)])
def test_what_was_not_acknowledged_comes_again(
    mosquitto: Mosquitto, place: str, repeats: bool
) -> None:
    chosen, broker = settings(mosquitto), FaultyBroker()
    open_session(chosen)
    mosquitto.publish(numbered(range(10)))
    subject = bridge(chosen, broker, CrashPoint(place, kill=crash))
    if not repeats:  # the process dies before the records have left it
        broker.fail_next("produce", times=100)

    def die(within_s: float) -> None:
        subject._session._client._sock_close()

    subject._session.close = die  # type: ignore[method-assign]
    with pytest.raises(Crash), running(subject):
        await_true(lambda: subject._session._client.socket() is None, PATIENCE_S, "it lives on")
    broker.faults.clear()
    before = values(broker)
    assert bool(before) == repeats
    with running(bridge(chosen, broker)):
        await_true(lambda: len(values(broker)) >= len(before) + 10, PATIENCE_S, "none come again")
    assert sorted([*before, *range(10)]) == values(broker)


def test_an_outage_of_kafka_is_waited_out_with_bounded_memory(mosquitto: Mosquitto) -> None:
    chosen, broker = settings(mosquitto, in_flight=50), FaultyBroker()
    subject = bridge(chosen, broker)
    broker.fail_next("flush", times=10_000, error=ProduceFailed("away"))
    broker.fail_next("produce", times=10_000, error=ProduceFailed("away"))
    with running(subject):
        mosquitto.publish(numbered(range(1000)))
        left = broker.faults._ordered["produce"]
        await_true(lambda: len(left) < 9_998, PATIENCE_S, "nothing is written again")
        assert subject._session.waiting <= 50
        assert values(broker) == []
        broker.faults.clear()
        await_values(broker, range(1000))
    assert values(broker) == list(range(1000))


def test_a_full_inbox_receives_nothing(mosquitto: Mosquitto) -> None:
    chosen = settings(mosquitto)
    session = MqttSession(chosen.mqtt, 3_000)
    await_true(lambda: session.receive(0.1, 9) or session.is_subscribed, PATIENCE_S, "no answer")
    mosquitto.publish(numbered(range(500)), qos=0)

    def has_arrived() -> bool:
        session.turn(0.05)
        return session.waiting > 0

    await_true(has_arrived, PATIENCE_S, "nothing arrives")
    for _ in range(50):
        session.turn(0.001)
    assert session.waiting < 10
    session.close(1.0)


def test_a_restart_of_the_mqtt_broker_loses_nothing(mosquitto: Mosquitto) -> None:
    chosen, broker = settings(mosquitto), FaultyBroker()
    subject = bridge(chosen, broker)
    with running(subject):
        mosquitto.publish(numbered(range(100)))
        await_values(broker, range(100))
        mosquitto.stop()
        await_true(lambda: not subject._session.is_subscribed, PATIENCE_S, "it sees nothing")
        mosquitto.start()
        mosquitto.publish(numbered(range(100, 200)))
        await_values(broker, range(200))


def test_a_stop_writes_and_acknowledges_what_has_arrived(mosquitto: Mosquitto) -> None:
    chosen, broker, later = settings(mosquitto), FaultyBroker(), FaultyBroker()
    with running(bridge(chosen, broker)):
        mosquitto.publish(numbered(range(500)))
    with running(bridge(chosen, later)):
        await_true(lambda: {*values(broker), *values(later)} == {*range(500)}, PATIENCE_S, "lost")
    assert not {*values(broker)} & {*values(later)}


def test_kept_and_empty_messages_are_no_readings(mosquitto: Mosquitto) -> None:
    chosen, broker = settings(mosquitto, version="3.1.1"), FaultyBroker()
    mosquitto.publish([("plant/line/old", reading(1))], retain=True)
    subject = bridge(chosen, broker)
    with running(subject):
        mosquitto.publish([("plant/line/old", b"")], retain=True)
        mosquitto.publish([("plant/line/new", reading(2))], retain=True)
        await_values(broker, range(2, 3))
    assert values(broker) == [2]
    assert (subject._session.ignored, subject._rates.filtered) == (1, 1)
    assert broker.read(DEAD) == []


def test_topics_of_earlier_settings_are_ignored(mosquitto: Mosquitto) -> None:
    broker = FaultyBroker()
    open_session(settings(mosquitto))
    subject = bridge(settings(mosquitto, topics="$share/g/plant/line/+"), broker)
    with running(subject):
        mosquitto.publish([("plant/x", reading(1)), ("plant/line/s", reading(2))])
        await_values(broker, range(2, 3))
    assert {*values(broker)} == {2}


def test_a_refused_login_is_one_line(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Any
) -> None:
    (tmp_path / "users").write_text("")
    mosquitto = make_mosquitto("allow_anonymous false", f"password_file {tmp_path / 'users'}")
    subject = bridge(settings(mosquitto), FaultyBroker())
    with pytest.raises(MqttRefused, match=r"127\.0\.0\.1:\d+ refuses .*mqtt\.username"):
        subject.run(threading.Event())
