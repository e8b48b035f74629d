"""A real Kafka passes the batteries; and what only a real one can do: be away, hang, refuse."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka import KafkaConsumer as Client
from kafka.admin import MemberToRemove
from pydantic import ValidationError

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.broker.kafka.consumer import KafkaConsumer
from eddycast.service.broker.port import Consumer
from eddycast.service.errors import BrokerUnavailable, CommitUnknown, InstanceFenced, ProduceFailed
from eddycast.service.settings.kafka import KafkaSettings
from tests.broker.battery import RecordBattery
from tests.broker.battery_groups import GroupBattery
from tests.broker.battery_readers import ReaderBattery
from tests.broker.battery_transactions import TransactionBattery
from tests.broker.tools import (
    PATIENCE_S,
    Bench,
    Listener,
    Seen,
    collect,
    numbers,
    poll_for,
    poll_until,
    values,
)

pytestmark = pytest.mark.kafka

#: Rebalances within a fraction of a second.
QUICK: dict[str, Any] = {"heartbeat_interval_ms": 100, "session_timeout_ms": 6000}
#: Gives up within a second.
HASTY: dict[str, Any] = {
    **QUICK,
    "request_timeout_ms": 700,
    "delivery_timeout_ms": 800,
    "transaction_timeout_ms": 5000,
}


class KafkaHarness:
    def __init__(self, server: KafkaServer, bulk: bool = True) -> None:
        self._server = server
        self._bulk = bulk

    def broker(self, **times_ms: int) -> KafkaBroker:
        return KafkaBroker(
            KafkaSettings(
                bootstrap_servers=self._server.bootstrap_servers,
                bulk=self._bulk,
                **{**QUICK, **times_ms},
            )
        )

    def expel(self, group: str, consumer: Consumer) -> None:
        assert isinstance(consumer, KafkaConsumer)
        admin = KafkaAdminClient(bootstrap_servers=self._server.bootstrap_servers)
        admin.remove_group_members(group, [MemberToRemove(member_id=consumer.membership.member_id)])
        admin.close()

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self._server.bootstrap_servers)
        admin.delete_records({TopicPartition(topic, partition): before})
        admin.close()

    def read(self, topic: str, isolation: str = "read_committed") -> list[Seen]:
        client = Client(
            bootstrap_servers=self._server.bootstrap_servers,
            isolation_level=isolation,
            group_id=None,
        )
        places = [TopicPartition(topic, p) for p in sorted(client.partitions_for_topic(topic))]
        client.assign(places)
        client.seek_to_beginning(*places)
        ends, found = client.end_offsets(places), []
        while any(client.position(place) < ends[place] for place in places):
            for records in client.poll(500).values():
                found += [
                    Seen(r.partition, r.offset, r.key, r.value, tuple(map(tuple, r.headers)))
                    for r in records
                ]
        client.close()
        return sorted(found, key=lambda seen: (seen.partition, seen.offset))


@pytest.fixture
def bench(kafka: KafkaServer) -> Iterator[Bench]:
    bench = Bench(KafkaHarness(kafka))
    yield bench
    bench.close()


class TestRecords(RecordBattery):
    pass


class TestRecordsOneByOne(RecordBattery):
    """The client's public path."""

    @pytest.fixture
    def bench(self, kafka: KafkaServer) -> Iterator[Bench]:
        bench = Bench(KafkaHarness(kafka, bulk=False))
        yield bench
        bench.close()


class TestGroups(GroupBattery):
    pass


class TestReaders(ReaderBattery):
    pass


class TestTransactions(TransactionBattery):
    pass


def test_an_address_where_nobody_answers_is_unavailable() -> None:
    broker = KafkaBroker(KafkaSettings(bootstrap_servers="127.0.0.1:1", **HASTY))
    for make in (broker.admin, broker.producer, lambda: broker.consumer("t", "g", Listener())):
        with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
            make()


def test_a_broker_that_hangs_fails_every_call_in_time_and_all_goes_on_afterwards(
    kafka: KafkaServer, bench: Bench
) -> None:
    topic = bench.topic()
    hasty = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, **HASTY))
    consumer, producer = bench.consumer(topic, broker=hasty), bench.producer(broker=hasty)
    bench.fill(topic, 0, numbers(3))
    collect(consumer, 3)
    with kafka.pause():
        started = time.monotonic()
        producer.produce(topic, 0, [b"k"], [b"v"])
        with pytest.raises(ProduceFailed, match=f"{topic} partition 0"):
            producer.flush(1.0)
        with pytest.raises(BrokerUnavailable):
            consumer.commit({0: 3})
        assert consumer.poll(0.2, 10) == []
        assert time.monotonic() - started < 6
    producer.produce(topic, 0, [b"k"], [b"again"])
    producer.flush(PATIENCE_S)
    consumer.commit({0: 3})
    assert values(collect(consumer, 1))[-1] == b"again"


def test_a_transaction_on_a_broker_that_hangs_fails_in_time(
    kafka: KafkaServer, bench: Bench
) -> None:
    topic, name = bench.topic(), uuid.uuid4().hex
    hasty = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, **HASTY))
    producer = bench.producer(name, hasty)
    producer.begin()
    producer.produce(topic, 0, [b"k"], [b"v"])
    producer.flush(PATIENCE_S)
    with kafka.pause():
        started = time.monotonic()
        with pytest.raises(CommitUnknown):
            producer.commit(1.0)
        assert time.monotonic() - started < 3
    successor = bench.producer(name)
    successor.begin()
    successor.produce(topic, 0, [b"k"], [b"after"])
    successor.commit()
    assert bench.harness.read(topic)[-1].value == b"after"


def test_a_member_joins_although_no_poll_lasts_as_long_as_a_join(
    kafka: KafkaServer, bench: Bench
) -> None:
    for _ in range(5):
        consumer = bench.consumer(bench.topic(2))
        deadline = time.monotonic() + 5.0
        while consumer.assignment() != {0, 1}:
            assert time.monotonic() < deadline
            consumer.poll(0.002, 10)


def test_a_member_that_was_expelled_claims_nothing_when_it_joins_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the group may give it at once what another member serves and has not committed."""
    topic, claimed = bench.topic(2), []
    consumer = bench.consumer(topic)
    poll_until([consumer], lambda: len(consumer.assignment()) == 2)
    coordinator = consumer._client._coordinator  # type: ignore[attr-defined]
    say = coordinator.group_protocols

    def listen() -> Any:
        protocols = say()
        claimed.append([place for _, metadata in protocols for place in metadata.owned_partitions])
        return protocols

    monkeypatch.setattr(coordinator, "group_protocols", listen)
    bench.harness.expel(f"{topic}-g", consumer)
    poll_until([consumer], lambda: claimed and consumer.assignment())
    assert claimed[0] == []


def test_a_static_member_that_was_displaced_is_told(kafka: KafkaServer, bench: Bench) -> None:
    topic = bench.topic()
    static = KafkaBroker(
        KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, instance_id="worker-1", **QUICK)
    )
    first = bench.consumer(topic, broker=static)
    poll_until([first], first.assignment)
    second = bench.consumer(topic, broker=static)
    poll_until([second], second.assignment)
    with pytest.raises(InstanceFenced, match="worker-1") as caught:
        poll_for([first], PATIENCE_S)
    assert not caught.value.retriable


def test_a_static_member_that_restarts_keeps_its_partitions(
    kafka: KafkaServer, bench: Bench
) -> None:
    topic = bench.topic(2)
    static = KafkaBroker(
        KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, instance_id="worker-2", **QUICK)
    )
    first, other, listener = bench.consumer(topic, broker=static), None, Listener()
    poll_until([first], first.assignment)
    other = bench.consumer(topic, listener=listener)
    poll_until([first, other], lambda: len(other.assignment()) == 1)
    first.close()
    again = bench.consumer(topic, broker=static)
    poll_until([again, other], again.assignment)
    assert listener.events == [("a", "assigned", tuple(other.assignment()))]


def test_a_static_member_leaves_when_it_is_told_to(kafka: KafkaServer, bench: Bench) -> None:
    topic = bench.topic(2)
    static = KafkaBroker(
        KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, instance_id="worker-3", **QUICK)
    )
    first = bench.consumer(topic, broker=static)
    poll_until([first], first.assignment)
    other = bench.consumer(topic)
    poll_until([first, other], lambda: len(other.assignment()) == 1)
    first.close()
    started = time.monotonic()
    static.leave(f"{topic}-g")
    poll_until([other], lambda: len(other.assignment()) == 2)
    assert time.monotonic() - started < QUICK["session_timeout_ms"] / 1000 - 1
    static.leave(f"{topic}-g")  # it has left already
    # no member has this name
    KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).leave(f"{topic}-g")


def test_a_large_backlog_arrives_in_order(bench: Bench) -> None:
    topic = bench.topic()
    bench.fill(topic, 0, numbers(20_000))
    assert values(collect(bench.consumer(topic), 20_000, max_records=5000)) == numbers(20_000)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"heartbeat_interval_ms": 10_000}, "heartbeat_interval_ms"),
        ({"delivery_timeout_ms": 15_000}, "delivery_timeout_ms"),
        ({"request_timeout_ms": 12_000}, "request_timeout_ms"),
        ({"request_timeout_ms": 500}, "request_timeout_ms"),
        ({"group_id": "other"}, "group_id"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        KafkaSettings(**options)
