"""A broker inside the process: the same port, the same order of events, and faults on demand.

For demos and tests. Topics keep everything and nothing survives the process. There are no timers: a member that stops
polling keeps its partitions, and an abandoned transaction stays open until a new producer takes over its id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Condition

from service.broker.memory.consumer import MemoryConsumer
from service.broker.memory.faults import Faults
from service.broker.memory.group import Group
from service.broker.memory.log import DEFAULTS, Column, Log, Record, State, Topic, Transaction
from service.broker.memory.producer import MemoryProducer
from service.broker.memory.reader import MemoryReader
from service.broker.port import RebalanceListener
from service.errors import BrokerError, MembershipLost, ProduceFailed, RecordTooLarge, TopicMissing


class MemoryBroker:
    """A `port.Broker`. Every object made by one broker sees the same topics and groups, from any thread.

    `clock` gives seconds since the epoch and stamps records.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        max_request_bytes: int = 1024 * 1024,
    ) -> None:
        self.faults = Faults()
        self._clock = clock
        self._limit = max_request_bytes
        self._changed = Condition()
        self._topics: dict[str, Topic] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._late: set[str] = set()
        self._owed: list[tuple[Log, Transaction]] = []  # marks to be left when it is time
        self._owners: dict[str, MemoryProducer] = {}  # transactional id -> who may use it

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest"
    ) -> MemoryConsumer:
        """See `port.Broker`."""
        return MemoryConsumer(self, topic, group, listener, start_at, self._changed)

    def reader(self, topic: str) -> MemoryReader:
        """See `port.Broker`."""
        return MemoryReader(self, topic, self._changed)

    def producer(self, transactional_id: str | None = None, timeout_s: float = 10.0) -> MemoryProducer:  # noqa: ARG002
        """See `port.Broker`."""
        self.faults.strike("producer")
        producer = MemoryProducer(self, transactional_id, self._changed)
        if transactional_id is not None:
            with self._changed:
                earlier = self._owners.get(transactional_id)
                if earlier is not None:
                    earlier.fence()
                self._owners[transactional_id] = producer
        return producer

    def leave(self, group: str) -> None:
        """See `port.Broker`. There are no static members here."""

    def admin(self) -> MemoryAdmin:
        """See `port.Broker`."""
        return MemoryAdmin(self)

    def fail_next(self, what: str, times: int = 1, error: BrokerError | None = None) -> None:
        """Let the next `times` calls fail. `what` is one of `memory_faults.FAULTS`, which names the usual error."""
        self.faults.add(what, times, error)

    def expel(self, consumer: MemoryConsumer) -> None:
        """End a member's session, as when it was silent for too long. Its next poll says `lost` and joins again."""
        with self._changed:
            self.group(consumer.topic, consumer.group).leave(consumer)
            self._changed.notify_all()

    def expire(self, transactional_id: str | None = None) -> None:
        """End the open transaction of a producer, or of all, by its time-out; the producer is fenced, as on Kafka."""
        with self._changed:
            for name, owner in self._owners.items():
                if transactional_id in (None, name):
                    owner.time_out()

    @contextmanager
    def late_marks(self, topic: str) -> Iterator[None]:
        """While the block lasts, transactions end everywhere but in this topic: their offsets are told, and whoever
        reads committed records of the topic waits, as when the end of a transaction reaches one broker before another.
        """
        self._late.add(topic)
        try:
            yield
        finally:
            with self._changed:
                self._late.discard(topic)
                for log, transaction in self._owed:
                    log.mark(transaction)
                self._owed.clear()
                self._changed.notify_all()

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Let retention delete the records of a partition before an offset."""
        with self._changed:
            self.logs(topic)[partition].delete(before)

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        with self._changed:
            logs = self.logs(topic)
            logs += [Log(topic, p) for p in range(len(logs), partitions)]
            self._changed.notify_all()

    def delete_topic(self, topic: str) -> None:
        """Forget a topic; one of the same name may be created afterwards."""
        with self._changed:
            self._topics.pop(topic, None)

    def read(self, topic: str, isolation: str = "read_committed") -> list[Record]:
        """Every record of a topic by partition and offset; `read_uncommitted` adds those of open and aborted
        transactions."""
        with self._changed:
            return [record for log in self.logs(topic) for record in log.records(isolation)]

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic unless it exists."""
        with self._changed:
            if topic not in self._topics:
                self._topics[topic] = Topic([Log(topic, p) for p in range(partitions)], DEFAULTS | dict(config))
                self._changed.notify_all()

    def config(self, topic: str) -> dict[str, str]:
        """What holds for a topic. Raises TopicMissing."""
        found = self._topics.get(topic)
        if found is None:
            raise TopicMissing(f"there is no topic {topic}")
        return dict(found.config)

    def topics(self) -> list[str]:
        """The names of all."""
        return list(self._topics)

    def logs(self, topic: str) -> list[Log]:
        """A topic's partitions; none if there is no such topic. Needs the lock, as do the next calls."""
        found = self._topics.get(topic)
        return found.logs if found is not None else []

    def group(self, topic: str, name: str) -> Group:
        """A consumer group, made when it is first asked for."""
        return self._groups.setdefault((topic, name), Group())

    def members(self, name: str) -> int:
        """Members of a group, whatever they read."""
        return sum(len(group.members) for (_, own), group in self._groups.items() if own == name)

    def groups(self) -> list[Group]:
        """Every group."""
        return list(self._groups.values())

    def end(self, transaction: Transaction, state: State) -> None:
        """Mark the end of a transaction, at once or when it is time."""
        late = [log for log in transaction.started if log.topic in self._late]
        self._owed += [(log, transaction) for log in late]
        transaction.end(state, late)

    def store(self, topic: str, partition: int, column: Column, owner: Transaction | None) -> None:
        """Append a column of records. Raises ProduceFailed and RecordTooLarge, then nothing is stored."""
        where = f"{topic} partition {partition}"
        logs = self.logs(topic)
        if not 0 <= partition < len(logs):
            raise ProduceFailed(f"a record for {where} was not acknowledged: no such partition", "create the topic")
        limit = self._topics[topic].max_message_bytes
        if (size := column.largest) > limit:
            raise RecordTooLarge(f"a record of {size} bytes for {where} exceeds the topic's limit of {limit}")
        stamp = int(self._clock() * 1000)
        logs[partition].append(column, stamp, owner)
        self._changed.notify_all()

    def check_size(self, topic: str, column: Column) -> None:
        """Raise RecordTooLarge for a record beyond the client's own limit."""
        if (size := column.largest) > self._limit:
            raise RecordTooLarge(f"a record of {size} bytes for {topic} exceeds the limit of {self._limit}")


class MemoryAdmin:
    """A `port.Admin`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def partitions(self, topic: str) -> int | None:
        """See `port.Admin`."""
        return len(self._broker.logs(topic)) or None

    def topics(self) -> list[str]:
        """See `port.Admin`."""
        return self._broker.topics()

    def operations(self, topic: str) -> frozenset[str] | None:  # noqa: ARG002 - the port's signature
        """See `port.Admin`. There is no access control."""
        return None

    def create_topic(
        self, topic: str, partitions: int, replication: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """See `port.Admin`. Of `config` only `max.message.bytes` has an effect; there is one replica in any case."""
        if partitions < 1 or replication < 1:
            raise BrokerError(f"cannot create {topic}: a topic has at least one partition and one replica")
        self._broker.create(topic, partitions, config or {})

    def config(self, topic: str) -> dict[str, str]:
        """See `port.Admin`."""
        return self._broker.config(topic)

    def replication(self, topic: str) -> int:
        """See `port.Admin`. Always 1."""
        self._broker.config(topic)
        return 1

    def members(self, group: str) -> int:
        """See `port.Admin`."""
        return self._broker.members(group)

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """See `port.Admin`."""
        return dict(self._broker.group(topic, group).committed)

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """See `port.Admin`."""
        self._broker.faults.strike("commit")
        if self._broker.members(group):
            raise MembershipLost(f"cannot store offsets of the group {group}: it has members")
        self._broker.group(topic, group).committed.update(offsets)

    def check_transactional_id(self, transactional_id: str) -> None:
        """See `port.Admin`. There is no access control."""

    def close(self) -> None:
        """See `port.Admin`."""
