"""The commit: what becomes durable, in which order, and what a crash in between means. docs/durability.md says it for
people. Delivery `exactly_once`:

    1  begin      a transaction, with the first output after a commit
    2  produce    forecasts and dead letters, as they come
    3  produce    of each partition with something new: the model, if it is new there, its rows touched since the last
                  commit, tombstones, the marker
    4  flush      every one of these records is acknowledged, each result checked
    5  offsets    the next offsets of the input, fenced by the membership that the last poll captured
    6  commit     all of it becomes visible at once
    7  forget     what was kept to undo it

    crash before 6 is asked for      the broker aborts the transaction: nobody sees any of it, the offsets are those of
                                     the last commit, and the same records are read again by rows restored to it
    crash while 6 is under way       the broker has decided, or aborts: whoever restores waits until it is known
    crash after 6                    outputs, rows and offsets are all there: the next records are read

`at_least_once` differs in step 2 alone: outputs go through a producer of their own, are acknowledged and checked at
once, and can be read without waiting for step 6. After a crash before 6 they stay and come again; rows and offsets
still become durable together, so a record never counts twice in a stream's state.

Nothing is retried here. Whatever fails, the caller rolls back and reads again from the last commit. A producer inside
whose transaction something failed is never used again: it may hang, or carry offsets of the failed transaction into
the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from service.broker.port import Consumer, Producer
from service.errors import BrokerError
from service.observability.log import get_log
from service.processing.outputs import Output
from service.state.store import Store

Clock = Callable[[], float]
#: How long a producer that is given up may take to close, s.
_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Producers:
    """Where producers come from, each call a new one: of transactions, and of outputs that wait for none (None where
    delivery is exactly once)."""

    transactions: Callable[[], Producer]
    outputs: Callable[[], Producer] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """When a commit is due."""

    interval_s: float = 0.1
    steps: int = 200_000  # of the graph within one transaction


class Checkpoint:
    """Outputs, rows and offsets that are not durable yet. Belongs to the thread that polls."""

    def __init__(
        self,
        producers: Producers,
        consumer: Consumer,
        store: Store,
        topics: tuple[str, str],
        limits: Limits,
        passing: Callable[[str], None],
        clock: Clock = time.monotonic,
    ) -> None:
        """`topics`: the input and the changelog. `passing` is told of each step that is done (`faults.py`)."""
        self._producers, self._consumer, self._store = producers, consumer, store
        self._input, self._changelog = topics
        self._limits, self._passing, self._clock = limits, passing, clock
        self._transactions: Producer | None = None
        self._outputs: Producer | None = None
        self._open = False
        #: Of the graph, since the last commit: the caller adds them.
        self.steps = 0
        #: Rows and tombstones that the last commit wrote.
        self.written = 0
        self._tried = clock()
        #: The next offset of each partition that is served: as of the last commit, and as of what is done since.
        self.committed: dict[int, int] = {}
        self.done: dict[int, int] = {}

    def start(self, partition: int, offset: int) -> None:
        """A partition is served from here on; what is before is durable."""
        self.committed[partition] = offset

    def produce(self, output: Output) -> None:
        """Steps 1 and 2. Raises RecordTooLarge, BrokerUnavailable, TransactionFailed."""
        producer = self._transaction() if self._producers.outputs is None else self._plain(self._producers.outputs)
        producer.produce(output.topic, output.partition, output.keys, output.values, output.headers)

    def record(self, partition: int, next_offset: int) -> None:
        """The records of a partition up to `next_offset` are done."""
        self.done[partition] = next_offset

    def position(self, partition: int) -> int:
        """The next offset of a partition that is served: what is before it is done."""
        return self.done.get(partition, self.committed[partition])

    def remaining(self) -> float:
        """Seconds until the next commit is due, at least 0; infinite when there is nothing to commit."""
        if not self.done:
            return float("inf")
        if self.steps >= self._limits.steps:
            return 0.0
        return max(0.0, self._tried + self._limits.interval_s - self._clock())

    def due(self) -> bool:
        """Whether it is time to commit."""
        return self.remaining() == 0.0

    def flush(self, within_s: float) -> bool:
        """At least once: every output is acknowledged. Otherwise nothing happens before the commit; False then.
        Raises ProduceFailed, RecordTooLarge."""
        if self._outputs is None:
            return False
        self._outputs.flush(within_s)
        return True

    def commit(self, within_s: float) -> dict[int, int]:
        """Steps 3 to 7 (and 1, if there was no output); the offsets stored, by partition.

        Raises MembershipLost, TransactionFailed and its kinds, ProduceFailed, RecordTooLarge, BrokerUnavailable:
        the caller then rolls back. After CommitUnknown only the changelog says which rows are true.
        """
        try:
            return self._commit(self._clock() + within_s)
        finally:  # counted from its end: where commits are slow, there is still work between them
            self._tried = self._clock()

    def probe(self, topics: Collection[str], partition: int, within_s: float) -> None:
        """Commit nothing, to a partition of these topics and the changelog. Only where nothing waits to be committed.
        Raises TransactionFailed, BrokerUnavailable, BrokerError; the producer is given up then."""
        try:
            self.connect().probe([(topic, partition) for topic in (*topics, self._changelog)], within_s)
        except BrokerError:
            self._give_up()
            raise

    def roll_back(self, within_s: float, keep_producer: bool) -> None:
        """Rows, offsets and outputs are what they were at the last commit.

        `keep_producer`: nothing that was asked of the broker failed, so the producer may abort and go on. Otherwise
        it is given up, and the next transaction has a new one, which the broker fences the old one by.
        """
        self._store.roll_back()
        self.done, self.steps = {}, 0
        if keep_producer and self._transactions is not None:
            try:
                if self._open:
                    self._transactions.abort(within_s)
                self._open = False
                return
            except BrokerError as error:
                get_log().debug("the abort failed as well", reason=error.what)
        self._give_up()

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are no longer served here."""
        self._store.forget(partitions)
        for partition in partitions:
            self.committed.pop(partition, None)
            self.done.pop(partition, None)

    def connect(self) -> Producer:
        """The producer for transactions, a new one if there is none: whatever one of ours left open ends by that.
        Raises BrokerUnavailable, TransactionFailed."""
        self._transactions = self._transactions or self._producers.transactions()
        return self._transactions

    def close(self) -> None:
        """Give up the producers. What is not committed never happened, outputs at least once excepted."""
        self._give_up()
        if self._outputs is not None:
            self._outputs.close(_CLOSE_S)

    def _commit(self, deadline: float) -> dict[int, int]:
        if not self.done:
            return {}
        self.flush(self._left(deadline))
        producer = self._transaction()  # 1
        self._passing("commit.2")
        written = 0
        for partition, offset in self.done.items():
            changes = self._store.changes(partition, offset)
            producer.produce(self._changelog, partition, changes.keys, changes.values)  # 3
            written += changes.rows
        self._passing("commit.3")
        producer.flush(self._left(deadline))  # 4
        self._passing("commit.4")
        producer.send_offsets(self._input, self.done, self._consumer, self._left(deadline))  # 5
        self._passing("commit.5")
        producer.commit(self._left(deadline))  # 6
        self._open = False
        self._passing("commit.6")
        self._store.commit()  # 7
        offsets, self.done, self.steps, self.written = self.done, {}, 0, written
        self.committed |= offsets
        self._passing("commit.7")
        return offsets

    def _transaction(self) -> Producer:
        """Step 1, unless it is done."""
        producer = self.connect()
        if not self._open:
            producer.begin()
            self._open = True
            self._passing("commit.1")
        return producer

    def _plain(self, new: Callable[[], Producer]) -> Producer:
        if self._outputs is None:
            self._outputs = new()
        return self._outputs

    def _give_up(self) -> None:
        transactions, self._transactions = self._transactions, None
        self._open = False
        if transactions is not None:
            transactions.close(_CLOSE_S)

    def _left(self, deadline: float) -> float:
        return max(deadline - self._clock(), 0.0)
