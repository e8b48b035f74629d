"""The commit: what becomes durable, in which order, and what a crash between two steps means.
docs/durability.md explains it for operators. Delivery `exactly_once`:

    1  begin      a transaction, with the first output after a commit
    2  produce    forecasts and dead letters, as they come
    3  produce    for each partition with something new: the model record if it is new there, the
                  rows touched since the last commit, tombstones, the marker
    4  flush      every one of these records is acknowledged, each result checked
    5  offsets    the next offsets of the input, fenced by the membership captured in the last poll
    6  commit     all of it becomes visible at once
    7  forget     the copies kept for a rollback

    crash before 6 is requested      the broker aborts the transaction: none of it is ever visible,
                                     the offsets are those of the last commit, and the same records
                                     are read again with the rows restored to it
    crash while 6 is in progress     the broker has committed or will abort:
                                     a restore waits until that is decided
    crash after 6                    outputs, rows and offsets are durable:
                                     the next records are read

`at_least_once` differs in step 2 alone: outputs go through a second producer, are acknowledged and
checked at once, and can be read without waiting for step 6. After a crash before 6 they stay and
are produced again; rows and offsets still become durable together, so a record never counts twice
in a stream's state.

Nothing is retried here. After a failure the caller rolls back and reads again from the last commit.
A producer that failed inside a transaction is never used again: it may hang, or carry offsets of
the failed transaction into the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from eddycast.service.broker.port import Consumer, Producer
from eddycast.service.delivery.partition import Partitions
from eddycast.service.errors import BrokerError
from eddycast.service.observability.log import get_log
from eddycast.service.processing.outputs import Output
from eddycast.service.settings.commit import CommitSettings
from eddycast.service.state.store import Store

Clock = Callable[[], float]
#: Time-out for closing a producer, s.
_CLOSE_S = 0.5
#: Time between two commits while records wait, as a multiple of a commit's.
_WORK = 2.0


@dataclass(frozen=True, slots=True)
class Producers:
    """Factories of producers: transactional ones, and those of outputs outside transactions (None
    where delivery is exactly once)."""

    transactions: Callable[[], Producer]
    outputs: Callable[[], Producer] | None = None


class Checkpoint:
    """Outputs, rows and offsets that are not durable yet. Used by the polling thread alone."""

    def __init__(
        self,
        partitions: Partitions,
        producers: Producers,
        consumer: Consumer,
        store: Store,
        topics: tuple[str, str],
        settings: CommitSettings,
        reached: Callable[[str], None],
        clock: Clock = time.monotonic,
    ) -> None:
        """`topics`: the input and the changelog.
        `reached` is called with the name of each completed step."""
        self._partitions, self._producers, self._consumer, self._store = (
            partitions,
            producers,
            consumer,
            store,
        )
        self._input, self._changelog = topics
        self._settings, self._reached, self._clock = settings, reached, clock
        self._transactions: Producer | None = None
        self._outputs: Producer | None = None
        self._open = False
        #: Graph steps since the last commit; incremented by the caller.
        self.steps = 0
        #: Rows and tombstones written by the last commit.
        self.written = 0
        self._tried, self._took = clock(), 0.0

    def produce(self, output: Output) -> None:
        """Steps 1 and 2. Raises RecordTooLarge, BrokerUnavailable, TransactionFailed."""
        producer = (
            self._transaction()
            if self._producers.outputs is None
            else self._plain(self._producers.outputs)
        )
        producer.produce(output.topic, output.partition, output.keys, output.values, output.headers)

    def remaining(self, backlog: bool = False) -> float:
        """Seconds until the next commit is due, at least 0;
        infinite when there is nothing to commit. While more records wait (`backlog`), the interval
        is at least _WORK times as long as the last commit took."""
        if not self._partitions.has_uncommitted:
            return float("inf")
        if self.steps >= self._settings.max_steps:
            return 0.0
        interval = self._settings.interval_s
        if backlog:
            interval = max(interval, _WORK * self._took)
        return max(0.0, self._tried + interval - self._clock())

    def due(self, backlog: bool = False) -> bool:
        """True when it is time to commit, while more records wait or not."""
        return self.remaining(backlog) == 0.0

    def flush(self, within_s: float) -> bool:
        """With delivery at least once, wait until every output is acknowledged; otherwise do
        nothing and return False. Raises ProduceFailed, RecordTooLarge."""
        if self._outputs is None:
            return False
        self._outputs.flush(within_s)
        return True

    def commit(self, within_s: float) -> dict[int, int]:
        """Steps 3 to 7 (and 1, if there was no output); returns the offsets stored, by partition.

        Raises MembershipLost, TransactionFailed and its subclasses, ProduceFailed, RecordTooLarge,
        BrokerUnavailable: the caller then rolls back. After CommitUnknown rows must be restored
        from the changelog.
        """
        began = self._clock()
        try:
            offsets = self._commit(began + within_s)
            self._took = self._clock() - began
            return offsets
        finally:
            # the interval starts at the end of a commit: slow commits still leave time for work
            self._tried = self._clock()

    def probe(self, topics: Collection[str], partition: int, within_s: float) -> None:
        """Commit an empty transaction that covers a partition of these topics and of the changelog,
        while nothing is uncommitted. Raises TransactionFailed, BrokerUnavailable, BrokerError; the
        producer is then closed."""
        try:
            self.connect().probe(
                [(topic, partition) for topic in (*topics, self._changelog)], within_s
            )
        except BrokerError:
            self._close_transactions()
            raise

    def roll_back(self, within_s: float, keep_producer: bool) -> None:
        """Return rows, offsets and outputs to the last commit.

        `keep_producer`: no request to the broker failed, so the producer can abort and continue.
        Otherwise it is closed, and the next transaction starts with a new one, which fences the old
        one.
        """
        self._store.roll_back()
        self.steps = 0
        for partition in self._partitions:
            partition.done = None
        if keep_producer and self._transactions is not None:
            try:
                if self._open:
                    self._transactions.abort(within_s)
                self._open = False
                return
            except BrokerError as error:
                get_log().debug("the abort failed as well", reason=error.what)
        self._close_transactions()

    def connect(self) -> Producer:
        """The transactional producer, created if there is none; that aborts a transaction left open
        under the same id. Raises BrokerUnavailable, TransactionFailed."""
        self._transactions = self._transactions or self._producers.transactions()
        return self._transactions

    def close(self) -> None:
        """Close the producers; uncommitted transactions are aborted."""
        self._close_transactions()
        if self._outputs is not None:
            self._outputs.close(_CLOSE_S)

    def _commit(self, deadline: float) -> dict[int, int]:
        offsets = self._partitions.uncommitted
        if not offsets:
            return {}
        self.flush(self._left(deadline))
        producer = self._transaction()  # 1
        self._reached("commit.2")
        written = 0
        for partition, offset in offsets.items():
            changes = self._store.changes(partition, offset)
            producer.produce(self._changelog, partition, changes.keys, changes.values)  # 3
            written += changes.rows
        self._reached("commit.3")
        producer.flush(self._left(deadline))  # 4
        self._reached("commit.4")
        producer.send_offsets(self._input, offsets, self._consumer, self._left(deadline))  # 5
        self._reached("commit.5")
        producer.commit(self._left(deadline))  # 6
        self._open = False
        self._reached("commit.6")
        self._store.commit()  # 7
        self.steps, self.written = 0, written
        for partition, offset in offsets.items():
            self._partitions[partition].commit(offset)
        self._reached("commit.7")
        return offsets

    def _transaction(self) -> Producer:
        """Step 1, unless a transaction is open."""
        producer = self.connect()
        if not self._open:
            producer.begin()
            self._open = True
            self._reached("commit.1")
        return producer

    def _plain(self, new: Callable[[], Producer]) -> Producer:
        if self._outputs is None:
            self._outputs = new()
        return self._outputs

    def _close_transactions(self) -> None:
        transactions, self._transactions = self._transactions, None
        self._open = False
        if transactions is not None:
            transactions.close(_CLOSE_S)

    def _left(self, deadline: float) -> float:
        return max(deadline - self._clock(), 0.0)
