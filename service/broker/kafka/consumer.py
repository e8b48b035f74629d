"""One member of a consumer group. Only this file uses kafka-python's group consumer."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from kafka import KafkaConsumer as Client
from kafka import TopicPartition
from kafka.errors import KafkaError, NoOffsetForPartitionError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from eddycast.service.broker.kafka.bulk_reading import read_in_columns
from eddycast.service.broker.kafka.columns import batches
from eddycast.service.broker.kafka.errors import translated
from eddycast.service.broker.kafka.fetched import Screen
from eddycast.service.broker.kafka.membership import is_confirmed, silence_s
from eddycast.service.broker.kafka.offsets import stored_offsets
from eddycast.service.broker.kafka.public_reading import read_screened
from eddycast.service.broker.kafka.rebalance import Relay, report_every_loss
from eddycast.service.broker.port import Connection, RebalanceListener
from eddycast.service.errors import EddycastError, InstanceFenced, MembershipLost
from eddycast.service.records import PartitionBatch

log = logging.getLogger(__name__)
#: An offset that no partition ever reaches.
_NOWHERE = 1 << 62


class KafkaConsumer(Connection):
    """A `port.Consumer` on kafka-python. Offsets are committed by `commit` or in a transaction,
    never automatically.

    With `bulk` whole record batches are decoded here; otherwise the client decodes record by
    record. A compressed batch that would unpack to more than `unpacked_bytes` is not read.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        listener: RebalanceListener,
        timeout_ms: int,
        bulk: bool,
        unpacked_bytes: int,
    ) -> None:
        self._topic = topic
        self._timeout_ms = timeout_ms
        self._static = config.get("group_instance_id")
        with translated(f"cannot reach Kafka at {config['bootstrap_servers']}"):
            self._client = Client(**config)
            self._membership: ConsumerGroupMetadata = self._client.group_metadata()
            (read_in_columns if bulk else read_screened)(self._client, Screen(unpacked_bytes))
            report_every_loss(self._client)
            self._relay = Relay(self.capture_membership, self._client, listener)
            self._client.subscribe([topic], listener=self._relay)

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """See `port.Consumer`. Raises what the listener raised, before any record is returned."""
        try:
            with translated(f"cannot read {self._topic}"):
                self._keep_joining()
                polled = self._poll(max(0, int(timeout_s * 1000)), max_records)
        except EddycastError as error:
            if (raised := self._relay.take_error()) is not None:
                raise raised from error
            raise
        self.capture_membership()
        self._check_not_displaced()
        self._check_not_refused()
        return batches(polled, self.positions())

    def is_member(self) -> bool:
        """See `port.Consumer`."""
        return self._membership.generation_id >= 0 and bool(self._client._coordinator.stable())

    def confirm(self, timeout_s: float) -> bool:
        """See `port.Consumer`."""
        membership = self._membership
        if membership.generation_id < 0 or not membership.member_id:
            return False
        coordinator = self._client._coordinator
        try:
            return bool(
                coordinator._net.run(is_confirmed, coordinator, membership, int(timeout_s * 1000))
            )
        except KafkaError as error:
            log.debug("the group did not confirm the member %s: %s", membership.member_id, error)
            return False

    def silence_s(self) -> float:
        """See `port.Consumer`."""
        return silence_s(self._client._coordinator)

    def assignment(self) -> frozenset[int]:
        """See `port.Consumer`."""
        return frozenset(where.partition for where in self._client.assignment())

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `port.Consumer`. During a rebalance the client cannot commit and BrokerUnavailable is
        raised."""
        if offsets:
            with translated(f"cannot commit offsets of {self._topic}"):
                self._client.commit(self._for_commit(offsets), timeout_ms=self._timeout_ms)

    def committed(
        self, partitions: Collection[int], timeout_s: float = 10.0
    ) -> dict[int, int | None]:
        """See `port.Consumer`."""
        coordinator, timeout_ms = self._client._coordinator, int(timeout_s * 1000)
        with translated(f"cannot read the committed offsets of {self._topic}"):
            found = coordinator._net.run(
                stored_offsets, coordinator, self._topic, list(partitions), timeout_ms
            )
            return dict(found)

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

    def positions(self) -> dict[int, int]:
        """See `port.Consumer`. Reads the client's state: its own call scans all partitions for each
        one, and may wait for the broker."""
        states = self._client._subscription.assignment.copy()
        return {
            where.partition: s.position.offset
            for where, s in states.items()
            if s.position is not None
        }

    def lag(self) -> dict[int, int]:
        """See `port.Consumer`. Partitions of which nothing has been fetched yet are left out."""
        ends = {
            partition: self._client.highwater(self._at(partition))
            for partition in self.assignment()
        }
        at = self.positions()
        return {p: max(0, end - at[p]) for p, end in ends.items() if end is not None and p in at}

    def close(self) -> None:
        """See `port.Consumer`. A static member stays in the group and keeps its partitions until
        the session ends."""
        self._relay.silence()
        with translated(f"cannot leave the group of {self._topic}"):
            self._client.close(autocommit=False, timeout_ms=self._timeout_ms)

    @property
    def membership(self) -> ConsumerGroupMetadata:
        """Membership at the end of the last poll, which fences the offsets of a transaction.

        It is never captured later: an expelled client forgets its generation, and the broker
        accepts offsets that come without one.
        """
        return self._membership

    def capture_membership(self) -> None:
        """Capture the membership: on the polling thread after each poll,
        and before each call of the listener."""
        self._membership = self._client.group_metadata()

    def transaction_offsets(
        self, offsets: Mapping[int, int]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Offsets in the form of a transaction.
        Raises MembershipLost without a generation to fence them by."""
        if self._membership.generation_id < 0 or not self._membership.member_id:
            raise MembershipLost(f"no longer a member of the group that reads {self._topic}")
        return self._for_commit(offsets)

    def _poll(self, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Any]:
        """The client's poll, which fails as a whole if one partition has no position. Where that
        partition is paused, it gets a position that will be refused once it is resumed."""
        try:
            return self._client.poll(timeout_ms=timeout_ms, max_records=max_records)  # type: ignore[no-any-return]
        except NoOffsetForPartitionError as error:
            without = set(error.args[0])
            if not without <= self._client.paused():
                raise
            for where in without:
                self._client.seek(where, _NOWHERE)
            return self._client.poll(timeout_ms=timeout_ms, max_records=max_records)  # type: ignore[no-any-return]

    def _for_commit(self, offsets: Mapping[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        return {
            self._at(partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
        }

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    def _check_held(self, partitions: Collection[int]) -> None:
        if missing := set(partitions) - self.assignment():
            raise MembershipLost(
                f"partitions {sorted(missing)} of {self._topic} are not assigned to this member"
            )

    def _keep_joining(self) -> None:
        """Let the next poll finish a join that outlasted the previous one.

        The client (kafka-python 3.0) decides again whether a join is needed. If changed metadata
        was the reason, it no longer is by then, the response is never read, and the member waits
        without partitions forever.
        """
        coordinator = self._client._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()

    def _check_not_displaced(self) -> None:
        """Raise InstanceFenced for a static member whose instance id was taken over: the client
        only stops its heartbeat and keeps polling without an error (kafka-python 3.0,
        `BaseCoordinator._do_heartbeat`)."""
        coordinator = self._client._coordinator
        if self._static and coordinator.stable() and not coordinator._heartbeat_enabled:
            what = f"the instance id {self._static!r} is now used by another process"
            raise InstanceFenced(what, "give each process an instance id of its own")

    def _check_not_refused(self) -> None:
        """Raise the refusal of a node, to which the client reconnects again and again without an
        error."""
        if (refused := self._client._manager.refused()) is not None:
            raise refused
