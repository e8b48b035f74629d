"""Tools of the batteries: a listener that records its calls,
and polling until a condition holds."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from eddycast.service.broker.port import Broker, Connection, Consumer, Producer, Reader
from eddycast.service.errors import BrokerUnavailable
from eddycast.service.records import PartitionBatch

Kept = TypeVar("Kept", bound=Connection)

PATIENCE_S = 20.0


@dataclass
class Listener:
    """Records its calls, and runs a test's own code inside of them."""

    name: str = "a"
    events: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)
    on_assigned: Callable[[Collection[int]], None] | None = None
    on_revoked: Callable[[Collection[int]], None] | None = None

    def assigned(self, partitions: Collection[int]) -> None:
        self.events.append((self.name, "assigned", tuple(sorted(partitions))))
        if self.on_assigned is not None:
            self.on_assigned(partitions)

    def revoked(self, partitions: Collection[int]) -> None:
        if self.on_revoked is not None:
            self.on_revoked(partitions)
        self.events.append((self.name, "revoked", tuple(sorted(partitions))))

    def lost(self, partitions: Collection[int]) -> None:
        self.events.append((self.name, "lost", tuple(sorted(partitions))))

    def saw(self, what: str) -> list[int]:
        """All partitions in events of this kind."""
        return [
            p
            for name, kind, partitions in self.events
            if (name, kind) == (self.name, what)
            for p in partitions
        ]


@dataclass(frozen=True)
class Seen:
    """A record as a test compares it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Harness(Protocol):
    """A broker under test, with what only its own kind can do."""

    def broker(self, **times_ms: int) -> Broker:
        """A broker object; times only mean something to a real one."""

    def expel(self, group: str, consumer: Consumer) -> None:
        """End a member's session behind its back."""

    def read(self, topic: str, isolation: str = "read_committed") -> list[Seen]:
        """Everything in a topic, by partition and offset."""

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Let retention delete the records of a partition before an offset."""


class Bench:
    """Makes topics, consumers and producers for one test, and closes them after it."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.broker = harness.broker()
        self._open: list[Callable[[], None]] = []
        self.admin = self._keep(self.broker.admin())

    def topic(self, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        name = f"t-{uuid.uuid4().hex[:8]}"
        self.admin.create_topic(name, partitions, config=config)
        return name

    def consumer(
        self,
        topic: str,
        group: str = "g",
        listener: Listener | None = None,
        broker: Broker | None = None,
        **options: Any,
    ) -> Consumer:
        chosen = broker or self.broker
        return self._keep(
            chosen.consumer(topic, f"{topic}-{group}", listener or Listener(), **options)
        )

    def producer(
        self, transactional_id: str | None = None, broker: Broker | None = None
    ) -> Producer:
        return self._keep((broker or self.broker).producer(transactional_id))

    def reader(self, topic: str) -> Reader:
        return self._keep(self.broker.reader(topic))

    def fill(
        self, topic: str, partition: int, values: Sequence[bytes | None], **columns: Any
    ) -> None:
        """Produce one column, acknowledged."""
        producer = self.producer()
        keys = columns.pop("keys", [b"k"] * len(values))
        producer.produce(topic, partition, keys, values, **columns)
        producer.flush(PATIENCE_S)

    def close(self) -> None:
        for close in reversed(self._open):  # closing twice is allowed
            close()

    def _keep(self, kept: Kept) -> Kept:
        self._open.append(kept.close)
        return kept


def collect(
    consumers: Consumer | Sequence[Consumer], enough: int, max_records: int = 1000
) -> list[PartitionBatch]:
    """Poll in turn until `enough` records have come."""
    members = consumers if isinstance(consumers, Sequence) else [consumers]
    batches: list[PartitionBatch] = []
    deadline = time.monotonic() + PATIENCE_S
    while sum(map(len, batches)) < enough:
        assert time.monotonic() < deadline, (
            f"only {sum(map(len, batches))} of {enough} records came"
        )
        for member in members:
            batches += member.poll(0.1, max_records)
    return batches


def read_to(reader: Reader, ends: dict[int, int]) -> list[PartitionBatch]:
    """Poll until the position of each partition has reached its end."""
    batches: list[PartitionBatch] = []
    deadline = time.monotonic() + PATIENCE_S
    while any(reader.position(partition) < end for partition, end in ends.items()):
        assert time.monotonic() < deadline, f"the positions are behind {ends}"
        batches += reader.poll(0.1, 1000)
    return batches


def stored(consumer: Consumer, partitions: Collection[int]) -> dict[int, int | None]:
    """The committed offsets, once no transaction holds any of them."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(BrokerUnavailable):
            if len(found := consumer.committed(partitions)) == len(set(partitions)):
                return found
        time.sleep(0.02)
    raise AssertionError(f"the committed offsets of {sorted(partitions)} are not decided")


def begin(reader: Reader, *partitions: int) -> Reader:
    """Reading these from their first records."""
    reader.start(reader.first(partitions))
    return reader


def poll_until(consumers: Sequence[Consumer], holds: Callable[[], object]) -> list[PartitionBatch]:
    """Poll in turn until something is true; what came meanwhile is returned."""
    batches: list[PartitionBatch] = []
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        for member in consumers:
            batches += member.poll(0.05, 1000)
    return batches


def poll_for(consumers: Sequence[Consumer], seconds: float) -> list[PartitionBatch]:
    """Poll in turn for a while."""
    batches: list[PartitionBatch] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for member in consumers:
            batches += member.poll(0.05, 1000)
    return batches


def values(batches: Sequence[PartitionBatch], partition: int | None = None) -> list[bytes | None]:
    """Every value, in the order of arrival."""
    return [
        value for batch in batches if partition in (None, batch.partition) for value in batch.values
    ]


def numbers(count: int, start: int = 0) -> list[bytes | None]:
    """Distinct values."""
    return [b"%d" % number for number in range(start, start + count)]
