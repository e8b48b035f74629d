"""The in-process broker with faults that a test orders."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

from eddycast.service.broker.memory.admin import MemoryAdmin
from eddycast.service.broker.memory.broker import MemoryBroker
from eddycast.service.broker.memory.consumer import MemoryConsumer
from eddycast.service.broker.memory.log import Column, Log, Transaction, TransactionState
from eddycast.service.broker.memory.producer import MemoryProducer
from eddycast.service.broker.memory.reader import MemoryReader
from eddycast.service.broker.port import Consumer, RebalanceListener
from eddycast.service.errors import (
    BrokerError,
    BrokerUnavailable,
    CommitUnknown,
    MembershipLost,
    ProduceFailed,
    TransactionFailed,
)
from eddycast.service.records import PartitionBatch

#: Calls that can fail, each with the error it raises unless the test orders another.
FAULTS: dict[str, type[BrokerError]] = {
    "poll": BrokerUnavailable,
    "committed": BrokerUnavailable,
    "read": BrokerUnavailable,  # the reader's poll
    "end": BrokerUnavailable,  # the reader's lookup of high watermarks
    "producer": BrokerUnavailable,  # a new producer
    "commit": MembershipLost,  # the consumer's, and the admin's setting of offsets
    "produce": ProduceFailed,  # the column is not stored; `flush` raises
    "flush": ProduceFailed,  # the records are stored all the same
    "begin": TransactionFailed,
    "probe": TransactionFailed,
    "send_offsets": TransactionFailed,
    "transaction": TransactionFailed,  # the producer's commit: aborted
    "answer": CommitUnknown,  # the producer's commit succeeds, its answer is lost
}
#: Those that a service outlives without a commit or poll of its consumer failing, in the order in
#: which hypothesis simplifies them.
RECOVERABLE = (
    "produce",
    "flush",
    "begin",
    "send_offsets",
    "transaction",
    "answer",
    "producer",
    "committed",
    "end",
    "read",
)


class Faults:
    """Faults that are ordered and have not happened yet. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ordered: dict[str, list[BrokerError]] = defaultdict(list)
        self._stalled_since: float | None = None
        self._asleep = False

    def add(self, what: str, times: int, error: BrokerError | None) -> None:
        """Order `times` faults. Raises ValueError for a call that cannot fail."""
        if what not in FAULTS:
            raise ValueError(f"{what!r} cannot fail, only {', '.join(FAULTS)} can")
        with self._lock:
            self._ordered[what] += [error or FAULTS[what](f"{what} fails on demand")] * times

    def clear(self) -> None:
        """Cancel every fault that is ordered."""
        with self._lock:
            self._ordered.clear()

    def strike(self, what: str) -> None:
        """Raise the next fault ordered for `what`, if there is one."""
        with self._lock:
            error = self._ordered[what].pop(0) if self._ordered[what] and not self._asleep else None
        if error is not None:
            raise error

    @contextmanager
    def sleep(self) -> Iterator[None]:
        """Postpone every fault until the block ends."""
        self._asleep = True
        try:
            yield
        finally:
            self._asleep = False

    @contextmanager
    def stall(self) -> Iterator[None]:
        """Let every poll come back empty during the block,
        as with a broker that does not answer fetches."""
        self._stalled_since = time.monotonic()
        try:
            yield
        finally:
            self._stalled_since = None

    @property
    def stalled(self) -> bool:
        """True while fetches are not answered."""
        return self._stalled_since is not None

    def silence_s(self) -> float:
        """Seconds since fetches are not answered."""
        return 0.0 if self._stalled_since is None else time.monotonic() - self._stalled_since


class FaultyBroker(MemoryBroker):
    """A `MemoryBroker` whose calls fail as ordered,
    and to which happens what happens to real brokers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.faults = Faults()
        self._late: set[str] = set()
        # markers that are written when `late_marks` ends
        self._owed: list[tuple[Log, Transaction]] = []

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest"
    ) -> FaultyConsumer:
        consumer = FaultyConsumer(self, topic, group, listener, start_at, self._changed)
        consumer.faults = self.faults
        return consumer

    def reader(self, topic: str) -> FaultyReader:
        reader = FaultyReader(self, topic, self._changed)
        reader.faults = self.faults
        return reader

    def producer(
        self, transactional_id: str | None = None, timeout_s: float = 10.0
    ) -> FaultyProducer:
        self.faults.strike("producer")
        producer = FaultyProducer(self, transactional_id, self._changed)
        producer.faults = self.faults
        return self._register(producer, transactional_id)

    def admin(self) -> FaultyAdmin:
        admin = FaultyAdmin(self)
        admin.faults = self.faults
        return admin

    def fail_next(self, what: str, times: int = 1, error: BrokerError | None = None) -> None:
        """Let the next `times` calls fail. `what` is one of FAULTS, which names the usual error."""
        self.faults.add(what, times, error)

    def expel(self, consumer: MemoryConsumer) -> None:
        """End a member's session, as when it was silent for too long:
        its next poll calls `lost` and joins again."""
        with self._changed:
            self.group(consumer.topic, consumer.group).leave(consumer)
            self._changed.notify_all()

    def expire(self, transactional_id: str | None = None) -> None:
        """End the open transaction of a producer, or of all, by its time-out;
        the producer is fenced, as on Kafka."""
        with self._changed:
            for name, owner in self._owners.items():
                if transactional_id in (None, name) and isinstance(owner, FaultyProducer):
                    owner.time_out()

    @contextmanager
    def late_marks(self, topic: str) -> Iterator[None]:
        """During the block transactions end everywhere but in this topic: their offsets are known,
        and readers of the topic's committed records wait, as when the end of a transaction reaches
        one broker before another."""
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

    def end(self, transaction: Transaction, state: TransactionState) -> None:
        late = [log for log in transaction.started if log.topic in self._late]
        self._owed += [(log, transaction) for log in late]
        transaction.state = state
        for log in transaction.started:
            if log not in late:
                log.mark(transaction)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete the records of a partition before an offset, as retention does."""
        with self._changed:
            log = self.logs(topic)[partition]
            log.first = max(log.first, min(before, log.stable_end))

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        with self._changed:
            logs = self.logs(topic)
            logs += [Log(topic, p) for p in range(len(logs), partitions)]
            self._changed.notify_all()

    def delete_topic(self, topic: str) -> None:
        """Delete a topic; one of the same name may be created afterwards."""
        with self._changed:
            self._topics.pop(topic, None)


class FaultyConsumer(MemoryConsumer):
    """Fails at "poll", "commit" and "committed"; brings nothing while the broker stalls."""

    faults: Faults

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        self._check_open()
        self.faults.strike("poll")
        return super().poll(timeout_s, max_records)

    def silence_s(self) -> float:
        return self.faults.silence_s()

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._check_open()
        self.faults.strike("commit")
        super().commit(offsets)

    def committed(
        self, partitions: Collection[int], timeout_s: float = 10.0
    ) -> dict[int, int | None]:
        self.faults.strike("committed")
        return super().committed(partitions, timeout_s)

    def _fetch(self, max_records: int) -> list[PartitionBatch]:
        return [] if self.faults.stalled else super()._fetch(max_records)


class FaultyReader(MemoryReader):
    """Fails at "read" and "end"."""

    faults: Faults

    def end(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:
        self.faults.strike("end")
        return super().end(partitions, timeout_s)

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        self.faults.strike("read")
        return super().poll(timeout_s, max_records)


class FaultyAdmin(MemoryAdmin):
    """Fails at "commit" when it sets offsets."""

    faults: Faults

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        self.faults.strike("commit")
        super().set_group_offsets(group, topic, offsets)


class FaultyProducer(MemoryProducer):
    """Fails at the other FAULTS. A fault inside a transaction is final, as on Kafka."""

    faults: Faults

    def flush(self, timeout_s: float) -> None:
        self._check_alive()
        try:
            self.faults.strike("flush")
        except BrokerError as error:
            self._rejected = self._rejected or error
        super().flush(timeout_s)

    def begin(self) -> None:
        self._check_alive()
        self._strike("begin")
        super().begin()

    def send_offsets(
        self, topic: str, offsets: Mapping[int, int], consumer: Consumer, timeout_s: float = 10.0
    ) -> None:
        self._opened()
        self._strike("send_offsets")
        super().send_offsets(topic, offsets, consumer, timeout_s)

    def probe(self, places: Collection[tuple[str, int]], timeout_s: float = 10.0) -> None:
        self._check_alive()
        try:
            self.faults.strike("probe")
        except BrokerError as error:
            self._broken = str(error)
            raise
        super().probe(places, timeout_s)

    def commit(self, timeout_s: float = 10.0) -> None:
        self._opened()
        self.flush(timeout_s)
        self._strike("transaction")
        super().commit(timeout_s)
        try:
            self.faults.strike("answer")
        except BrokerError as error:
            self._fail(str(error), CommitUnknown)

    def time_out(self) -> None:
        """End the open transaction, as the broker does after its time-out.
        The caller holds the broker's lock."""
        if self._open is not None:
            self._end(TransactionState.ABORTED)
            self._fenced = True
            self._broken = "the transaction took longer than its time-out"

    def _store(self, topic: str, partition: int, column: Column) -> None:
        self.faults.strike("produce")
        super()._store(topic, partition, column)

    def _strike(self, what: str) -> None:
        try:
            self.faults.strike(what)
        except BrokerError as error:
            self._fail(str(error))
