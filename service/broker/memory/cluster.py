"""The storage, groups and faults of an in-process broker: what its clients share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Condition

from service.broker.memory.faults import Faults
from service.broker.memory.group import Group
from service.broker.memory.log import DEFAULTS, Column, Log, Record, State, Topic, Transaction
from service.errors import BrokerError, ProduceFailed, RecordTooLarge, TopicMissing


class Cluster:
    """Topics and groups, under one lock. `clock` gives seconds since the epoch and stamps records."""

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

    def fail_next(self, what: str, times: int = 1, error: BrokerError | None = None) -> None:
        """Let the next `times` calls fail. `what` is one of `memory_faults.FAULTS`, which names the usual error."""
        self.faults.add(what, times, error)

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
