"""Behaviour of every broker with transactions."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import pytest

from eddycast.service.errors import MembershipLost, TransactionFailed
from eddycast.service.records import next_offset
from tests.broker.tools import (
    PATIENCE_S,
    Bench,
    collect,
    numbers,
    poll_for,
    poll_until,
    stored,
    values,
)


def new_id() -> str:
    return f"tx-{uuid.uuid4().hex[:8]}"


class TransactionBattery:
    """Visibility, offsets, fencing."""

    def test_records_are_visible_after_the_commit_only(self, bench: Bench) -> None:
        topic = bench.topic()
        consumer, producer = bench.consumer(topic), bench.producer(new_id())
        producer.begin()
        producer.produce(topic, 0, [b"k"] * 3, numbers(3))
        producer.flush(PATIENCE_S)
        assert poll_for([consumer], 0.5) == []
        assert len(bench.harness.read(topic, "read_uncommitted")) == 3
        producer.commit()
        assert values(collect(consumer, 3)) == numbers(3)

    def test_aborted_records_are_never_visible(self, bench: Bench) -> None:
        topic = bench.topic()
        consumer, producer = bench.consumer(topic), bench.producer(new_id())
        for number, end in enumerate((producer.commit, producer.abort, producer.commit)):
            producer.begin()
            producer.produce(topic, 0, [b"k"], numbers(1, number))
            producer.flush(PATIENCE_S)
            end()
        assert values(collect(consumer, 2)) == [b"0", b"2"]
        assert [seen.value for seen in bench.harness.read(topic, "read_uncommitted")] == numbers(3)

    def test_a_transaction_leaves_a_gap_in_the_offsets(self, bench: Bench) -> None:
        topic = bench.topic()
        consumer, producer = bench.consumer(topic), bench.producer(new_id())
        for number in range(2):
            producer.begin()
            producer.produce(topic, 0, [b"k"], numbers(1, number))
            producer.commit()
        assert [int(o) for batch in collect(consumer, 2) for o in batch.offsets] == [0, 2]

    def test_the_position_passes_what_is_for_nobody(self, bench: Bench) -> None:
        """Control records and aborted ones, behind records that were returned and where there are
        none at all."""
        topic = bench.topic(2)
        consumer, producer = bench.consumer(topic), bench.producer(new_id())
        for partition, end in ((0, producer.commit), (0, producer.abort), (1, producer.abort)):
            producer.begin()
            producer.produce(topic, partition, [b"k"] * 3, numbers(3))
            producer.flush(PATIENCE_S)
            end()
        batches = collect(consumer, 3)
        batches += poll_until([consumer], lambda: consumer.positions() == {0: 8, 1: 4})
        assert values(batches) == numbers(3)
        assert all(batch.offsets[-1] < next_offset(batch) <= 8 for batch in batches)
        consumer.seek({0: 2})
        assert consumer.positions()[0] == 2
        (again,) = collect(consumer, 1)
        poll_until([consumer], lambda: consumer.positions()[0] == 8)
        assert values([again]) == [b"2"] and next_offset(again) in (3, 4, 8)

    def test_nobody_reads_past_an_open_transaction(self, bench: Bench) -> None:
        topic = bench.topic()
        consumer, producer = bench.consumer(topic), bench.producer(new_id())
        producer.begin()
        producer.produce(topic, 0, [b"k"], [b"open"])
        producer.flush(PATIENCE_S)
        bench.fill(topic, 0, [b"plain"])
        assert poll_for([consumer], 0.5) == []
        producer.abort()
        assert values(collect(consumer, 1)) == [b"plain"]

    def test_offsets_are_stored_with_the_transaction_or_not_at_all(self, bench: Bench) -> None:
        source, sink = bench.topic(2), bench.topic()
        bench.fill(source, 0, numbers(5))
        consumer, producer = bench.consumer(source), bench.producer(new_id())
        collect(consumer, 5)
        producer.begin()
        producer.send_offsets(source, {0: 5, 1: 0}, consumer)
        producer.abort()
        assert stored(consumer, [0, 1]) == {0: None, 1: None}
        producer.begin()
        producer.produce(sink, 0, [b"k"] * 5, numbers(5))
        producer.send_offsets(source, {0: 5, 1: 0}, consumer)
        producer.commit()
        assert stored(consumer, [0, 1]) == {0: 5, 1: 0}
        assert [seen.value for seen in bench.harness.read(sink)] == numbers(5)

    def test_committed_waits_for_an_open_transaction_to_end(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(5))
        consumer, producer = bench.consumer(topic), bench.producer(new_id())
        collect(consumer, 5)
        producer.begin()
        producer.send_offsets(topic, {0: 5}, consumer)
        timer = threading.Timer(0.5, producer.commit)
        timer.start()
        started = time.monotonic()
        assert stored(consumer, [0]) == {0: 5}
        assert time.monotonic() - started > 0.3
        timer.join()

    def test_a_newer_producer_with_the_same_id_fences_the_older(self, bench: Bench) -> None:
        topic, name = bench.topic(), new_id()
        older = bench.producer(name)
        older.begin()
        older.produce(topic, 0, [b"k"], [b"older"])
        older.flush(PATIENCE_S)
        newer = bench.producer(name)
        newer.begin()
        newer.produce(topic, 0, [b"k"], [b"newer"])
        newer.commit()
        with pytest.raises(TransactionFailed):
            older.commit()
        assert [seen.value for seen in bench.harness.read(topic)] == [b"newer"]

    def test_a_producer_that_failed_stays_unusable_and_its_successor_works(
        self, bench: Bench
    ) -> None:
        topic, name = bench.topic(config={"max.message.bytes": "1000"}), new_id()
        producer = bench.producer(name)
        producer.begin()
        producer.produce(topic, 0, [b"k", b"k"], [b"good", b"x" * 5000])
        with pytest.raises(TransactionFailed, match=topic):
            producer.commit()
        producer.abort()
        for call in (producer.begin, producer.commit, lambda: producer.flush(1.0)):
            with pytest.raises(TransactionFailed, match="failed before"):
                call()
        producer.close(1.0)
        successor = bench.producer(name)
        successor.begin()
        successor.produce(topic, 0, [b"k"], [b"after"])
        successor.commit()
        assert [seen.value for seen in bench.harness.read(topic)] == [b"after"]

    def test_the_offsets_of_a_member_that_was_expelled_are_refused(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(5))
        consumer, producer = bench.consumer(topic), bench.producer(new_id())
        collect(consumer, 5)
        bench.harness.expel(f"{topic}-g", consumer)
        producer.begin()
        with pytest.raises(TransactionFailed):
            producer.send_offsets(topic, {0: 5}, consumer)
        poll_until([consumer], consumer.assignment)
        assert stored(consumer, [0]) == {0: None}

    def test_the_offsets_of_a_consumer_in_no_group_are_refused_and_the_producer_goes_on(
        self, bench: Bench
    ) -> None:
        topic = bench.topic()
        consumer, producer = bench.consumer(topic), bench.producer(new_id())
        producer.begin()
        with pytest.raises(MembershipLost):
            producer.send_offsets(topic, {0: 5}, consumer)
        producer.produce(topic, 0, [b"k"], [b"v"])
        producer.commit()
        assert len(bench.harness.read(topic)) == 1

    def test_a_transaction_is_begun_once_and_before_anything_else(self, bench: Bench) -> None:
        topic = bench.topic()
        producer = bench.producer(new_id())
        calls: list[Callable[[], None]] = [
            producer.commit,
            lambda: producer.produce(topic, 0, [b"k"], [b"v"]),
        ]
        for call in calls:
            with pytest.raises(TransactionFailed, match="no transaction is open"):
                call()
        producer.begin()
        with pytest.raises(TransactionFailed, match="open already"):
            producer.begin()
        producer.abort()
        with pytest.raises(TransactionFailed, match="no transactional id"):
            bench.producer().begin()

    def test_closing_aborts_what_is_open(self, bench: Bench) -> None:
        topic = bench.topic()
        producer = bench.producer(new_id())
        producer.begin()
        producer.produce(topic, 0, [b"k"], [b"open"])
        producer.flush(PATIENCE_S)
        producer.close(5.0)
        bench.fill(topic, 0, [b"plain"])
        assert values(collect(bench.consumer(topic), 1)) == [b"plain"]

    def test_an_abandoned_transaction_ends_by_its_timeout(self, bench: Bench) -> None:
        topic = bench.topic()
        hasty = bench.harness.broker(
            request_timeout_ms=700, delivery_timeout_ms=800, transaction_timeout_ms=1000
        )
        producer = bench.producer(new_id(), broker=hasty)
        producer.begin()
        producer.produce(topic, 0, [b"k"], [b"abandoned"])
        producer.flush(PATIENCE_S)
        bench.fill(topic, 0, [b"plain"])
        consumer = bench.consumer(topic)
        assert values(poll_for([consumer], 6.0)) == [b"plain"]
