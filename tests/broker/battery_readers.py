"""Behaviour of every broker towards readers outside any group,
and at positions that do not exist."""

from __future__ import annotations

import threading
import time

import pytest

from eddycast.service.broker.port import Consumer
from eddycast.service.errors import MembershipLost, OffsetGone, RecordRefused, TopicMissing
from tests.broker.battery_transactions import new_id
from tests.broker.tools import (
    PATIENCE_S,
    Bench,
    Listener,
    begin,
    collect,
    numbers,
    poll_until,
    read_to,
    stored,
    values,
)


class ReaderBattery:
    """Reading single partitions to the high watermark."""

    def test_a_reader_starts_where_it_is_told(self, bench: Bench) -> None:
        topic = bench.topic(3)
        for partition in range(3):
            bench.fill(topic, partition, numbers(10, 100 * partition))
        reader = bench.reader(topic)
        begin(reader, 0)
        reader.start({2: 7})
        batches = read_to(reader, {0: 10, 2: 10})
        assert values(batches, 0) == numbers(10)
        assert values(batches, 1) == []
        assert values(batches, 2) == numbers(3, 207)
        assert (reader.first([0]), reader.end([0, 1])) == ({0: 0}, {0: 10, 1: 10})

    def test_a_time_is_found(self, bench: Bench) -> None:
        topic = bench.topic(2)
        bench.fill(topic, 0, numbers(5))
        time.sleep(0.05)
        between = int(time.time() * 1000) - 20
        bench.fill(topic, 0, numbers(3))
        reader = bench.reader(topic)
        assert reader.since([0, 1], between) == {0: 5, 1: 0}
        assert reader.since([0], 0) == {0: 0}
        assert reader.since([0], between + 3_600_000) == {0: 8}

    def test_polls_bring_no_more_than_asked_for(self, bench: Bench) -> None:
        topic = bench.topic(2)
        for partition in (0, 1):
            bench.fill(topic, partition, numbers(50))
        reader, batches = bench.reader(topic), []
        begin(reader, 0, 1)
        while reader.position(0) < 50 or reader.position(1) < 50:
            polled = reader.poll(PATIENCE_S, 7)
            assert sum(map(len, polled)) <= 7 and all(map(len, polled))
            batches += polled
        assert values(batches, 0) == values(batches, 1) == numbers(50)

    def test_a_reader_goes_back_and_stops(self, bench: Bench) -> None:
        topic = bench.topic(2)
        for partition in (0, 1):
            bench.fill(topic, partition, numbers(5))
        reader = bench.reader(topic)
        begin(reader, 0)
        read_to(reader, {0: 5})
        reader.start({0: 3})
        assert reader.position(0) == 3
        assert values(read_to(reader, {0: 5})) == numbers(2, 3)
        reader.stop([0, 1])
        bench.fill(topic, 0, [b"unseen"])
        assert reader.poll(0.3, 10) == []
        begin(reader, 1)
        assert values(read_to(reader, {1: 5}), 1) == numbers(5)

    def test_tombstones_and_their_keys_are_read(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, [b"row", None], keys=[b"a", b"a"])
        reader = bench.reader(topic)
        begin(reader, 0)
        batches = read_to(reader, {0: 2})
        assert values(batches) == [b"row", None]
        assert [key for batch in batches for key in batch.keys] == [b"a", b"a"]

    def test_an_empty_partition_is_at_its_end_at_once(self, bench: Bench) -> None:
        reader = bench.reader(bench.topic())
        begin(reader, 0)
        assert reader.end([0]) == reader.first([0]) == {0: 0}
        assert reader.poll(0.0, 10) == []
        assert read_to(reader, {0: 0}) == []

    def test_the_position_passes_aborted_records_and_the_marks_of_transactions(
        self, bench: Bench
    ) -> None:
        topic, producer = bench.topic(), bench.producer(new_id())
        for number, end in enumerate((producer.commit, producer.abort)):
            producer.begin()
            producer.produce(topic, 0, [b"k"], numbers(1, number))
            producer.flush(PATIENCE_S)
            end()
        reader = bench.reader(topic)
        begin(reader, 0)
        assert reader.end([0]) == {0: 4}, "two records and a mark after each"
        assert values(read_to(reader, {0: 4})) == [b"0"]
        assert reader.position(0) == 4

    def test_the_end_counts_an_open_transaction_and_the_position_waits_for_it(
        self, bench: Bench
    ) -> None:
        topic, producer = bench.topic(), bench.producer(new_id())
        bench.fill(topic, 0, [b"plain"])
        producer.begin()
        producer.produce(topic, 0, [b"k"], [b"open"])
        producer.flush(PATIENCE_S)
        bench.fill(topic, 0, [b"behind"])
        reader = bench.reader(topic)
        end = reader.end([0])[0]
        assert end == 3
        begin(reader, 0)
        assert values(read_to(reader, {0: 1})) == [b"plain"]
        assert reader.poll(0.5, 10) == [] and reader.position(0) == 1
        timer = threading.Timer(0.3, producer.commit)
        timer.start()
        assert values(read_to(reader, {0: end})) == [b"open", b"behind"]
        timer.join()

    def test_a_poll_without_records_waits_as_long_as_asked(self, bench: Bench) -> None:
        reader = bench.reader(bench.topic())
        begin(reader, 0)
        reader.poll(0.0, 1)
        started = time.monotonic()
        assert reader.poll(0.3, 10) == []
        assert 0.25 < time.monotonic() - started < 3

    def test_records_that_retention_deleted_are_named(self, bench: Bench) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(10))
        bench.harness.delete_records(topic, 0, 6)
        reader = bench.reader(topic)
        assert (reader.first([0]), reader.end([0])) == ({0: 6}, {0: 10})
        begin(reader, 0)
        assert values(read_to(reader, {0: 10})) == numbers(4, 6)
        reader.start({0: 2})
        with pytest.raises(OffsetGone, match=f"{topic} partition 0"):
            read_to(reader, {0: 10})

    @pytest.mark.parametrize("offset", [2, 99])
    def test_a_consumer_without_a_start_says_that_its_position_is_gone(
        self, bench: Bench, offset: int
    ) -> None:
        topic = bench.topic()
        bench.fill(topic, 0, numbers(10))
        bench.harness.delete_records(topic, 0, 6)
        listener = Listener()
        consumer = bench.consumer(topic, listener=listener, start_at="none")

        def sought(partitions: object) -> None:
            consumer.pause([0])
            consumer.seek({0: 0})

        listener.on_assigned = sought
        poll_until([consumer], consumer.assignment)
        assert consumer.poll(0.5, 10) == [], "a partition that is paused has time"
        consumer.seek({0: offset})
        consumer.resume([0])
        with pytest.raises(OffsetGone, match=f"{topic} partition 0"):
            poll_until([consumer], lambda: False)
        consumer.seek({0: 8})
        assert values(collect(consumer, 2)) == numbers(2, 8)

    def test_a_committed_offset_is_left_out_while_a_transaction_holds_it_and_the_others_are_told(
        self, bench: Bench
    ) -> None:
        topic, producer = bench.topic(3), bench.producer(new_id())
        consumer = self._member(bench, topic)
        consumer.commit({0: 2, 1: 1})
        producer.begin()
        producer.send_offsets(topic, {0: 3}, consumer, 5.0)
        assert consumer.committed([0, 1, 2]) == {1: 1, 2: None}
        producer.commit(5.0)
        assert stored(consumer, [0, 1, 2]) == {0: 3, 1: 1, 2: None}
        assert consumer.committed([]) == {}

    def test_a_record_to_blame_is_told_from_a_broker_to_blame(self, bench: Bench) -> None:
        topic, name = bench.topic(config={"max.message.bytes": "1000"}), new_id()
        for end in ("flush", "commit"):
            producer = bench.producer(name)
            producer.begin()
            producer.produce(topic, 0, [b"k"], [b"x" * 5000])
            with pytest.raises(RecordRefused, match=topic):
                getattr(producer, end)(PATIENCE_S)
        assert bench.harness.read(topic) == []

    def test_a_member_that_lost_its_partitions_sends_no_offsets(self, bench: Bench) -> None:
        """Inside `lost` the membership is gone,
        and the client must raise before it sends a request."""
        topic, producer = bench.topic(), bench.producer(new_id())
        raised: list[BaseException] = []

        class Losing(Listener):
            def lost(self, partitions: object) -> None:
                try:
                    producer.send_offsets(topic, {0: 3}, consumer, 5.0)
                except MembershipLost as error:
                    raised.append(error)

        consumer = bench.consumer(topic, listener=Losing())
        poll_until([consumer], consumer.assignment)
        bench.harness.expel(f"{topic}-g", consumer)
        producer.begin()
        poll_until([consumer], lambda: raised)
        producer.produce(topic, 0, [b"k"], [b"v"])
        producer.commit(5.0)
        poll_until([consumer], consumer.assignment)
        assert stored(consumer, [0]) == {0: None}

    def test_topics_are_created_with_their_settings_and_asked_for_them(self, bench: Bench) -> None:
        topic = bench.topic(2, {"cleanup.policy": "compact", "max.message.bytes": "2000"})
        config = bench.admin.config(topic)
        assert (config["cleanup.policy"], config["max.message.bytes"]) == ("compact", "2000")
        assert bench.admin.config(bench.topic())["cleanup.policy"] == "delete"
        assert int(config["min.insync.replicas"]) >= 1
        assert bench.admin.replication(topic) == 1
        for call in (bench.admin.config, bench.admin.replication):
            with pytest.raises(TopicMissing, match="never-created"):
                call("never-created")

    def _member(self, bench: Bench, topic: str) -> Consumer:
        consumer = bench.consumer(topic)
        poll_until([consumer], consumer.assignment)
        return consumer
