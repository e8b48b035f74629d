"""Topics and groups of an in-process broker, shared by its clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Condition

from eddycast.service.broker.memory.group import MemoryGroup
from eddycast.service.broker.memory.log import (
    DEFAULTS,
    Column,
    Log,
    Record,
    Topic,
    Transaction,
    TransactionState,
)
from eddycast.service.errors import ProduceFailed, RecordTooLarge, TopicMissing


class Cluster:
    """Topics and groups under one lock. Records are stamped by `clock`,
    in seconds since the epoch."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        max_request_bytes: int = 1024 * 1024,
    ) -> None:
        self._clock = clock
        self._limit = max_request_bytes
        self._changed = Condition()
        self._topics: dict[str, Topic] = {}
        self._groups: dict[tuple[str, str], MemoryGroup] = {}

    def read(self, topic: str, isolation: str = "read_committed") -> list[Record]:
        """Every record of a topic by partition and offset;
        `read_uncommitted` adds those of open and aborted transactions."""
        with self._changed:
            return [record for log in self.logs(topic) for record in log.records(isolation)]

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic unless it exists."""
        with self._changed:
            if topic not in self._topics:
                self._topics[topic] = Topic(
                    [Log(topic, p) for p in range(partitions)], DEFAULTS | dict(config)
                )
                self._changed.notify_all()

    def topic(self, name: str) -> Topic:
        """A topic. Raises TopicMissing."""
        found = self._topics.get(name)
        if found is None:
            raise TopicMissing(f"there is no topic {name}")
        return found

    def topics(self) -> list[str]:
        """Names of all topics."""
        return list(self._topics)

    def logs(self, topic: str) -> list[Log]:
        """Partitions of a topic; empty if there is no such topic.
        The caller holds the lock, here and below."""
        found = self._topics.get(topic)
        return found.logs if found is not None else []

    def group(self, topic: str, name: str) -> MemoryGroup:
        """A consumer group, created on first use."""
        return self._groups.setdefault((topic, name), MemoryGroup())

    def members(self, name: str) -> int:
        """Number of members of a group over all topics."""
        return sum(len(group.members) for (_, own), group in self._groups.items() if own == name)

    def groups(self) -> list[MemoryGroup]:
        """All groups."""
        return list(self._groups.values())

    def end(self, transaction: Transaction, state: TransactionState) -> None:
        """Mark the end of a transaction in every partition that it wrote to."""
        transaction.end(state)

    def store(self, topic: str, partition: int, column: Column, owner: Transaction | None) -> None:
        """Append a column of records. Raises ProduceFailed and RecordTooLarge,
        then nothing is stored."""
        where = f"{topic} partition {partition}"
        logs = self.logs(topic)
        if not 0 <= partition < len(logs):
            raise ProduceFailed(
                f"a record for {where} was not acknowledged: no such partition", "create the topic"
            )
        limit = self._topics[topic].max_message_bytes
        if (size := column.largest) > limit:
            raise RecordTooLarge(
                f"a record of {size} bytes for {where} exceeds the topic's limit of {limit}"
            )
        stamp = int(self._clock() * 1000)
        logs[partition].append(column, stamp, owner)
        self._changed.notify_all()

    def check_size(self, topic: str, column: Column) -> None:
        """Raise RecordTooLarge for a record beyond the client's own limit."""
        if (size := column.largest) > self._limit:
            raise RecordTooLarge(
                f"a record of {size} bytes for {topic} exceeds the limit of {self._limit}"
            )
