"""Administration of topics and groups through kafka-python's admin client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NoError,
    NotCoordinatorError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    TransactionalIdNotFoundError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.structs import OffsetAndMetadata

from eddycast.service.broker.kafka.errors import translated
from eddycast.service.broker.port import Connection
from eddycast.service.errors import BrokerUnavailable

T = TypeVar("T")
#: A cluster creates its offsets topic at the first request for a group,
#: which fails with these errors until then.
_NOT_YET = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)
_AGAIN_S = 0.2


class KafkaAdmin(Connection):
    """A `port.Admin` on kafka-python."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        with translated(f"cannot reach Kafka at {', '.join(config['bootstrap_servers'])}"):
            self._client = KafkaAdminClient(**config)
        self._timeout_s = config["request_timeout_ms"] / 1000

    def partitions(self, topic: str) -> int | None:
        """See `port.Admin`."""
        with self._asking(f"cannot describe {topic}"):
            try:
                return len(self._describe(topic))
            except UnknownTopicOrPartitionError:
                return None

    def topic_id(self, topic: str) -> str:
        """See `port.Admin`."""
        with self._asking(f"cannot describe {topic}"):
            return str(self._described(topic)["topic_id"])

    def topics(self) -> list[str]:
        """See `port.Admin`."""
        with self._asking("cannot list the topics"):
            return [
                topic["name"]
                for topic in self._client.describe_topics()
                if not topic["is_internal"]
            ]

    def operations(self, topic: str) -> frozenset[str] | None:
        """See `port.Admin`. A broker without access control allows everything."""
        with self._asking(f"cannot look up the rights on {topic}"):
            described = self._client.describe_topics([topic])[0]
        found = described["authorized_operations"]
        if found is None and for_code(described["error_code"]) is not TopicAuthorizationFailedError:
            return None  # the broker is older than this request
        return frozenset(operation.lower() for operation in found or ())

    def create_topic(
        self,
        topic: str,
        partitions: int,
        replication: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """See `port.Admin`. Returns once every partition has a leader."""
        asked = {
            "num_partitions": partitions,
            "replication_factor": replication,
            "configs": dict(config or {}),
        }
        with self._asking(f"cannot create {topic}"):
            try:
                self._client.create_topics({topic: asked})
            except TopicAlreadyExistsError:
                return
            self._client.wait_for_topics([topic])

    def config(self, topic: str) -> dict[str, str]:
        """See `port.Admin`."""
        with self._asking(f"cannot read the settings of {topic}"):
            resource = ConfigResource(ConfigResourceType.TOPIC, topic)
            found = self._client.describe_configs([resource], config_filter="all")["topic"][topic]
            if not found:  # the client drops the error; every topic has settings
                self._describe(topic)
                raise TopicAuthorizationFailedError({topic})
        return {name: entry["value"] for name, entry in found.items() if entry["value"] is not None}

    def replication(self, topic: str) -> int:
        """See `port.Admin`."""
        with self._asking(f"cannot describe {topic}"):
            return min(len(partition["replica_nodes"]) for partition in self._describe(topic))

    def members(self, group: str) -> int:
        """See `port.Admin`."""
        with self._asking(f"cannot describe the group {group}"):
            return len(
                self._patiently(lambda: self._client.describe_groups([group]))[group]["members"]
            )

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """See `port.Admin`."""
        with self._asking(f"cannot read the offsets of the group {group}"):
            found = self._patiently(lambda: self._client.list_group_offsets([group]))[group]
        return {
            at.partition: own.offset
            for at, own in found.items()
            if at.topic == topic and own.offset >= 0
        }

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """See `port.Admin`. One request, which the broker stores as one batch."""
        asked = {
            TopicPartition(topic, p): OffsetAndMetadata(offset, "", -1)
            for p, offset in offsets.items()
        }
        with self._asking(f"cannot store offsets of the group {group}"):
            for outcome in self._patiently(
                lambda: self._client.alter_group_offsets(group, asked)
            ).values():
                if outcome is not NoError:
                    raise outcome()

    def remove_static_member(self, group: str, instance_id: str) -> None:
        """Remove a static member from its group, so that others get its partitions at once. An
        unknown member is ignored. Raises BrokerUnavailable, BrokerError."""
        member = MemberToRemove(group_instance_id=instance_id)
        with self._asking(f"cannot remove {instance_id!r} from the group {group}"):
            (outcome,) = self._client.remove_group_members(group, [member]).values()
            if outcome not in (NoError, UnknownMemberIdError):
                raise outcome()

    def check_transactional_id(self, transactional_id: str) -> None:
        """See `port.Admin`. Tests the right to describe the id,
        which the right to write includes."""
        with self._asking(f"cannot use the transactional id {transactional_id}"):
            try:
                self._patiently(lambda: self._client.describe_transactions([transactional_id]))
            except TransactionalIdNotFoundError:
                return

    def close(self) -> None:
        """See `port.Admin`."""
        self._client.close()

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Translate errors. A broker that was reached may advertise addresses that cannot be
        reached."""
        try:
            with translated(doing):
                yield
        except BrokerUnavailable as error:
            if reasons := self._client._manager.reasons():
                action = "correct advertised.listeners of the broker if it is running"
                raise BrokerUnavailable(f"{doing}: {reasons}", action) from error
            raise

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Call `ask` until the group's coordinator is available. Raises the client's errors."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return ask()
            except _NOT_YET:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_S)

    def _describe(self, topic: str) -> list[dict[str, Any]]:
        """Partitions of a topic. Raises the client's errors."""
        return self._described(topic)["partitions"]  # type: ignore[no-any-return]

    def _described(self, topic: str) -> dict[str, Any]:
        """The broker's description of a topic. Raises the client's errors."""
        described: dict[str, Any] = self._client.describe_topics([topic])[0]
        error = for_code(described["error_code"])
        if error is not NoError:
            raise error()
        return described
