"""Exactly once on a real Kafka that is killed, short of replicas, or impatient;
and against a process that wakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Collection, Iterator

import pytest
from kafka import KafkaAdminClient, TopicPartition

from deploy.kafka import HURRIED, KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.broker.kafka.consumer import KafkaConsumer
from eddycast.service.broker.kafka.producer import KafkaProducer
from eddycast.service.broker.port import Consumer, Producer
from eddycast.service.errors import (
    BrokerUnavailable,
    CommitUnknown,
    ProducerFenced,
    TopicMissing,
    TransactionFailed,
)
from eddycast.service.settings.kafka import KafkaSettings
from tests.broker.battery_transactions import new_id
from tests.broker.test_kafka import HASTY, QUICK, KafkaHarness
from tests.broker.tools import (
    PATIENCE_S,
    Bench,
    Listener,
    begin,
    collect,
    numbers,
    poll_for,
    poll_until,
    read_to,
    stored,
    values,
)
from tests.chaos.weakened import go_on

pytestmark = pytest.mark.kafka


@pytest.fixture
def bench(kafka: KafkaServer) -> Iterator[Bench]:
    bench = Bench(KafkaHarness(kafka))
    yield bench
    bench.close()


def impatient(kafka: KafkaServer) -> KafkaBroker:
    """Transactions of at most a second."""
    return KafkaBroker(
        KafkaSettings(
            bootstrap_servers=kafka.bootstrap_servers, **{**HASTY, "transaction_timeout_ms": 1000}
        )
    )


def outlive(bench: Bench, topic: str) -> None:
    """Wait until the broker has ended the transaction that holds the topic up."""
    bench.fill(topic, 0, [b"behind"])
    collect(bench.consumer(topic, "waiting"), 1)


def test_a_transaction_that_outlived_its_timeout_takes_no_offsets(
    kafka: KafkaServer, bench: Bench
) -> None:
    source, sink = bench.topic(), bench.topic()
    bench.fill(source, 0, numbers(3))
    consumer, producer = bench.consumer(source), bench.producer(new_id(), impatient(kafka))
    collect(consumer, 3)
    producer.begin()
    producer.produce(sink, 0, [b"k"], [b"too late"])
    producer.flush(PATIENCE_S)
    outlive(bench, sink)
    with pytest.raises(ProducerFenced):
        producer.send_offsets(source, {0: 3}, consumer)
    assert stored(consumer, [0]) == {0: None}


def test_a_transaction_that_outlived_its_timeout_is_not_committed(
    kafka: KafkaServer, bench: Bench
) -> None:
    topic, name = bench.topic(), new_id()
    producer = bench.producer(name, impatient(kafka))
    producer.begin()
    producer.produce(topic, 0, [b"k"], [b"too late"])
    producer.flush(PATIENCE_S)
    outlive(bench, topic)
    with pytest.raises(CommitUnknown):
        producer.commit()
    successor = bench.producer(name)
    successor.begin()
    successor.produce(topic, 0, [b"k"], [b"again"])
    successor.commit()
    assert [seen.value for seen in bench.harness.read(topic)] == [b"behind", b"again"]


def test_a_fenced_producer_does_not_fence_its_successor(bench: Bench) -> None:
    topic, name = bench.topic(), new_id()
    older = bench.producer(name)
    older.begin()
    older.produce(topic, 0, [b"k"], [b"older"])
    older.flush(PATIENCE_S)
    newer = bench.producer(name)
    newer.begin()
    newer.produce(topic, 0, [b"k"], [b"newer"])
    older.produce(topic, 0, [b"k"], [b"older still"])
    with pytest.raises(ProducerFenced):
        older.flush(PATIENCE_S)
    time.sleep(0.3)  # its client's thread may have had something to say
    newer.produce(topic, 0, [b"k"], [b"newer still"])
    newer.commit()
    assert [seen.value for seen in bench.harness.read(topic)] == [b"newer", b"newer still"]


@pytest.mark.parametrize(("guarded", "skipped"), [(True, None), (False, 5)])
def test_the_offsets_of_a_refused_transaction_are_in_no_later_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, guarded: bool, skipped: int | None
) -> None:
    """A producer is closed after an error. One that is used again commits them later, and five
    records are lost."""
    if not guarded:
        monkeypatch.setattr(KafkaProducer, "_end", go_on)
    topic, name = bench.topic(2), new_id()
    for partition in (0, 1):
        bench.fill(topic, partition, numbers(5))
    listener, producer = Listener(), bench.producer(name)
    consumer = bench.consumer(topic, listener=listener)
    collect(consumer, 10)
    bench.harness.expel(f"{topic}-g", consumer)
    producer.begin()
    with pytest.raises(TransactionFailed):
        producer.send_offsets(topic, {0: 5}, consumer)
    listener.events.clear()
    poll_until([consumer], lambda: listener.saw("assigned"))  # it has joined again
    producer.abort()
    successor = bench.producer(name) if guarded else producer
    successor.begin()
    successor.send_offsets(topic, {1: 2}, consumer)
    successor.commit()
    assert stored(consumer, [0, 1]) == {0: skipped, 1: 2}


def test_a_member_that_learns_from_the_answer_to_its_join_that_it_was_expelled_has_lost_everything(
    bench: Bench,
) -> None:
    """A member that was frozen while it joined must neither keep its partitions nor claim them."""
    topic = bench.topic(2)
    listener, patient = (
        Listener(),
        bench.harness.broker(heartbeat_interval_ms=3000, session_timeout_ms=9000),
    )
    consumer = bench.consumer(topic, listener=listener, broker=patient)
    poll_until([consumer], consumer.assignment)
    assert isinstance(consumer, KafkaConsumer)
    consumer._client._coordinator.request_rejoin()
    bench.harness.expel(f"{topic}-g", consumer)
    poll_until([consumer], lambda: len(listener.saw("assigned")) == 4)
    assert listener.saw("lost") == [0, 1] and listener.saw("revoked") == []


def test_a_producer_that_was_thrown_away_leaves_no_thread_at_work(bench: Bench) -> None:
    topic = bench.topic(config={"max.message.bytes": "1000"})
    producer = bench.producer(new_id())
    assert isinstance(producer, KafkaProducer)
    sender = producer._client._sender  # type: ignore[union-attr]
    producer.begin()
    producer.produce(topic, 0, [b"k", b"k"], [b"good", b"x" * 5000])
    with pytest.raises(TransactionFailed):
        producer.flush(PATIENCE_S)
    sender.join(60.0)
    assert not sender.is_alive()


def transaction(producer: Producer, source: str, sink: str, consumer: Consumer) -> None:
    """Begin, produce, add offsets; not committed."""
    producer.begin()
    producer.produce(sink, 0, [b"k"] * 3, numbers(3))
    producer.flush(PATIENCE_S)
    producer.send_offsets(source, {0: 3}, consumer)


def test_a_commit_without_an_answer_happened_or_not_and_the_offsets_tell(
    kafka: KafkaServer, bench: Bench
) -> None:
    source, sink, name = bench.topic(), bench.topic(), new_id()
    bench.fill(source, 0, numbers(3))
    consumer, producer = bench.consumer(source), bench.producer(name)
    collect(consumer, 3)
    transaction(producer, source, sink, consumer)
    with kafka.pause():
        started = time.monotonic()
        with pytest.raises(CommitUnknown):
            producer.commit(0.5)
        assert time.monotonic() - started < 3
    successor = bench.broker.producer(name, PATIENCE_S)
    if stored(consumer, [0]) == {0: None}:
        assert bench.harness.read(sink) == []
        transaction(successor, source, sink, consumer)
        successor.commit(PATIENCE_S)
    successor.close(1.0)
    assert [seen.value for seen in bench.harness.read(sink)] == numbers(3)


def test_a_commit_survives_a_broker_that_is_killed_and_comes_back(
    kafka: KafkaServer, bench: Bench
) -> None:
    source, sink = bench.topic(), bench.topic()
    bench.fill(source, 0, numbers(3))
    patient = bench.harness.broker(transaction_timeout_ms=240_000)  # a restart may take a while
    consumer, producer = bench.consumer(source), bench.producer(new_id(), patient)
    collect(consumer, 3)
    transaction(producer, source, sink, consumer)
    kafka.kill()
    back = threading.Thread(target=kafka.restart)
    back.start()
    try:
        producer.commit(180.0)
    finally:
        back.join()
    assert stored(consumer, [0]) == {0: 3}
    assert [seen.value for seen in bench.harness.read(sink)] == numbers(3)


def test_a_whole_transaction_fits_into_the_handover(bench: Bench) -> None:
    """The membership captured inside the callback still counts,
    and the next owner begins behind the offsets."""
    source, sink = bench.topic(2), bench.topic()
    for partition in (0, 1):
        bench.fill(source, partition, numbers(3))
    listener, producer = Listener(), bench.producer(new_id())
    first = bench.consumer(source, listener=listener)
    collect(first, 6)

    def hand_over(partitions: Collection[int]) -> None:
        producer.begin()
        producer.produce(sink, 0, [b"k"], [b"done"])
        producer.send_offsets(source, dict.fromkeys(partitions, 3), first)
        producer.commit()

    listener.on_revoked = hand_over
    second = bench.consumer(source)
    taken = poll_until([first, second], second.assignment)
    assert taken + poll_for([first, second], 0.3) == []
    assert stored(second, second.assignment()) == dict.fromkeys(second.assignment(), 3)
    assert [seen.value for seen in bench.harness.read(sink)] == [b"done"]


def test_a_reader_of_a_broker_that_hangs_says_so_in_time(kafka: KafkaServer, bench: Bench) -> None:
    topic = bench.topic()
    bench.fill(topic, 0, numbers(3))
    reader = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, **HASTY)).reader(
        topic
    )
    begin(reader, 0)
    read_to(reader, {0: 3})
    with kafka.pause():
        for question in (reader.end, reader.first):
            started = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                question([0], 1.0)
            assert time.monotonic() - started < 2
        assert reader.poll(0.1, 10) == []
    with pytest.raises(TopicMissing, match=f"partition 7 of {topic}"):
        reader.end([0, 7])
    bench.fill(topic, 0, [b"after"])
    assert values(read_to(reader, {0: 4})) == [b"after"]
    reader.close()


@pytest.mark.parametrize(
    ("membership", "end"), [("captured", "TransactionFailed"), ("live", "committed")]
)
def test_a_process_that_was_stopped_wakes_and_is_fenced(
    kafka: KafkaServer, bench: Bench, membership: str, end: str
) -> None:
    """The fence is the membership captured at the last poll. At the commit the client has already
    forgotten it, and Kafka accepts offsets without one, as the second run shows."""
    source, sink, group = bench.topic(), bench.topic(), f"z-{uuid.uuid4().hex[:8]}"
    bench.fill(source, 0, numbers(5))
    command = [
        sys.executable,
        "-m",
        "tests.broker.kafka_zombie",
        kafka.bootstrap_servers,
        source,
        sink,
        group,
    ]
    zombie = subprocess.Popen([*command, membership], stdout=subprocess.PIPE, text=True)
    assert zombie.stdout is not None
    try:
        assert zombie.stdout.readline() == "working\n"
        os.kill(zombie.pid, signal.SIGSTOP)
        consumer = bench.broker.consumer(source, group, Listener())
        taken = collect(consumer, 5)
        consumer.commit({0: 5})
        os.kill(zombie.pid, signal.SIGCONT)
        said, _ = zombie.communicate(timeout=PATIENCE_S)
        assert said.split() == [end]
        assert values(taken) == numbers(5)
        assert len(bench.harness.read(sink)) == (5 if end == "committed" else 0)
        consumer.close()
    finally:
        zombie.kill()
        zombie.wait()
        zombie.stdout.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaServer]:
    with KafkaServer(nodes=3, heap="256m", jvm=HURRIED) as server:
        yield server


def test_too_few_replicas_stop_a_transaction_and_enough_let_it_go_on(cluster: KafkaServer) -> None:
    """Three copies are asked for, and one of three brokers, the leader of a partition,
    answers no more."""
    times = {
        "request_timeout_ms": 7000,
        "delivery_timeout_ms": 8000,
        "transaction_timeout_ms": 20_000,
    }
    patient = KafkaBroker(KafkaSettings(bootstrap_servers=cluster.bootstrap_servers))
    broker = KafkaBroker(
        KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, **{**QUICK, **times})
    )
    topic, name = "replicated", new_id()
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with patient.admin() as admin:
                admin.create_topic(topic, 3, replication=3, config={"min.insync.replicas": "3"})
                assert admin.replication(topic) == 3
            break
        except BrokerUnavailable:  # a node has not registered yet
            assert time.monotonic() < deadline
            time.sleep(0.2)
    with patient.producer(new_id(), PATIENCE_S) as first:  # of a cluster that has just begun
        commit_everywhere(first, topic, b"first", 3 * PATIENCE_S)
    producer = broker.producer(name, PATIENCE_S)
    commit_everywhere(producer, topic, b"before", PATIENCE_S)
    with cluster.pause(2):
        with pytest.raises(TransactionFailed, match=topic):
            commit_everywhere(producer, topic, b"during", 14.0)
        producer.close(1.0)
    successor = broker.producer(name, PATIENCE_S)
    commit_everywhere(successor, topic, b"after", PATIENCE_S)
    successor.close(1.0)
    seen = KafkaHarness(cluster).read(topic)
    assert [record.value for record in seen] == [b"first", b"before", b"after"] * 3


def test_a_reader_asks_the_new_leader_where_no_connection_told_of_the_old_ones_end(
    cluster: KafkaServer,
) -> None:
    broker, topic = (
        KafkaBroker(KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, **QUICK)),
        "handed-on",
    )
    admin = broker.admin()
    admin.create_topic(topic, 1, replication=3)
    admin.close()
    reader = broker.reader(topic)
    assert reader.end([0]) == reader.first([0]) == {0: 0}
    hand_on(cluster, TopicPartition(topic, 0))
    assert reader.end([0], 5.0) == reader.first([0], 5.0) == {0: 0}
    reader.close()


def hand_on(cluster: KafkaServer, place: TopicPartition) -> None:
    """Another node that has a copy leads from now on."""
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)

    def leader() -> int:
        (described,) = admin.describe_topics([place.topic])[0]["partitions"]
        return int(described["leader_id"])

    before = leader()
    others = [node for node in (1, 2, 3) if node != before]
    assert admin.alter_partition_reassignments({place: [*others, before]}) == {place: None}
    admin.elect_leaders(0, {place.topic: [place.partition]})
    poll_until([], lambda: leader() != before)
    admin.close()


def commit_everywhere(producer: Producer, topic: str, value: bytes, within_s: float) -> None:
    """One record into each of three partitions."""
    producer.begin()
    for partition in range(3):
        producer.produce(topic, partition, [b"k"], [value])
    producer.commit(within_s)
