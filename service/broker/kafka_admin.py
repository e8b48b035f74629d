"""Topics and members, through kafka-python's admin client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NoError,
    NotCoordinatorError,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
    for_code,
)

from service.broker.kafka_errors import translated

#: A broker may need this long for its first group, s.
_FIRST_GROUP_S = 10.0
_NOT_YET = (CoordinatorNotAvailableError, NotCoordinatorError, CoordinatorLoadInProgressError)


class KafkaAdmin:
    """A `port.Admin` on kafka-python."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        with translated(f"cannot reach Kafka at {', '.join(config['bootstrap_servers'])}"):
            self._client = KafkaAdminClient(**config)

    def partitions(self, topic: str) -> int | None:
        """See `port.Admin`."""
        with translated(f"cannot describe {topic}"):
            try:
                return len(self._describe(topic))
            except UnknownTopicOrPartitionError:
                return None

    def create_topic(
        self, topic: str, partitions: int, replication: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """See `port.Admin`. Returns once every partition has a leader."""
        asked = {"num_partitions": partitions, "replication_factor": replication, "configs": dict(config or {})}
        with translated(f"cannot create {topic}"):
            try:
                self._client.create_topics({topic: asked})
            except TopicAlreadyExistsError:
                return
            self._client.wait_for_topics([topic])

    def config(self, topic: str) -> dict[str, str]:
        """See `port.Admin`."""
        with translated(f"cannot read the settings of {topic}"):
            resource = ConfigResource(ConfigResourceType.TOPIC, topic)
            found = self._client.describe_configs([resource], config_filter="all")["topic"][topic]
            if not found:  # no error is passed on; a topic has settings
                raise UnknownTopicOrPartitionError()
        return {name: entry["value"] for name, entry in found.items() if entry["value"] is not None}

    def replication(self, topic: str) -> int:
        """See `port.Admin`."""
        with translated(f"cannot describe {topic}"):
            return min(len(partition["replica_nodes"]) for partition in self._describe(topic))

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """See `port.Admin`."""
        with translated(f"cannot read the offsets of the group {group}"):
            found = self._offsets(group, time.monotonic() + _FIRST_GROUP_S)
        return {where.partition: stored.offset for where, stored in found.items() if where.topic == topic}

    def remove_static_member(self, group: str, instance_id: str) -> None:
        """Take a static member out of its group: others get its partitions at once. One that is not in it is let pass.
        Raises BrokerUnavailable, BrokerError."""
        member = MemberToRemove(group_instance_id=instance_id)
        with translated(f"cannot remove {instance_id!r} from the group {group}"):
            (outcome,) = self._client.remove_group_members(group, [member]).values()
            if outcome not in (NoError, UnknownMemberIdError):
                raise outcome()

    def close(self) -> None:
        """See `port.Admin`."""
        self._client.close()

    def _offsets(self, group: str, deadline: float) -> Mapping[Any, Any]:
        """What a group has stored. A broker that never had a group makes the topic for it when it is first asked."""
        while True:
            try:
                return self._client.list_group_offsets({group: None})[group]  # type: ignore[no-any-return]
            except _NOT_YET:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _describe(self, topic: str) -> list[dict[str, Any]]:
        """A topic's partitions. Raises the client's errors."""
        described = self._client.describe_topics([topic])[0]
        error = for_code(described["error_code"])
        if error is not NoError:
            raise error()
        return described["partitions"]  # type: ignore[no-any-return]
