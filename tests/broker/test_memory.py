"""The in-process broker passes the batteries, and fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.broker.memory.consumer import MemoryConsumer
from eddycast.service.broker.memory.group import MemoryGroup
from eddycast.service.broker.port import Consumer
from eddycast.service.errors import (
    BrokerUnavailable,
    MembershipLost,
    ProduceFailed,
    TransactionFailed,
)
from tests.broker.battery import RecordBattery
from tests.broker.battery_groups import GroupBattery
from tests.broker.battery_readers import ReaderBattery
from tests.broker.battery_transactions import TransactionBattery
from tests.broker.tools import Bench, Listener, Seen, collect, numbers, poll_until, stored, values
from tests.support.faulty_broker import FaultyBroker


class MemoryHarness:
    def __init__(self) -> None:
        self._broker = FaultyBroker()

    def broker(self, **times_ms: int) -> FaultyBroker:
        return self._broker

    def expel(self, group: str, consumer: Consumer) -> None:
        assert isinstance(consumer, MemoryConsumer)
        self._broker.expel(consumer)

    def read(self, topic: str, isolation: str = "read_committed") -> list[Seen]:
        found = self._broker.read(topic, isolation)
        return [Seen(r.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in found]

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        self._broker.delete_records(topic, partition, before)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(MemoryHarness())
    yield bench
    bench.close()


@pytest.fixture
def broker() -> FaultyBroker:
    broker = FaultyBroker(clock=lambda: 1_700_000_000.0)
    broker.admin().create_topic("t", 2)
    return broker


class TestRecords(RecordBattery):
    pass


class TestGroups(GroupBattery):
    @pytest.mark.xfail(
        strict=True,
        reason="no timers in the in-process broker: a silent member keeps its partitions",
    )
    def test_a_silent_member_is_expelled_by_itself(self, bench: Bench) -> None:
        super().test_a_silent_member_is_expelled_by_itself(bench)


class TestReaders(ReaderBattery):
    pass


class TestTransactions(TransactionBattery):
    @pytest.mark.xfail(
        strict=True, reason="no timers in the in-process broker: a transaction stays open"
    )
    def test_an_abandoned_transaction_ends_by_its_timeout(self, bench: Bench) -> None:
        super().test_an_abandoned_transaction_ends_by_its_timeout(bench)


def test_the_clock_stamps_the_records(broker: FaultyBroker) -> None:
    broker.producer().produce("t", 0, [b"k"], [b"v"])
    assert [record.timestamp for record in broker.read("t")] == [1_700_000_000_000]


@pytest.mark.parametrize(("what", "stored"), [("produce", 0), ("flush", 1)])
def test_a_failed_produce_or_flush_is_reported_once(
    broker: FaultyBroker, what: str, stored: int
) -> None:
    producer = broker.producer()
    broker.fail_next(what)
    producer.produce("t", 0, [b"k"], [b"v"])
    with pytest.raises(ProduceFailed):
        producer.flush(1.0)
    producer.flush(1.0)
    assert len(broker.read("t")) == stored


def test_commits_fail_as_often_as_ordered_and_store_nothing(broker: FaultyBroker) -> None:
    consumer = broker.consumer("t", "g", Listener())
    consumer.poll(0.0, 1)
    broker.fail_next("commit", times=2)
    broker.fail_next("commit", error=BrokerUnavailable("away"))
    for expected in (MembershipLost, MembershipLost, BrokerUnavailable):
        with pytest.raises(expected):
            consumer.commit({0: 1})
    assert stored(consumer, [0]) == {0: None}
    consumer.commit({0: 1})
    assert stored(consumer, [0]) == {0: 1}


def test_a_poll_fails_and_then_brings_what_it_would_have(broker: FaultyBroker) -> None:
    broker.producer().produce("t", 0, [b"k"] * 3, numbers(3))
    consumer = broker.consumer("t", "g", Listener())
    broker.fail_next("poll")
    with pytest.raises(BrokerUnavailable):
        consumer.poll(0.0, 10)
    assert values(consumer.poll(0.0, 10)) == numbers(3)


def test_stalled_polls_bring_nothing(broker: FaultyBroker) -> None:
    broker.producer().produce("t", 0, [b"k"] * 3, numbers(3))
    consumer = broker.consumer("t", "g", Listener())
    with broker.faults.stall():
        assert consumer.poll(0.0, 10) == []
        assert consumer.assignment() == {0, 1}
    assert values(consumer.poll(0.0, 10)) == numbers(3)


def test_a_failed_commit_of_a_transaction_aborts_it(broker: FaultyBroker) -> None:
    producer = broker.producer("tx")
    broker.fail_next("transaction")
    producer.begin()
    producer.produce("t", 0, [b"k"], [b"v"])
    with pytest.raises(TransactionFailed):
        producer.commit()
    assert broker.read("t") == []
    with pytest.raises(TransactionFailed, match="failed before"):
        producer.begin()


def test_only_what_can_fail_is_ordered_to(broker: FaultyBroker) -> None:
    with pytest.raises(ValueError, match="produce"):
        broker.fail_next("nothing")


def test_a_producer_and_two_consumers_on_threads_of_their_own(broker: FaultyBroker) -> None:
    producer = broker.producer()
    members = [broker.consumer("t", "g", Listener()) for _ in range(2)]
    poll_until(members, lambda: all(len(member.assignment()) == 1 for member in members))

    def produce() -> None:
        for number in range(200):
            producer.produce("t", number % 2, [b"k"] * 5, numbers(5, 5 * number))
            producer.flush(1.0)

    found: list[list[bytes | None]] = [[], []]

    def consume(index: int) -> None:
        found[index] += values(collect(members[index], 500, max_records=7))

    threads = [threading.Thread(target=consume, args=(index,)) for index in (0, 1)]
    threads.append(threading.Thread(target=produce))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found[0] + found[1], key=lambda value: int(value or b"")) == numbers(1000)


@settings(max_examples=100, deadline=None)
@given(
    partitions=st.integers(1, 12),
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=12),
)
def test_shares_are_even_and_move_no_more_than_needed(
    partitions: int, changes: list[tuple[bool, int]]
) -> None:
    broker = FaultyBroker()
    group, pool = MemoryGroup(), [broker.consumer("t", "g", Listener()) for _ in range(6)]
    for joins, index in changes:
        member = pool[index]
        if joins and member not in group.members:
            group.join(member)
        elif not joins:
            group.leave(member)
        before = dict(group.owners)
        shares = group.targets(partitions)
        if not shares:
            continue
        held = sorted(p for share in shares.values() for p in share)
        sizes = [len(share) for share in shares.values()]
        assert held == list(range(partitions))
        assert max(sizes) - min(sizes) <= 1
        kept = sum(before.get(p) is member for member, share in shares.items() for p in share)
        quota = sorted(sizes, reverse=True)
        had = sorted(
            (sum(owner is m for owner in before.values()) for m in group.members), reverse=True
        )
        assert kept == sum(map(min, had, quota))
        group.owners = {p: member for member, share in shares.items() for p in share}
