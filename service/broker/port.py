"""What Eddycast asks of a broker. Batch-wise: a poll gives columns, a produce takes columns.

Offsets, everywhere in this port, are *next* offsets: the first one not yet done
(`records.next_offset`). Implementations translate every client error into `service.errors`.
Nothing here is thread-safe; every object belongs to the thread that polls.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from service.records import PartitionBatch

Headers = list[tuple[str, bytes]]


class RebalanceListener(Protocol):
    """Called inside `Consumer.poll`, and nowhere else."""

    def assigned(self, partitions: Collection[int]) -> None:
        """These partitions are ours from now on (only the added ones: assignment is cooperative)."""

    def revoked(self, partitions: Collection[int]) -> None:
        """These partitions go to another member when this call returns: commit what is done, then forget."""

    def lost(self, partitions: Collection[int]) -> None:
        """These partitions already belong to another member: nothing may be committed for them."""


class Consumer(Protocol):
    """One member of a consumer group, reading committed records of one topic."""

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """Wait up to `timeout_s` for records. At most one batch a partition, none empty, at most
        `max_records` in all. Runs the rebalance listener. Raises BrokerUnavailable, BrokerError."""

    def assignment(self) -> frozenset[int]:
        """The partitions held now."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Store next offsets by partition, durably. Raises MembershipLost when the group has moved on,
        BrokerUnavailable when no broker answered in time (the outcome is then unknown) or while the group is still
        agreeing on a rebalance (nothing was stored): either way the same commit may succeed after the next poll."""

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        """The stored next offsets; None where there is none."""

    def seek(self, offsets: Mapping[int, int]) -> None:
        """The next poll of each partition starts at its offset."""

    def pause(self, partitions: Collection[int]) -> None:
        """Stop returning records of these partitions; membership is kept."""

    def resume(self, partitions: Collection[int]) -> None:
        """Undo `pause`."""

    def lag(self) -> dict[int, int]:
        """Records between the position and the end of each held partition, as far as known without a request."""

    def close(self) -> None:
        """Leave the group. Does not commit. Does not run the listener."""


class Producer(Protocol):
    """Columns out. Records of one partition keep their order.

    Without a transactional id a producer goes on after any failure. With one, a TransactionFailed is its end: every
    later call raises it again, `close` it and ask the broker for a new producer with the same id.
    """

    def produce(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None = None,
    ) -> None:
        """Queue a column of records, stamped with the wall clock. A value of None is a tombstone.
        Raises RecordTooLarge; every other failure is reported by `flush`."""

    def flush(self, timeout_s: float) -> None:
        """Wait until every record queued since the last flush is acknowledged and check each result.
        Raises ProduceFailed naming topic and partition of the first failure, RecordTooLarge if the topic refused the
        record for its size, TransactionFailed inside a transaction; the queue is then empty."""

    def begin(self) -> None:
        """Open a transaction (only for a producer with a transactional id). Raises TransactionFailed."""

    def send_offsets(self, topic: str, offsets: Mapping[int, int], consumer: Consumer) -> None:
        """Store the consumer group's next offsets as part of the open transaction, fenced by the consumer's membership
        as of its last poll. Raises MembershipLost if there is none (the producer goes on), TransactionFailed."""

    def commit(self) -> None:
        """Flush, check every result, make the transaction visible. Raises TransactionFailed when fenced or refused."""

    def abort(self) -> None:
        """Throw the open transaction away."""

    def close(self, timeout_s: float) -> None:
        """Give up the connection. An open transaction is aborted."""


class Admin(Protocol):
    """What is asked once, at start."""

    def partitions(self, topic: str) -> int | None:
        """How many partitions a topic has; None if there is no such topic. Raises BrokerUnavailable."""

    def create_topic(
        self, topic: str, partitions: int, replication: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic; one that exists already is left alone. Raises BrokerError."""

    def close(self) -> None:
        """Give up the connection."""


class Broker(Protocol):
    """Where consumers, producers and the admin come from: `broker/kafka.py` or `broker/memory.py`."""

    def consumer(self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest") -> Consumer:
        """Join `group`. `start_at` (earliest or latest) counts only where the group has no committed offset."""

    def producer(self, transactional_id: str | None = None) -> Producer:
        """An idempotent producer; transactional if it is given an id, which fences the id's earlier owner."""

    def admin(self) -> Admin:
        """Topics."""
