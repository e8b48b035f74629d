"""The port to a broker. Batch-wise: a poll returns columns, a produce takes columns.

Offsets in this port are always *next* offsets: the first one not processed yet
(`records.next_offset`). Implementations translate every client error into
`eddycast.service.errors`. Every call that waits for a broker has a deadline: a parameter, or the
request time-out. Nothing here is thread-safe; every object is used by the polling thread alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, Self

from eddycast.service.records import Headers, PartitionBatch

#: Upper bound on the bytes of a record beyond its key, value and headers: the head of its batch
#: (61), the record's own lengths and deltas (21), and a margin for the lengths of its headers (16).
RECORD_OVERHEAD = 61 + 21 + 16


class RebalanceListener(Protocol):
    """Callbacks of a rebalance, called only inside `Consumer.poll`."""

    def assigned(self, partitions: Collection[int]) -> None:
        """These partitions are held from now on;
        only added ones are listed, since assignment is cooperative."""

    def revoked(self, partitions: Collection[int]) -> None:
        """These partitions go to another member when this call returns:
        commit what was processed, then close them."""

    def lost(self, partitions: Collection[int]) -> None:
        """These partitions already belong to another member: nothing can be committed for them."""


class Connection(Protocol):
    """Something that is open until it is closed;
    as a context manager it closes itself at the end of the block."""

    def close(self) -> None:
        """Release the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Consumer(Connection, Protocol):
    """One member of a consumer group, reading committed records of one topic.

    Its membership (member id and generation) is captured by `poll`, on the polling thread, when it
    returns and before each call of the listener, and at no other time: an expelled client forgets
    its generation, and the broker accepts offsets that come without one.
    """

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """Wait up to `timeout_s` for records. At most one batch a partition, none empty, at most
        `max_records` in all, fewer where they are large; a record batch that cannot be read is one
        entry (`PartitionBatch.damaged`). Runs the rebalance listener. Raises OffsetGone if a
        partition that is not paused has no record at its position and the consumer starts at
        `none`; BrokerUnavailable, BrokerError."""

    def is_member(self) -> bool:
        """True if this member has joined and received its assignment, possibly an empty one,
        as of the last poll."""

    def confirm(self, timeout_s: float) -> bool:
        """True if the group still accepts the membership captured by the last poll, so that every
        partition held then is still held. False if it does not, or does not answer within
        `timeout_s`."""

    def silence_s(self) -> float:
        """Seconds since the last answer of the group, as far as known without a request."""

    def assignment(self) -> frozenset[int]:
        """Partitions held now."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Store next offsets by partition, durably. Raises MembershipLost when the group has
        continued without this member, BrokerUnavailable when no broker answered in time (the
        outcome is then unknown) or during a rebalance (nothing was stored): in both cases the same
        commit may succeed after the next poll."""

    def committed(
        self, partitions: Collection[int], timeout_s: float = 10.0
    ) -> dict[int, int | None]:
        """Stored next offsets; None where there is none. Partitions whose offset belongs to an open
        transaction are left out: call again later. Raises BrokerUnavailable when there is no answer
        within `timeout_s`."""

    def seek(self, offsets: Mapping[int, int]) -> None:
        """The next poll of each partition starts at its offset."""

    def pause(self, partitions: Collection[int]) -> None:
        """Stop returning records of these partitions, which stay assigned."""

    def resume(self, partitions: Collection[int]) -> None:
        """Undo `pause`."""

    def positions(self) -> dict[int, int]:
        """Next offset of each held partition as of the last poll, where known: every record before
        it was returned, belongs to an aborted transaction or is a control record."""

    def lag(self) -> dict[int, int]:
        """Records between position and end of each held partition,
        where known without a request."""

    def close(self) -> None:
        """Leave the group, without a commit and without calling the listener."""


class Reader(Connection, Protocol):
    """Reads committed records of one topic from given offsets, outside any group.
    Commits nothing."""

    def start(self, offsets: Mapping[int, int]) -> None:
        """Start reading these partitions, each from its offset."""

    def first(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:
        """Offset of the first record of each partition that retention has not deleted, or the end
        of an empty one. Raises BrokerUnavailable."""

    def end(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:
        """High watermark of each partition: the offset after the last record, including those of
        open transactions (read uncommitted). Raises BrokerUnavailable."""

    def since(
        self, partitions: Collection[int], time_ms: int, timeout_s: float = 10.0
    ) -> dict[int, int]:
        """Offset of the first record of each partition that is stamped `time_ms` or later, or the
        end if none is. Raises BrokerUnavailable."""

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """Wait up to `timeout_s` for committed records of the partitions started. At most one batch
        a partition, none empty, at most `max_records` in all. Also returns, without records, when a
        position has advanced. Raises OffsetGone where retention has deleted the position;
        BrokerUnavailable, BrokerError."""

    def position(self, partition: int) -> int:
        """Next offset: every record before it was returned, belongs to an aborted transaction or is
        a control record. It stops at the first open transaction: once it reaches a high watermark,
        everything below is decided."""

    def stop(self, partitions: Collection[int]) -> None:
        """Stop reading these partitions; those that were not started are ignored."""


class Producer(Connection, Protocol):
    """Writes columns. Records of one partition keep their order.

    Without a transactional id a producer stays usable after any failure. With one,
    TransactionFailed is final: every later call raises it again; close the producer and create a
    new one with the same id.
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
        Raises RecordTooLarge; every other failure is raised by `flush`."""

    def flush(self, timeout_s: float) -> None:
        """Wait until every record queued since the last flush is acknowledged and check each
        result.
        Raises ProduceFailed with topic and partition of the first failure, RecordTooLarge if the
        topic refused a record for its size; inside a transaction RecordRefused where the record
        itself is the cause (size, timestamp, content), TransactionFailed otherwise. The queue is
        empty afterwards."""

    def begin(self) -> None:
        """Open a transaction (only for a producer with a transactional id).
        Raises TransactionFailed."""

    def send_offsets(
        self, topic: str, offsets: Mapping[int, int], consumer: Consumer, timeout_s: float = 10.0
    ) -> None:
        """Store the consumer group's next offsets as part of the open transaction, fenced by the
        membership that the consumer captured. Raises MembershipLost if there is none (no request
        was made, the producer stays usable), TransactionFailed."""

    def probe(self, places: Collection[tuple[str, int]], timeout_s: float = 10.0) -> None:
        """Begin and commit an empty transaction that covers these topics and partitions, which
        tests that they can be written. Requires that none is open. Raises TransactionFailed,
        BrokerError."""

    def commit(self, timeout_s: float = 10.0) -> None:
        """Flush, check every result, make the transaction visible. Raises what `flush` raises, and
        nothing ever becomes visible then; CommitUnknown if the request to commit was sent and not
        confirmed."""

    def abort(self, timeout_s: float = 10.0) -> None:
        """Abort the open transaction; without one, or after a failure, do nothing. Raises
        TransactionFailed, which is final."""

    def close(self, timeout_s: float = 1.0) -> None:
        """Abort an open transaction and close the connection."""


class Admin(Connection, Protocol):
    """Administration of topics and groups, used at start and by commands."""

    def partitions(self, topic: str) -> int | None:
        """Number of partitions of a topic; None if there is no such topic.
        Raises BrokerUnavailable."""

    def topic_id(self, topic: str) -> str:
        """The id of a topic, another one after it was deleted and created again.
        Raises TopicMissing, BrokerUnavailable."""

    def topics(self) -> list[str]:
        """Names of all topics visible to this user, without internal ones.
        Raises BrokerUnavailable."""

    def operations(self, topic: str) -> frozenset[str] | None:
        """Operations that this user may perform on a topic ("read", "describe_configs"), whether it
        exists or not; None without access control. Raises BrokerUnavailable."""

    def create_topic(
        self,
        topic: str,
        partitions: int,
        replication: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """Create a topic; an existing one stays as it is. Raises BrokerError."""

    def config(self, topic: str) -> dict[str, str]:
        """Effective configuration of a topic, including the broker's defaults, by Kafka's names.
        Raises TopicMissing, BrokerUnavailable."""

    def replication(self, topic: str) -> int:
        """Smallest number of replicas of a topic's partitions.
        Raises TopicMissing, BrokerUnavailable."""

    def members(self, group: str) -> int:
        """Number of members of a group; 0 for an unknown group. Raises BrokerUnavailable."""

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """Stored next offsets of a group, where there are any. Does not wait for open transactions:
        the latest offsets may be missing for a moment. Raises BrokerUnavailable."""

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Store next offsets for a group without members, all of them or none. Raises
        MembershipLost if it has members, and nothing is stored then; BrokerUnavailable,
        BrokerError."""

    def check_transactional_id(self, transactional_id: str) -> None:
        """Raise NotAuthorized if this user may not use a transactional id. Begins nothing.
        Raises BrokerUnavailable."""


class Broker(Protocol):
    """Factory of all other objects: `kafka/broker.py` or `memory/broker.py`."""

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest"
    ) -> Consumer:
        """A member of `group`. `start_at` (earliest, latest or none) applies where the group has no
        committed offset and the listener did not seek, and where retention deleted the position;
        with `none` poll raises OffsetGone."""

    def reader(self, topic: str) -> Reader:
        """A reader of single partitions. Raises BrokerUnavailable."""

    def producer(self, transactional_id: str | None = None, timeout_s: float = 10.0) -> Producer:
        """An idempotent producer, transactional if it has an id: before this returns the earlier
        owner of the id is fenced and its open transaction aborted. Raises BrokerUnavailable,
        TransactionFailed within `timeout_s`."""

    def leave(self, group: str) -> None:
        """Remove this process's static member from `group` after its consumer was closed; a dynamic
        member has already left then. Raises BrokerUnavailable, BrokerError."""

    def admin(self) -> Admin:
        """An admin for topics and groups. Raises BrokerUnavailable."""
