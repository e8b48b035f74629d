"""One member of a consumer group, through kafka-python's public calls. Only this file knows its consumer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from kafka import KafkaConsumer as Client
from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import KafkaTimeoutError
from kafka.future import Future
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from service.broker.kafka_errors import translated
from service.broker.port import RebalanceListener
from service.errors import BrokerError, EddycastError, MembershipLost
from service.records import PartitionBatch


class KafkaConsumer:
    """A `port.Consumer` on kafka-python. Offsets are committed by `commit` or in a transaction, never by themselves."""

    def __init__(self, config: Mapping[str, Any], topic: str, listener: RebalanceListener, timeout_ms: int) -> None:
        self._topic = topic
        self._timeout_ms = timeout_ms
        self._static = config.get("group_instance_id")
        with translated(f"cannot reach Kafka at {config['bootstrap_servers']}"):
            self._client = Client(**config)
            self._membership: ConsumerGroupMetadata = self._client.group_metadata()
            self._relay = _Relay(self, self._client, listener)
            self._client.subscribe([topic], listener=self._relay)

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """See `port.Consumer`. What the listener raises comes out of here, before any record is taken."""
        try:
            with translated(f"cannot read {self._topic}"):
                self._keep_joining()
                polled = self._client.poll(timeout_ms=max(0, int(timeout_s * 1000)), max_records=max_records)
        except EddycastError as error:
            if (raised := self._relay.take_error()) is not None:
                raise raised from error
            raise
        self.capture_membership()
        self._check_not_displaced()
        topic = self._topic
        return [_columns(topic, where.partition, records) for where, records in polled.items() if records]

    def assignment(self) -> frozenset[int]:
        """See `port.Consumer`."""
        return frozenset(where.partition for where in self._client.assignment())

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `port.Consumer`. While a rebalance is being agreed on the client cannot commit and BrokerUnavailable
        is raised: nothing was stored, and the same call may succeed after the next poll."""
        if offsets:
            with translated(f"cannot commit offsets of {self._topic}"):
                self._client.commit(self._for_commit(offsets), timeout_ms=self._timeout_ms)

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        """See `port.Consumer`. Waits for open transactions on the offsets to end (stable offsets)."""
        with translated(f"cannot read the committed offsets of {self._topic}"):
            return {p: self._client.committed(self._at(p), timeout_ms=self._timeout_ms) for p in partitions}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """See `port.Consumer`."""
        self._check_held(offsets)
        for partition, offset in offsets.items():
            self._client.seek(self._at(partition), offset)

    def pause(self, partitions: Collection[int]) -> None:
        """See `port.Consumer`."""
        self._check_held(partitions)
        self._client.pause(*map(self._at, partitions))

    def resume(self, partitions: Collection[int]) -> None:
        """See `port.Consumer`."""
        self._check_held(partitions)
        self._client.resume(*map(self._at, partitions))

    def lag(self) -> dict[int, int]:
        """See `port.Consumer`. A partition of which nothing has been fetched yet is left out."""
        known = {}
        for where in self._client.assignment():
            end = self._client.highwater(where)
            if end is None:
                continue
            try:  # a position is known once something was fetched, so this asks nobody
                position = self._client.position(where, timeout_ms=0)
            except KafkaTimeoutError:
                continue
            if position is not None:
                known[where.partition] = max(0, end - position)
        return known

    def close(self) -> None:
        """See `port.Consumer`. A static member does not leave: its partitions stay its own until the session ends."""
        self._relay.silence()
        with translated(f"cannot leave the group of {self._topic}"):
            self._client.close(autocommit=False, timeout_ms=self._timeout_ms)

    @property
    def membership(self) -> ConsumerGroupMetadata:
        """Who we were at the end of the last poll: what a transaction's offsets are fenced by.

        Never taken later: the client forgets its generation when it is expelled, and the broker accepts offsets
        that come without one.
        """
        return self._membership

    def capture_membership(self) -> None:
        """Called on the polling thread after each poll, and at the start of each listener call."""
        self._membership = self._client.group_metadata()

    def transaction_offsets(self, offsets: Mapping[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Offsets as a transaction takes them. Raises MembershipLost when there is no generation to fence them by."""
        if self._membership.generation_id < 0 or not self._membership.member_id:
            raise MembershipLost(f"no longer a member of the group that reads {self._topic}")
        return self._for_commit(offsets)

    def _for_commit(self, offsets: Mapping[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        return {self._at(partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()}

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    def _check_held(self, partitions: Collection[int]) -> None:
        if missing := set(partitions) - self.assignment():
            raise MembershipLost(f"partitions {sorted(missing)} of {self._topic} are not assigned to this member")

    def _keep_joining(self) -> None:
        """Let a join that outlasts a poll be finished by the next one.

        The client (kafka-python 3.0) looks anew whether a join is needed; where changed metadata was the reason it is
        gone by then, the answer that arrives is never read, and the member waits without partitions for ever.
        """
        coordinator = self._client._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()

    def _check_not_displaced(self) -> None:
        """A static member whose instance id was taken over goes on polling without an error: the client only stops its
        heartbeat (kafka-python 3.0, `BaseCoordinator._do_heartbeat`). Nothing public says so."""
        coordinator = self._client._coordinator
        if self._static and coordinator.stable() and not coordinator._heartbeat_enabled:
            what = f"the instance id {self._static!r} is now used by another process"
            raise BrokerError(what, "give each process an instance id of its own")


class _Relay(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Runs our listener off the client's I/O thread, which waits for it but goes on with heartbeats and commits.

    The polling thread is inside `poll` meanwhile, so the listener has the consumer to itself: it may commit.
    """

    def __init__(self, consumer: KafkaConsumer, client: Client, listener: RebalanceListener) -> None:
        self._consumer = consumer
        self._client = client
        self._listener = listener
        self._error: BaseException | None = None
        self._silent = False

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._call(self._listener.assigned, assigned)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._call(self._listener.revoked, revoked)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        await self._call(self._listener.lost, lost)

    def silence(self) -> None:
        """Closing revokes everything as far as the client is concerned; the port does not report it."""
        self._silent = True

    def take_error(self) -> BaseException | None:
        """What the listener raised since the last call."""
        error, self._error = self._error, None
        return error

    async def _call(self, method: Callable[[Collection[int]], None], where: Collection[TopicPartition]) -> None:
        if self._silent or not where:
            return
        done = Future()
        partitions = sorted(tp.partition for tp in where)
        threading.Thread(target=self._run, args=(method, partitions, done), name="rebalance", daemon=True).start()
        await done

    def _run(self, method: Callable[[Collection[int]], None], partitions: list[int], done: Future) -> None:
        try:
            self._consumer.capture_membership()
            method(partitions)
        except BaseException as error:  # noqa: BLE001 - the client reports it to poll, which raises it again
            self._error = error
            self._resume(done.failure, error)
        else:
            self._resume(done.success, None)

    def _resume(self, settle: Callable[[Any], Any], outcome: BaseException | None) -> None:
        """Let the I/O loop go on. The client has no public call for this."""

        def on_the_loop() -> None:
            settle(outcome)

        self._client._net.call_soon_threadsafe(on_the_loop)


def _columns(topic: str, partition: int, records: list[Any]) -> PartitionBatch:
    """Columns out of the client's records of one partition."""
    return PartitionBatch(
        topic,
        partition,
        [record.key for record in records],
        [record.value for record in records],
        np.array([record.timestamp for record in records], np.int64),
        np.array([record.offset for record in records], np.int64),
    )
