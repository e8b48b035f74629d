"""The in-process broker's producer, with transactions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from threading import Condition
from typing import NoReturn

from eddycast.service.broker.memory.cluster import Cluster
from eddycast.service.broker.memory.consumer import MemoryConsumer
from eddycast.service.broker.memory.log import Column, Transaction, TransactionState
from eddycast.service.broker.port import Connection, Consumer
from eddycast.service.errors import (
    BrokerError,
    MembershipLost,
    ProducerFenced,
    RecordRefused,
    RecordTooLarge,
    TransactionFailed,
)
from eddycast.service.records import Headers


class MemoryProducer(Connection):
    """A `port.Producer`. As on Kafka, a failure inside a transaction is final for a producer with a
    transactional id: it can only be closed, and a new one of the same id takes its place.
    """

    def __init__(self, cluster: Cluster, transactional_id: str | None, changed: Condition) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self._changed = changed
        self._rejected: BrokerError | None = None  # the first failure since the last flush
        self._broken: str | None = None
        self._fenced = False
        self._open: Transaction | None = None

    def produce(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None = None,
    ) -> None:
        """See `port.Producer`. A record with neither key nor value gets an empty value,
        as on Kafka."""
        self._check_alive()
        if self._id is not None and self._open is None:
            raise TransactionFailed("no transaction is open")
        column = Column.of(keys, values, headers)
        if not column.keys:
            return
        self._cluster.check_size(topic, column)
        try:
            self._store(topic, partition, column)
        except BrokerError as error:
            self._rejected = self._rejected or error

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - nothing here takes time
        """See `port.Producer`."""
        self._check_alive()
        failure, self._rejected = self._rejected, None
        if failure is not None and self._id is not None:
            self._fail(
                str(failure),
                RecordRefused if isinstance(failure, RecordTooLarge) else TransactionFailed,
            )
        if failure is not None:
            raise failure

    def begin(self) -> None:
        """See `port.Producer`."""
        self._check_alive()
        if self._id is None:
            raise TransactionFailed("this producer has no transactional id")
        if self._open is not None:
            raise TransactionFailed("a transaction is open already", "commit or abort it first")
        self._open = Transaction()

    def send_offsets(
        self,
        topic: str,
        offsets: Mapping[int, int],
        consumer: Consumer,
        timeout_s: float = 10.0,  # noqa: ARG002 - nothing here takes time
    ) -> None:
        """See `port.Producer`."""
        transaction = self._opened()
        if not isinstance(consumer, MemoryConsumer):
            raise TypeError("the offsets of a transaction come from a consumer of the same broker")
        if consumer.membership is None:
            raise MembershipLost(f"not a member of the group that reads {topic}")
        with self._changed:
            try:
                consumer.check_owner(offsets)
            except MembershipLost as error:
                self._fail(str(error))
            self._cluster.group(topic, consumer.group).pending.setdefault(transaction, {}).update(
                offsets
            )

    def probe(self, places: Collection[tuple[str, int]], timeout_s: float = 10.0) -> None:  # noqa: ARG002
        """See `port.Producer`."""
        self._check_alive()
        if self._open is not None:
            raise TransactionFailed("a transaction is open already", "commit or abort it first")

    def commit(self, timeout_s: float = 10.0) -> None:
        """See `port.Producer`."""
        self._opened()
        self.flush(timeout_s)
        with self._changed:
            self._end(TransactionState.COMMITTED)

    def abort(self, timeout_s: float = 10.0) -> None:  # noqa: ARG002 - nothing here takes time
        """See `port.Producer`."""
        if self._broken is None and self._open is not None:
            self._rejected = None
            with self._changed:
                self._end(TransactionState.ABORTED)

    def close(self, timeout_s: float = 1.0) -> None:  # noqa: ARG002 - nothing here takes time
        """See `port.Producer`."""
        self.abort()
        self._broken = self._broken or "closed"

    def fence(self) -> None:
        """Abort an open transaction and refuse further calls: a newer producer owns the
        transactional id. The caller holds the broker's lock."""
        self._end(TransactionState.ABORTED)
        self._fenced = True
        self._broken = (
            self._broken or f"the transactional id {self._id!r} was taken over by a newer producer"
        )

    def _end(self, state: TransactionState) -> None:
        transaction, self._open = self._open, None
        if transaction is None:
            return
        self._cluster.end(transaction, state)
        for group in self._cluster.groups():
            offsets = group.pending.pop(transaction, {})
            if state is TransactionState.COMMITTED:
                group.committed.update(offsets)
        self._changed.notify_all()

    def _store(self, topic: str, partition: int, column: Column) -> None:
        with self._changed:
            self._cluster.store(topic, partition, column, self._open)

    def _fail(self, why: str, kind: type[TransactionFailed] = TransactionFailed) -> NoReturn:
        with self._changed:
            self._end(TransactionState.ABORTED)
        self._rejected = None
        self._broken = why
        raise kind(why)

    def _opened(self) -> Transaction:
        self._check_alive()
        if self._open is None:
            raise TransactionFailed("no transaction is open")
        return self._open

    def _check_alive(self) -> None:
        if self._broken is not None:
            kind = ProducerFenced if self._fenced else TransactionFailed
            raise kind(f"this producer failed before: {self._broken}", "create a new one")
