"""The checker sees what is planted: one record lost, twice, swapped, altered, misplaced;
one row wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kafka import KafkaProducer

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.checker import Difference, Record, compare, compare_rows, read

Run = list[Record]
RUN: Run = [
    Record(stream % 2, b"s%d" % stream, b'{"n":%d}' % n, (("error", b"late"),))
    for n in range(4)
    for stream in range(3)
]
VICTIM = RUN[4]


def kinds(differences: list[Difference]) -> list[str]:
    return sorted(difference.kind for difference in differences)


def altered(record: Record) -> Record:
    value = record.value or b""
    return record._replace(value=value[:-1] + bytes([value[-1] ^ 1]))


def test_equal_runs_do_not_differ_however_streams_interleave() -> None:
    by_stream = sorted(RUN, key=lambda record: record.key or b"")
    assert by_stream != RUN
    assert compare(RUN, by_stream) == []
    assert compare_rows(RUN, by_stream) == []


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (lambda run: run[:4] + run[5:], ["lost"]),
        (lambda run: run[:-1], ["lost"]),
        (lambda run: [*run, VICTIM], ["twice"]),
        (lambda run: [VICTIM, *run], ["twice"]),
        (lambda run: [*run, VICTIM, VICTIM], ["twice", "twice"]),
        (lambda run: [*run[:1], run[4], *run[2:4], run[1], *run[5:]], ["order", "order"]),
        (lambda run: [*run[:4], altered(VICTIM), *run[5:]], ["alien", "lost"]),
        (lambda run: [*run[:4], VICTIM._replace(headers=()), *run[5:]], ["alien", "lost"]),
        (lambda run: [*run[:4], VICTIM._replace(partition=0), *run[5:]], ["alien", "lost"]),
        (lambda run: [*run[:4], VICTIM._replace(key=None), *run[5:]], ["alien", "lost"]),
        (lambda run: [*run[:4], VICTIM._replace(value=None), *run[5:]], ["alien", "lost"]),
        (lambda run: [], ["lost"] * len(RUN)),
    ],
)
def test_what_is_planted_is_found(plant: Callable[[Run], Run], expected: list[str]) -> None:
    found = compare(RUN, plant(RUN))
    assert kinds(found) == expected


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (lambda run: [*run[:8], *run[5:]], []),
        (lambda run: [*run, VICTIM, VICTIM, run[0]], []),
        (lambda run: [*run[:4], *run[5:], *run[:4]], ["lost"]),
        (lambda run: [VICTIM, *run], ["order", "order"]),
        (lambda run: [*run, altered(VICTIM)], ["alien"]),
    ],
)
def test_what_may_come_again_may_do_nothing_else(
    plant: Callable[[Run], Run], expected: list[str]
) -> None:
    assert kinds(compare(RUN, plant(RUN), may_repeat=True)) == expected


def test_what_came_twice_in_the_reference_must_come_twice() -> None:
    assert kinds(compare([*RUN, VICTIM], RUN, may_repeat=True)) == ["lost"]


def test_a_record_replaced_by_another_of_its_stream_is_lost_and_twice() -> None:
    found = compare(RUN, [*RUN[:4], RUN[1], *RUN[5:]])
    assert found == [Difference("lost", VICTIM), Difference("twice", RUN[1])]


@pytest.mark.parametrize(
    "last",
    [
        altered(RUN[-1]),  # another state
        RUN[-1]._replace(value=None),  # forgotten
        RUN[-1]._replace(key=b"new"),  # one too many
        VICTIM._replace(value=RUN[3].value),  # an older row written last
    ],
)
def test_a_wrong_row_is_found(last: Record) -> None:
    assert kinds(compare_rows(RUN, [*RUN, last])) == ["row"]


def test_a_missing_row_is_found() -> None:
    stream = RUN[-1].key
    assert kinds(compare_rows(RUN, [record for record in RUN if record.key != stream])) == ["row"]


@pytest.mark.kafka
def test_what_was_aborted_is_not_read_and_what_is_open_is_waited_for(
    kafka: KafkaServer, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(partitions=2)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic)
    producer.init_transactions()
    for end, value in (("commit", b"1"), ("abort", b"2"), ("commit", b"3")):
        producer.begin_transaction()
        for partition in range(2):
            producer.send(topic, key=b"k", value=value, partition=partition, headers=[("h", b"x")])
        producer.flush()
        getattr(producer, f"{end}_transaction")()
    expected = [
        Record(partition, b"k", value, (("h", b"x"),))
        for partition in range(2)
        for value in (b"1", b"3")
    ]
    assert read(kafka.bootstrap_servers, topic) == expected

    producer.begin_transaction()
    producer.send(topic, key=b"k", value=b"4", partition=0)
    producer.flush()
    with pytest.raises(TimeoutError):
        read(kafka.bootstrap_servers, topic, within_s=1.0)
    KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).producer(topic).close(
        1.0
    )  # a successor ends it
    assert read(kafka.bootstrap_servers, topic) == expected
    producer.close(timeout=0.1)
