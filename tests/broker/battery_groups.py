"""Behaviour of every broker with consumer groups."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from eddycast.service.broker.port import Consumer
from eddycast.service.errors import MembershipLost
from eddycast.service.records import PartitionBatch
from tests.broker.tools import (
    PATIENCE_S,
    Bench,
    Listener,
    collect,
    numbers,
    poll_for,
    poll_until,
    stored,
    values,
)


class GroupBattery:
    """Sharing, handing over, losing; and what an outsider sees and sets."""

    def test_offsets_are_stored_for_a_group_without_members(self, bench: Bench) -> None:
        topic, group = bench.topic(2), f"{bench.topic()}-outside"
        assert bench.admin.group_offsets(group, topic) == {} and bench.admin.members(group) == 0
        bench.admin.set_group_offsets(group, topic, {0: 3, 1: 0})
        assert bench.admin.group_offsets(group, topic) == {0: 3, 1: 0}
        assert bench.admin.group_offsets(group, bench.topic()) == {}
        assert bench.admin.members(group) == 0
        bench.fill(topic, 0, numbers(5))
        consumer = bench.broker.consumer(topic, group, Listener())
        assert values(collect(consumer, 2)) == numbers(2, 3)
        consumer.close()

    def test_a_member_knows_when_it_has_been_taken_in_even_with_nothing_to_do(
        self, bench: Bench
    ) -> None:
        topic = bench.topic(1)
        first, second = bench.consumer(topic), bench.consumer(topic)
        assert not first.is_member() and not second.is_member()
        poll_until([first], lambda: first.is_member() and bool(first.assignment()))
        poll_until([first, second], second.is_member)
        assert sorted((*first.assignment(), *second.assignment())) == [0]

    def test_offsets_of_a_group_with_members_are_theirs(self, bench: Bench) -> None:
        topic = bench.topic(2)
        group, consumer = f"{topic}-g", bench.consumer(topic)
        poll_until([consumer], lambda: len(consumer.assignment()) == 2)
        assert bench.admin.members(group) == 1
        with pytest.raises(MembershipLost, match=group):
            bench.admin.set_group_offsets(group, topic, {0: 3})
        assert bench.admin.group_offsets(group, topic) == {}
        consumer.commit({1: 2})
        assert bench.admin.group_offsets(group, topic) == {1: 2}
        consumer.close()
        poll_until([], lambda: bench.admin.members(group) == 0)

    def test_two_members_share_and_one_takes_over_when_the_other_leaves(self, bench: Bench) -> None:
        topic = bench.topic(4)
        first, second = bench.consumer(topic), bench.consumer(topic)
        poll_until(
            [first, second], lambda: len(first.assignment()) == len(second.assignment()) == 2
        )
        assert first.assignment() | second.assignment() == {0, 1, 2, 3}
        second.close()
        poll_until([first], lambda: first.assignment() == {0, 1, 2, 3})
        for partition in range(4):
            bench.fill(topic, partition, numbers(1, partition))
        assert sorted(values(collect(first, 4)), key=str) == numbers(4)

    def test_only_what_is_new_is_assigned_and_only_what_goes_is_revoked(self, bench: Bench) -> None:
        topic = bench.topic(4)
        a, b = Listener("a"), Listener("b")
        first = bench.consumer(topic, listener=a)
        poll_until([first], lambda: len(first.assignment()) == 4)
        second = bench.consumer(topic, listener=b)
        poll_until([first, second], lambda: len(second.assignment()) == 2)
        assert sorted(a.saw("assigned")) == [0, 1, 2, 3]
        assert sorted(a.saw("revoked")) == sorted(b.saw("assigned")) == sorted(second.assignment())
        assert b.saw("revoked") == a.saw("lost") == []

    def test_revoked_returns_before_another_member_has_the_partitions(self, bench: Bench) -> None:
        topic = bench.topic(4)
        events: list[tuple[str, str, tuple[int, ...]]] = []
        a, b = Listener("a", events), Listener("b", events)
        first = bench.consumer(topic, listener=a)
        poll_until([first], lambda: len(first.assignment()) == 4)
        slow = threading.Event()

        def wait_a_while(_: object) -> None:
            slow.wait(0.5)

        a.on_revoked = wait_a_while
        second = bench.consumer(topic, listener=b)
        self.in_parallel(first, second, lambda: len(second.assignment()) == 2)
        order = [(name, kind) for name, kind, _ in events]
        assert order.index(("a", "revoked")) < order.index(("b", "assigned"))

    def test_a_commit_inside_revoked_counts(self, bench: Bench) -> None:
        topic = bench.topic(2)
        for partition in (0, 1):
            bench.fill(topic, partition, numbers(10))
        a = Listener("a")
        first = bench.consumer(topic, listener=a)
        assert len(values(collect(first, 20))) == 20
        a.on_revoked = lambda partitions: first.commit(dict.fromkeys(partitions, 10))
        second = bench.consumer(topic)
        batches = self.in_parallel(first, second, lambda: len(second.assignment()) == 1)
        assert a.saw("revoked") == sorted(second.assignment())
        (taken,) = second.assignment()
        bench.fill(topic, taken, [b"new"])
        assert values([*batches, *collect([first, second], 1)]) == [b"new"]

    def test_partitions_are_no_longer_held_when_revoked_is_called(self, bench: Bench) -> None:
        topic = bench.topic(2)
        a, held = Listener("a"), []
        first = bench.consumer(topic, listener=a)
        poll_until([first], lambda: len(first.assignment()) == 2)
        a.on_revoked = lambda partitions: held.append((frozenset(partitions), first.assignment()))
        second = bench.consumer(topic)
        self.in_parallel(first, second, lambda: len(second.assignment()) == 1)
        ((revoked, left),) = held
        assert revoked == second.assignment()
        assert left == first.assignment()

    def test_pausing_inside_assigned_holds_the_records_of_the_same_poll_back(
        self, bench: Bench
    ) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(5))
        listener = Listener()
        consumer = bench.consumer(topic, listener=listener)
        listener.on_assigned = consumer.pause
        assert poll_for([consumer], 1.0) == []
        assert consumer.assignment() == {0}
        consumer.resume([0])
        assert values(collect(consumer, 5)) == numbers(5)

    def test_seeking_inside_assigned_decides_where_reading_starts(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(10))
        listener = Listener()
        consumer = bench.consumer(topic, listener=listener)
        listener.on_assigned = lambda partitions: consumer.seek(dict.fromkeys(partitions, 6))
        assert values(collect(consumer, 4)) == numbers(4, 6)

    def test_an_expelled_member_cannot_commit_and_hears_that_its_partitions_are_lost(
        self, bench: Bench
    ) -> None:
        topic = bench.topic(2)
        bench.fill(topic, 0, numbers(3))
        listener = Listener()
        consumer = bench.consumer(topic, listener=listener)
        collect(consumer, 3)
        assert consumer.confirm(PATIENCE_S) and consumer.silence_s() < PATIENCE_S
        bench.harness.expel(f"{topic}-g", consumer)
        assert not consumer.confirm(PATIENCE_S)
        with pytest.raises(MembershipLost):
            consumer.commit({0: 3})
        poll_until([consumer], lambda: len(listener.saw("assigned")) == 4)
        assert listener.saw("lost") == [0, 1]
        assert listener.saw("revoked") == []
        assert stored(consumer, [0]) == {0: None}
        assert consumer.assignment() == {0, 1}

    def test_what_the_listener_raises_comes_out_of_poll_and_no_record_is_lost(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(5))
        listener = Listener()
        consumer = bench.consumer(topic, listener=listener)

        def fail_once(_: object) -> None:
            listener.on_assigned = None
            raise MembershipLost("not now")

        listener.on_assigned = fail_once
        with pytest.raises(MembershipLost, match="not now"):
            poll_for([consumer], PATIENCE_S)
        assert "not now" not in caplog.text, "it is said once, by whoever catches it"
        assert values(collect(consumer, 5)) == numbers(5)

    def test_closing_neither_commits_nor_calls_the_listener(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(3))
        listener = Listener()
        consumer = bench.consumer(topic, listener=listener)
        collect(consumer, 3)
        consumer.close()
        assert [kind for _, kind, _ in listener.events] == ["assigned"]
        assert values(collect(bench.consumer(topic), 3)) == numbers(3)

    def test_a_silent_member_is_expelled_by_itself(self, bench: Bench) -> None:
        topic = bench.topic()
        hasty = bench.harness.broker(max_poll_interval_ms=1000)
        silent = bench.consumer(topic, broker=hasty)
        poll_until([silent], silent.assignment)
        other = bench.consumer(topic)
        poll_for([other], 3.0)
        assert other.assignment() == {0}

    def in_parallel(
        self, first: Consumer, second: Consumer, holds: Callable[[], object]
    ) -> list[PartitionBatch]:
        """Poll two members, each on a thread of its own as in two processes,
        until something is true."""
        over = threading.Event()
        batches: list[PartitionBatch] = []

        def poll_first() -> None:
            while not over.is_set():
                batches.extend(first.poll(0.05, 1000))

        thread = threading.Thread(target=poll_first)
        thread.start()
        try:
            batches += poll_until([second], holds)
        finally:
            over.set()
            thread.join()
        return batches
