"""Administration of the in-process broker."""

from __future__ import annotations

from collections.abc import Mapping

from eddycast.service.broker.memory.cluster import Cluster
from eddycast.service.broker.port import Connection
from eddycast.service.errors import BrokerError, MembershipLost


class MemoryAdmin(Connection):
    """A `port.Admin`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def partitions(self, topic: str) -> int | None:
        """See `port.Admin`."""
        return len(self._cluster.logs(topic)) or None

    def topic_id(self, topic: str) -> str:
        """See `port.Admin`."""
        return self._cluster.topic(topic).id

    def topics(self) -> list[str]:
        """See `port.Admin`."""
        return self._cluster.topics()

    def operations(self, topic: str) -> frozenset[str] | None:  # noqa: ARG002 - the port's signature
        """See `port.Admin`. There is no access control."""
        return None

    def create_topic(
        self,
        topic: str,
        partitions: int,
        replication: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """See `port.Admin`. Of `config` only `max.message.bytes` has an effect;
        there is one replica in any case."""
        if partitions < 1 or replication < 1:
            raise BrokerError(
                f"cannot create {topic}: a topic has at least one partition and one replica"
            )
        self._cluster.create(topic, partitions, config or {})

    def config(self, topic: str) -> dict[str, str]:
        """See `port.Admin`."""
        return dict(self._cluster.topic(topic).config)

    def replication(self, topic: str) -> int:
        """See `port.Admin`. Always 1."""
        self._cluster.topic(topic)
        return 1

    def members(self, group: str) -> int:
        """See `port.Admin`."""
        return self._cluster.members(group)

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """See `port.Admin`."""
        return dict(self._cluster.group(topic, group).committed)

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """See `port.Admin`."""
        if self._cluster.members(group):
            raise MembershipLost(f"cannot store offsets of the group {group}: it has members")
        self._cluster.group(topic, group).committed.update(offsets)

    def check_transactional_id(self, transactional_id: str) -> None:
        """See `port.Admin`. There is no access control."""

    def close(self) -> None:
        """See `port.Admin`."""
