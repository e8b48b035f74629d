"""Three steps in their order, in slices, and what is not to be trusted."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from eddycast.service.broker.memory.producer import MemoryProducer
from eddycast.service.bundle import TensorSpec
from eddycast.service.delivery.partition import Partition, Partitions, Phase
from eddycast.service.delivery.restore import Restore
from eddycast.service.delivery.start_positions import StartPositions
from eddycast.service.errors import BrokerUnavailable, OffsetGone, StateError
from eddycast.service.records import ROW_PREFIX
from eddycast.service.settings.kafka import WhenDeleted
from eddycast.service.state.adoption import Adoption
from eddycast.service.state.arena import Arena
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec
from eddycast.service.state.model_record import KeptPart, ModelRecord
from eddycast.service.state.stream_time import Clock
from tests.broker.tools import Listener
from tests.support.faulty_broker import FaultyBroker

SPECS = (TensorSpec(name="value", dtype="float64", shape=(1,)),)
CODEC = RowCodec(SPECS)
INPUT, LOG = "in", "log"
MODEL = ModelRecord(
    version="1" * 64,
    model="walk@111111",
    layout=CODEC.layout,
    interval_ms=60_000,
    kind="gauge",
    channels=("value",),
    parts=(KeptPart(name="core", tensors=SPECS, meaning="c0ffee00"),),
)


def row(value: float) -> bytes:
    prefix = np.zeros(1, ROW_PREFIX)
    prefix["observations"] = 1
    return CODEC.encode(prefix, {"value": np.array([[value]])})[0]


class Bench:
    """A group member that holds every partition, and a changelog to restore from."""

    def __init__(
        self, partitions: int = 2, when_deleted: WhenDeleted = "fail", start_at: str = "earliest"
    ) -> None:
        self.broker = FaultyBroker()
        for topic in (INPUT, LOG):
            self.broker.admin().create_topic(topic, partitions)
        self.consumer = self.broker.consumer(INPUT, "g", Listener())
        self.consumer.poll(0.0, 1)
        self.arena, self.codec = Arena(SPECS), RowCodec(SPECS)
        self.adoption = Adoption(MODEL, declares_parts=True)
        reader = self.broker.reader(LOG)
        positions = StartPositions(self.broker.reader(INPUT), INPUT, start_at, when_deleted)
        self.partitions = Partitions(self, reader)
        self.restore = Restore(self.partitions, self.consumer, reader, positions, self, partitions)
        self.producers = 0
        self.clocks: dict[int, Clock] = {}

    def close(self, partition: int) -> None:
        self.arena.free_partition(partition)

    def assign(self, *numbers: int) -> None:
        self.partitions.assign(numbers, 0.0)

    def phase(self, number: int) -> Phase:
        return self.partitions[number].phase

    def advance(self, within_s: float) -> dict[int, Partition]:
        """A slice; partitions that are complete are served."""
        done = self.restore.advance(within_s)
        for restored in done:
            restored.partition.serve()
            self.clocks[restored.partition.number] = restored.clock
        return {restored.partition.number: restored.partition for restored in done}

    def feed(self, partition: int, count: int) -> None:
        producer = self.broker.producer()
        producer.produce(INPUT, partition, [b"k"] * count, [b"v"] * count)

    def begin(self) -> MemoryProducer:
        self.producers += 1
        producer = self.broker.producer(f"t{self.producers}")
        producer.begin()
        return producer

    def write(
        self,
        producer: MemoryProducer,
        partition: int,
        rows: dict[bytes, float | None],
        offset: int | None = None,
        streams: int = 0,
    ) -> None:
        """Rows (None = a tombstone) and, with an offset, the marker and the group's offset."""
        values = [None if value is None else row(value) for value in rows.values()]
        producer.produce(LOG, partition, list(rows), values)
        if offset is not None:
            about = [
                CODEC.encode_model(MODEL),
                CODEC.encode_marker(Marker(offset, streams, Clock(77, 5))),
            ]
            producer.produce(LOG, partition, [MODEL_KEY, MARKER_KEY], about)
            producer.send_offsets(INPUT, {partition: offset}, self.consumer)

    def commit(
        self, partition: int, rows: dict[bytes, float | None], offset: int, streams: int
    ) -> None:
        producer = self.begin()
        self.write(producer, partition, rows, offset, streams)
        producer.commit()

    def finish(self, partitions: Sequence[int], slices: int = 50) -> dict[int, Partition]:
        """Restore in slices until all are done."""
        self.assign(*partitions)
        done: dict[int, Partition] = {}
        for _ in range(slices):
            done |= self.advance(0.05)
            if not self.partitions.pending:
                return done
        raise AssertionError(f"partitions {self.partitions.pending} are not restored")

    def values(self, partition: int) -> dict[bytes, float]:
        streams = self.arena.streams(partition)
        found = self.arena.gather(self.arena.slots(partition, streams))["value"][:, 0]
        return dict(zip(streams, found.tolist(), strict=True))


def test_rows_come_back_as_the_last_commit_left_them() -> None:
    bench = Bench()
    bench.feed(0, 9)
    bench.commit(0, {b"a": 1.0, b"b": 2.0, b"c": 3.0}, 5, 3)
    bench.commit(0, {b"b": 20.0, b"c": None}, 8, 2)
    done = bench.finish([0, 1])
    found = [done[0], done[1]]
    assert bench.values(0) == {b"a": 1.0, b"b": 20.0} and bench.values(1) == {}
    assert [partition.start.offset for partition in found] == [8, 0]
    assert [(p.restoration.streams, p.restoration.records) for p in found if p.restoration] == [
        (2, 9),
        (0, 0),
    ]
    assert bench.clocks == {0: Clock(77, 5), 1: Clock()}


def test_the_phases_of_a_partition() -> None:
    bench = Bench(1)
    open_one = bench.begin()
    bench.write(open_one, 0, {b"a": 1.0}, 0, 1)
    bench.assign(0)
    assert bench.phase(0) is Phase.ASSIGNED and bench.partitions.pending == [0]
    bench.advance(0.01)
    assert bench.phase(0) is Phase.ASSIGNED, "its offset is held by an open transaction"
    bench.broker.group(INPUT, "g").pending.clear()
    bench.advance(0.01)
    assert bench.phase(0) is Phase.RESTORING and bench.restore.left == 3
    bench.partitions.close([0])
    assert bench.partitions.pending == [] and bench.restore.left == 0


def test_aborted_rows_are_not_loaded() -> None:
    bench = Bench(1)
    bench.feed(0, 9)
    bench.commit(0, {b"a": 1.0}, 3, 1)
    aborted = bench.begin()
    bench.write(aborted, 0, {b"a": -1.0, b"z": -2.0}, 6, 2)
    aborted.abort()
    done = bench.finish([0])
    assert bench.values(0) == {b"a": 1.0} and done[0].start.offset == 3


def test_rows_behind_the_committed_offset_are_waited_for() -> None:
    """The commit has reached the offsets, and not yet the changelog."""
    bench = Bench(1)
    bench.feed(0, 9)
    bench.commit(0, {b"a": 1.0}, 3, 1)
    late = bench.begin()
    bench.write(late, 0, {b"a": 2.0}, 6, 1)
    group = bench.broker.group(INPUT, "g")
    group.committed |= group.pending.pop(late._open)
    bench.assign(0)
    assert not bench.advance(0.05)
    assert bench.partitions[0].phase is Phase.RESTORING and bench.restore.left == 3
    late.commit()
    assert bench.advance(0.05)[0].start.offset == 6 and bench.values(0) == {b"a": 2.0}


def test_an_offset_held_by_an_open_transaction_is_waited_for_in_short_slices() -> None:
    bench = Bench(1)
    bench.feed(0, 9)
    late = bench.begin()
    bench.write(late, 0, {b"a": 2.0}, 6, 1)
    bench.assign(0)
    assert not bench.advance(0.05)
    timer = threading.Timer(0.2, late.commit)
    timer.start()
    while bench.partitions.pending:
        bench.advance(0.05)
    timer.join()
    assert bench.values(0) == {b"a": 2.0}


@pytest.mark.parametrize("offset", [None, 6], ids=["rows undecided", "offset undecided"])
def test_one_partition_does_not_wait_for_another(offset: int | None) -> None:
    bench = Bench(3)
    for partition in range(3):
        bench.feed(partition, 9)
        bench.commit(partition, {b"a": float(partition)}, 4, 1)
    open_one = bench.begin()
    bench.write(open_one, 1, {b"a": -1.0}, offset, 1)
    bench.assign(0, 1, 2)
    done = [partition for _ in range(5) for partition in bench.advance(0.02)]
    assert sorted(done) == [0, 2] and bench.partitions.pending == [1]
    open_one.abort()
    assert list(bench.advance(0.05)) == [1]
    assert bench.values(1) == {b"a": 1.0}


@pytest.mark.parametrize("fault", ["committed", "end", "read"])
def test_a_broker_that_does_not_answer_is_asked_again(fault: str) -> None:
    bench = Bench(2)
    bench.feed(0, 9)
    bench.commit(0, {b"a": 1.0}, 4, 1)
    bench.broker.fail_next(fault, 2)
    bench.assign(0, 1)
    for _ in range(6):
        try:
            bench.advance(0.02)
        except BrokerUnavailable:
            assert fault != "committed"
    assert bench.partitions.pending == [] and bench.values(0) == {b"a": 1.0}


def test_a_partition_that_comes_back_starts_from_nothing() -> None:
    bench = Bench(1)
    bench.feed(0, 9)
    bench.commit(0, {b"a": 1.0, b"b": 1.0}, 4, 2)
    bench.finish([0])
    bench.commit(0, {b"a": None}, 5, 1)
    bench.finish([0])
    assert bench.values(0) == {b"b": 1.0}


@pytest.mark.parametrize(
    ("committed", "marker", "what"),
    [
        (5, 4, "offset 5.*marker for offset 4"),
        (5, None, "offset 5.*no marker"),
        (None, 4, "no offset.*marker for offset 4"),
    ],
)
def test_a_marker_that_disagrees_ends_the_service(
    committed: int | None, marker: int | None, what: str
) -> None:
    bench = Bench(1)
    bench.feed(0, 9)
    producer = bench.begin()
    if marker is not None:
        bench.write(producer, 0, {b"a": 1.0})
        producer.produce(LOG, 0, [MARKER_KEY], [CODEC.encode_marker(Marker(marker, 1, Clock()))])
    if committed is not None:
        producer.send_offsets(INPUT, {0: committed}, bench.consumer)
    producer.commit()
    with pytest.raises(StateError, match=f"partition 0: .*{what}") as caught:
        bench.finish([0])
    assert caught.value.action


@pytest.mark.parametrize("deleted", [1, 2, 3])
def test_a_changelog_cut_in_the_middle_ends_the_service(deleted: int) -> None:
    """Rows without a newer copy were deleted, and the marker is still there."""
    bench = Bench(1)
    bench.feed(0, 9)
    bench.commit(0, {b"a": 1.0, b"b": 2.0, b"c": 3.0}, 4, 3)
    bench.commit(0, {b"a": 2.0}, 5, 3)
    bench.broker.delete_records(LOG, 0, deleted + 1)
    with pytest.raises(StateError, match=r"partition 0: .*(1|2) streams.*marker.* 3"):
        bench.finish([0])


def test_rows_without_a_marker_end_the_service() -> None:
    bench = Bench(1)
    producer = bench.broker.producer()
    producer.produce(LOG, 0, [b"a"], [row(1.0)])
    with pytest.raises(StateError, match=r"partition 0: .*1 streams.*marker.* 0"):
        bench.finish([0])


def test_a_record_that_is_not_ours_is_named() -> None:
    bench = Bench(1)
    producer = bench.broker.producer()
    producer.produce(LOG, 0, [b"a", b"b"], [row(1.0), b""])
    with pytest.raises(StateError, match="log partition 0 offset 1 key b'b': 0 bytes"):
        bench.finish([0])


@pytest.mark.parametrize(
    ("start_at", "committed", "deleted", "when", "expected"),
    [
        ("earliest", None, 0, "fail", 0),
        ("earliest", None, 6, "fail", 6),
        ("latest", None, 0, "fail", 10),
        ("latest", 4, 0, "fail", 4),
        ("earliest", 6, 6, "fail", 6),
        ("earliest", 10, 10, "fail", 10),
        ("earliest", 4, 6, "fail", OffsetGone),
        ("latest", 4, 6, "earliest", 6),
        ("earliest", 4, 6, "latest", 10),
        ("earliest", 11, 0, "latest", StateError),
    ],
)
def test_where_the_input_is_read_from(
    start_at: str,
    committed: int | None,
    deleted: int,
    when: WhenDeleted,
    expected: int | type[Exception],
) -> None:
    bench = Bench(1, when, start_at)
    bench.feed(0, 10)
    bench.broker.delete_records(INPUT, 0, deleted)
    if committed is not None:
        bench.commit(0, {b"a": 1.0}, committed, 1)
    if isinstance(expected, type):
        with pytest.raises(expected, match=f"{INPUT} partition 0"):
            bench.finish([0])
        return
    restored = bench.finish([0])[0]
    assert restored.start.offset == expected
    assert restored.start.deleted == (expected - committed if committed is not None else 0)


def test_thirty_two_partitions_at_once() -> None:
    bench = Bench(32)
    for partition in range(32):
        bench.feed(partition, 9)
    for turn in range(3):
        for partition in range(32):
            bench.commit(
                partition, {b"s%d" % i: 100.0 * partition + turn for i in range(20)}, 3 + turn, 20
            )
    done = bench.finish(range(32))
    assert {restored.start.offset for restored in done.values()} == {5}
    assert all(
        set(bench.values(p).values()) == {100.0 * p + 2} and len(bench.values(p)) == 20
        for p in range(32)
    )
