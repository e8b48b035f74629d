"""Behaviour of every broker with records: written once,
run on the in-process broker and on a real Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from eddycast.service.errors import BrokerError, MembershipLost, ProduceFailed, RecordTooLarge
from eddycast.service.records import PartitionBatch, next_offset
from tests.broker.tools import (
    PATIENCE_S,
    Bench,
    Listener,
    collect,
    numbers,
    poll_until,
    stored,
    values,
)


class RecordBattery:
    """Producing, polling, offsets, topics."""

    def test_records_keep_their_order_within_a_partition(self, bench: Bench) -> None:
        topic = bench.topic(2)
        producer = bench.producer()
        for start in range(0, 300, 100):
            for partition in (0, 1):
                producer.produce(topic, partition, [b"k"] * 100, numbers(100, start))
        producer.flush(PATIENCE_S)
        batches = collect(bench.consumer(topic), 600)
        assert values(batches, 0) == numbers(300)
        assert values(batches, 1) == numbers(300)

    def test_offsets_count_on_and_the_next_one_is_after_the_last(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(25))
        batches = collect(bench.consumer(topic), 25)
        assert [int(o) for batch in batches for o in batch.offsets] == list(range(25))
        assert next_offset(batches[-1]) == 25
        assert {(batch.topic, batch.partition) for batch in batches} == {(topic, 0)}

    def test_a_poll_brings_one_batch_a_partition_at_most_and_none_empty(self, bench: Bench) -> None:
        topic = bench.topic(3)
        for partition in (0, 2):
            bench.fill(topic, partition, numbers(10))
        consumer, seen = bench.consumer(topic), 0
        while seen < 20:
            batches = consumer.poll(0.2, 1000)
            assert len({batch.partition for batch in batches}) == len(batches)
            assert all(len(batch) == len(batch.keys) == len(batch.values) > 0 for batch in batches)
            assert all(
                len(batch) == len(batch.offsets) == len(batch.timestamps) for batch in batches
            )
            seen += sum(map(len, batches))

    def test_no_more_records_than_asked_for_and_none_lost(self, bench: Bench) -> None:
        topic = bench.topic(3)
        for partition in range(3):
            bench.fill(topic, partition, numbers(40))
        consumer = bench.consumer(topic)
        batches: list[PartitionBatch] = []
        deadline = time.monotonic() + PATIENCE_S
        while sum(map(len, batches)) < 120 and time.monotonic() < deadline:
            polled = consumer.poll(0.2, 7)
            assert sum(map(len, polled)) <= 7
            batches += polled
        for partition in range(3):
            assert values(batches, partition) == numbers(40)

    def test_keys_and_values_may_be_missing(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, [b"v", None, b""], keys=[None, b"gone", b""])
        (batch,) = collect(bench.consumer(topic), 3)
        assert batch.keys == [None, b"gone", b""]
        assert batch.values == [b"v", None, b""]

    def test_neither_key_nor_value_becomes_an_empty_value(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, [None], keys=[None])
        (batch,) = collect(bench.consumer(topic), 1)
        assert (batch.keys, batch.values) == ([None], [b""])

    def test_headers_arrive_with_their_record(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(2), headers=[[("error", b"json"), ("offset", b"7")], []])
        assert [seen.headers for seen in bench.harness.read(topic)] == [
            (("error", b"json"), ("offset", b"7")),
            (),
        ]
        (batch,) = collect(bench.consumer(topic), 2)
        assert batch.headers is not None and len(batch.headers) == 2
        assert list(batch.headers) == [[("error", b"json"), ("offset", b"7")], []]

    def test_records_are_stamped_with_the_wall_clock(self, bench: Bench) -> None:
        topic = bench.topic()
        before = time.time() * 1000 - 1
        bench.fill(topic, 0, numbers(3))
        (batch,) = collect(bench.consumer(topic), 3)
        assert all(before <= stamp <= time.time() * 1000 + 1 for stamp in batch.timestamps.tolist())

    def test_large_values_pass_whole(self, bench: Bench) -> None:
        topic = bench.topic()
        large: list[bytes | None] = [bytes([n]) * 1_000_000 for n in range(4)]
        bench.fill(topic, 0, large)
        assert values(collect(bench.consumer(topic), 4)) == large

    def test_a_record_beyond_the_limit_stops_its_column_before_anything_is_sent(
        self, bench: Bench
    ) -> None:
        topic = bench.topic()
        producer = bench.producer()
        with pytest.raises(RecordTooLarge, match=topic):
            producer.produce(topic, 0, [b"k", b"k"], [b"fits", b"x" * (1 << 20)])
        with pytest.raises(RecordTooLarge, match=topic):
            producer.produce(topic, 0, [b"k"], [b"v"], [[("reason", b"x" * (1 << 20))]])
        producer.produce(topic, 0, [b"k"], [b"after"])
        producer.flush(PATIENCE_S)
        assert [seen.value for seen in bench.harness.read(topic)] == [b"after"]

    def test_a_record_that_the_topic_refuses_is_reported_by_flush(self, bench: Bench) -> None:
        topic = bench.topic(config={"max.message.bytes": "1000"})
        producer = bench.producer()
        producer.produce(topic, 0, [b"k"], [b"x" * 5000])
        with pytest.raises(RecordTooLarge, match=f"{topic} partition 0"):
            producer.flush(PATIENCE_S)
        producer.produce(topic, 0, [b"k"], [b"fits"])
        producer.flush(PATIENCE_S)
        assert [seen.value for seen in bench.harness.read(topic)] == [b"fits"]

    def test_many_records_pass_a_topic_that_takes_small_batches(self, bench: Bench) -> None:
        topic = bench.topic(config={"max.message.bytes": "1000"})
        bench.fill(topic, 0, numbers(500))
        assert [seen.value for seen in bench.harness.read(topic)] == numbers(500)

    def test_a_column_for_a_partition_that_is_not_there_is_reported_by_flush(
        self, bench: Bench
    ) -> None:
        topic = bench.topic()
        producer = bench.producer()
        producer.produce(topic, 0, [b"k"], [b"good"])
        producer.produce(topic, 5, [b"k"], [b"nowhere"])
        with pytest.raises(ProduceFailed, match=f"{topic} partition 5"):
            producer.flush(PATIENCE_S)
        producer.flush(PATIENCE_S)  # the queue is empty, the producer goes on
        producer.produce(topic, 0, [b"k"], [b"again"])
        producer.flush(PATIENCE_S)
        assert bench.harness.read(topic)[-1].value == b"again"

    def test_an_empty_column_and_an_empty_flush_do_nothing(self, bench: Bench) -> None:
        topic = bench.topic()
        producer = bench.producer()
        producer.produce(topic, 0, [], [])
        producer.flush(PATIENCE_S)
        assert bench.harness.read(topic) == []

    def test_reading_starts_at_the_committed_offset(self, bench: Bench) -> None:
        topic = bench.topic(2)
        bench.fill(topic, 0, numbers(10))
        first = bench.consumer(topic)
        collect(first, 10)
        assert stored(first, [0, 1]) == {0: None, 1: None}
        first.commit({0: 4})
        assert stored(first, [0, 1]) == {0: 4, 1: None}
        first.commit({})
        first.close()
        second = bench.consumer(topic, start_at="latest")  # counts for partition 1 alone
        assert values(collect(second, 6)) == numbers(6, 4)
        assert stored(second, [0]) == {0: 4}

    def test_start_at_counts_where_nothing_is_committed(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(5))
        listener = Listener()
        latest = bench.consumer(topic, "latest", listener, start_at="latest")
        poll_until([latest], lambda: latest.lag() == {0: 0})
        bench.fill(topic, 0, [b"new"])
        assert values(collect(latest, 1)) == [b"new"]
        assert values(collect(bench.consumer(topic, "earliest", start_at="earliest"), 6)) == [
            *numbers(5),
            b"new",
        ]

    def test_groups_do_not_share_offsets(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(3))
        one = bench.consumer(topic, "one")
        collect(one, 3)
        one.commit({0: 3})
        other = bench.consumer(topic, "other")
        collect(other, 3)
        assert stored(other, [0]) == {0: None}

    def test_seek_repeats_and_skips(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(10))
        consumer = bench.consumer(topic)
        collect(consumer, 10)
        consumer.seek({0: 7})
        assert values(collect(consumer, 3)) == numbers(3, 7)
        consumer.seek({0: 0})
        assert values(consumer.poll(PATIENCE_S, 2)) == numbers(2)

    def test_partitions_that_are_not_held_cannot_be_moved(self, bench: Bench) -> None:
        consumer = bench.consumer(bench.topic())
        calls: list[Callable[[], None]] = [
            lambda: consumer.seek({0: 1}),
            lambda: consumer.pause([0]),
            lambda: consumer.resume([0]),
        ]
        for call in calls:
            with pytest.raises(MembershipLost, match=r"\[0\]"):
                call()

    def test_paused_partitions_bring_nothing_until_they_are_resumed(self, bench: Bench) -> None:
        topic = bench.topic(2)
        consumer = bench.consumer(topic)
        poll_until([consumer], lambda: consumer.assignment() == {0, 1})
        consumer.pause([0])
        for partition in (0, 1):
            bench.fill(topic, partition, numbers(5))
        assert {batch.partition for batch in collect(consumer, 5)} == {1}
        assert consumer.poll(0.3, 100) == []
        assert consumer.assignment() == {0, 1}
        consumer.resume([0])
        assert values(collect(consumer, 5)) == numbers(5)

    def test_lag_is_what_is_left_to_read(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(10))
        consumer = bench.consumer(topic)
        assert consumer.lag() == {}
        collect(consumer, 1, max_records=4)
        assert consumer.lag() == {0: 6}
        collect(consumer, 6)
        assert consumer.lag() == {0: 0}
        consumer.seek({0: 2})
        assert consumer.lag() == {0: 8}

    def test_a_poll_without_records_waits_as_long_as_asked(self, bench: Bench) -> None:
        consumer = bench.consumer(bench.topic())
        poll_until([consumer], consumer.assignment)
        started = time.monotonic()
        assert consumer.poll(0.3, 10) == []
        assert 0.25 < time.monotonic() - started < 3

    def test_topics_are_created_once_and_asked_for(self, bench: Bench) -> None:
        topic = bench.topic(3)
        assert bench.admin.partitions(topic) == 3
        bench.admin.create_topic(topic, 7)
        assert bench.admin.partitions(topic) == 3
        assert bench.admin.partitions("never-created") is None
        assert topic in bench.admin.topics() and not any(
            name.startswith("__") for name in bench.admin.topics()
        )
        allowed = bench.admin.operations(topic)
        assert allowed is None or {"read", "write", "create", "describe_configs"} <= allowed
        bench.admin.check_transactional_id("never-used")
        with pytest.raises(BrokerError, match="no-partitions"):
            bench.admin.create_topic("no-partitions", 0)
