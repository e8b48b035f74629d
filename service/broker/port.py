"""What Eddycast asks of a broker. Batch-wise: a poll gives columns, a produce takes columns.

Offsets, everywhere in this port, are *next* offsets: the first one not yet done
(`records.next_offset`). Implementations translate every client error into `service.errors`.
Every call that waits for a broker has a deadline: a parameter, or the request time-out.
Nothing here is thread-safe; every object belongs to the thread that polls.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, Self

from service.records import PartitionBatch

Headers = list[tuple[str, bytes]]
#: Upper bound on the bytes of a record beyond its key, value and headers: the head of its batch (61), the record's own
#: lengths and deltas (21), and a margin for the lengths of its headers (16).
RECORD_OVERHEAD = 61 + 21 + 16


class RebalanceListener(Protocol):
    """Called inside `Consumer.poll`, and nowhere else."""

    def assigned(self, partitions: Collection[int]) -> None:
        """These partitions are ours from now on (only the added ones: assignment is cooperative)."""

    def revoked(self, partitions: Collection[int]) -> None:
        """These partitions go to another member when this call returns: commit what is done, then forget."""

    def lost(self, partitions: Collection[int]) -> None:
        """These partitions already belong to another member: nothing may be committed for them."""


class Connection(Protocol):
    """Something that is open until it is closed; as a context manager it closes itself at the end of the block."""

    def close(self) -> None:
        """Release the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Consumer(Connection, Protocol):
    """One member of a consumer group, reading committed records of one topic.

    Its membership (member id and generation) is captured by `poll`, on the polling thread, when it returns and before
    each call of the listener, and at no other time: a client that was expelled forgets its generation, and offsets
    that come without one are accepted by the broker.
    """

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """Wait up to `timeout_s` for records. At most one batch a partition, none empty, at most
        `max_records` in all, fewer where they are large; a record batch that cannot be read is one entry
        (`PartitionBatch.damaged`). Runs the rebalance listener. Raises OffsetGone if a partition that is not paused has
        no record at its position and the consumer starts at `none`; BrokerUnavailable, BrokerError."""

    def is_member(self) -> bool:
        """Whether the group has taken us in and told us our share, which may be nothing, as of the last poll."""

    def confirm(self, timeout_s: float) -> bool:
        """Ask the group whether the membership that the last poll captured still counts: then all that was held at the
        time is still held. False where it does not, and where there is no answer within `timeout_s`."""

    def silence_s(self) -> float:
        """Seconds since the group last answered, as far as known without a request."""

    def assignment(self) -> frozenset[int]:
        """The partitions held now."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Store next offsets by partition, durably. Raises MembershipLost when the group has moved on,
        BrokerUnavailable when no broker answered in time (the outcome is then unknown) or while the group is still
        agreeing on a rebalance (nothing was stored): either way the same commit may succeed after the next poll."""

    def committed(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int | None]:
        """The stored next offsets; None where there is none. A partition whose offset is held by an open transaction
        is left out: ask again. Raises BrokerUnavailable when there is no answer within `timeout_s`."""

    def seek(self, offsets: Mapping[int, int]) -> None:
        """The next poll of each partition starts at its offset."""

    def pause(self, partitions: Collection[int]) -> None:
        """Stop returning records of these partitions; membership is kept."""

    def resume(self, partitions: Collection[int]) -> None:
        """Undo `pause`."""

    def positions(self) -> dict[int, int]:
        """The next offset of each held partition, as of the last poll: every record before it was returned, or belongs
        to an aborted transaction, or is a control record. Without those of which it is not known."""

    def lag(self) -> dict[int, int]:
        """Records between the position and the end of each held partition, as far as known without a request."""

    def close(self) -> None:
        """Leave the group. Does not commit. Does not run the listener."""


class Reader(Connection, Protocol):
    """Reads committed records of one topic from where it is told, outside any group. Commits nothing."""

    def start(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions from now on, each from its offset."""

    def first(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:
        """The offset of the first record that retention has left of each, or of the next one if it has left none.
        Raises BrokerUnavailable."""

    def end(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:
        """The high watermark of each: the offset after the last record written, transactions not yet decided included
        (read uncommitted). Raises BrokerUnavailable."""

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """Wait up to `timeout_s` for committed records of the partitions started. At most one batch a partition, none
        empty, at most `max_records` in all. Returns without records, too, when a position has moved.
        Raises OffsetGone where retention has deleted the position; BrokerUnavailable, BrokerError."""

    def position(self, partition: int) -> int:
        """Every record before this offset was returned, or belongs to an aborted transaction, or is a control record.
        It stops at the first open transaction: once it has reached a high watermark, everything below is decided."""

    def stop(self, partitions: Collection[int]) -> None:
        """No longer read these; one that was not started is let pass."""


class Producer(Connection, Protocol):
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
        record for its size; inside a transaction RecordRefused where a record is to blame for what it is (size, stamp,
        content), TransactionFailed otherwise. The queue is then empty."""

    def begin(self) -> None:
        """Open a transaction (only for a producer with a transactional id). Raises TransactionFailed."""

    def send_offsets(self, topic: str, offsets: Mapping[int, int], consumer: Consumer, timeout_s: float = 10.0) -> None:
        """Store the consumer group's next offsets as part of the open transaction, fenced by the membership that the
        consumer captured. Raises MembershipLost if its generation is negative or its member id empty (nothing was
        asked of the broker, the producer goes on), TransactionFailed."""

    def probe(self, places: Collection[tuple[str, int]], timeout_s: float = 10.0) -> None:
        """Begin and commit a transaction without records that could have some in these topics and partitions: it shows
        that they can be written. Not while one is open. Raises TransactionFailed, BrokerError."""

    def commit(self, timeout_s: float = 10.0) -> None:
        """Flush, check every result, make the transaction visible. Raises what `flush` raises, then nothing will ever
        be visible; CommitUnknown once the broker was asked to commit and has not said that it did."""

    def abort(self, timeout_s: float = 10.0) -> None:
        """Throw the open transaction away. Without one, or after a failure, nothing happens. Raises TransactionFailed;
        the producer is then at its end."""

    def close(self, timeout_s: float = 1.0) -> None:
        """Abort an open transaction and close the connection."""


class Admin(Connection, Protocol):
    """What is asked once, at start or by a command: topics, and groups from outside."""

    def partitions(self, topic: str) -> int | None:
        """How many partitions a topic has; None if there is no such topic. Raises BrokerUnavailable."""

    def topics(self) -> list[str]:
        """Names of all topics that can be seen, except Kafka's own. Raises BrokerUnavailable."""

    def operations(self, topic: str) -> frozenset[str] | None:
        """What this user may do with a topic ("read", "describe_configs"), also with one that does not exist; None
        where there is no access control. Raises BrokerUnavailable."""

    def create_topic(
        self, topic: str, partitions: int, replication: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic; one that exists already is left alone. Raises BrokerError."""

    def config(self, topic: str) -> dict[str, str]:
        """The settings in force for a topic, the broker's defaults included, by Kafka's names. Raises TopicMissing,
        BrokerUnavailable."""

    def replication(self, topic: str) -> int:
        """Replicas of each partition of a topic, the least of them. Raises TopicMissing, BrokerUnavailable."""

    def members(self, group: str) -> int:
        """How many members a group has; 0 for one that nobody has heard of. Raises BrokerUnavailable."""

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """The stored next offsets of a group, where there are any. Does not wait for open transactions: what the last
        of them stored may be missing for a moment. Raises BrokerUnavailable."""

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Store next offsets for a group that nobody is a member of, all of them or none. Raises MembershipLost while
        it has members, nothing is stored then; BrokerUnavailable, BrokerError."""

    def check_transactional_id(self, transactional_id: str) -> None:
        """Ask whether this user may use a transactional id; nothing is begun.

        Raises NotAuthorized, BrokerUnavailable."""


class Broker(Protocol):
    """Where everything else comes from: `broker/kafka.py` or `broker/memory.py`."""

    def consumer(self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest") -> Consumer:
        """Join `group`. `start_at` (earliest, latest or none) counts only where the group has no committed offset and
        the listener did not seek, and where retention has deleted the position; with `none` poll raises OffsetGone."""

    def reader(self, topic: str) -> Reader:
        """Reads single partitions. Raises BrokerUnavailable."""

    def producer(self, transactional_id: str | None = None, timeout_s: float = 10.0) -> Producer:
        """An idempotent producer; transactional if it is given an id, which fences the id's earlier owner and ends its
        open transaction before this returns. Raises BrokerUnavailable, TransactionFailed within `timeout_s`."""

    def leave(self, group: str) -> None:
        """Take this process's static member out of `group`, once its consumer is closed; a dynamic one has left by
        that. Raises BrokerUnavailable, BrokerError."""

    def admin(self) -> Admin:
        """Topics and groups."""
