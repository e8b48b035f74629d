"""A broker inside the process, with the behaviour of Kafka at the port.

For demos and tests. Topics keep everything, and nothing outlives the process. There are no timers:
a member that stops polling keeps its partitions, and an abandoned transaction stays open until a
new producer takes over its id.
"""

from __future__ import annotations

from typing import Any, TypeVar

from eddycast.service.broker.memory.admin import MemoryAdmin
from eddycast.service.broker.memory.cluster import Cluster
from eddycast.service.broker.memory.consumer import MemoryConsumer
from eddycast.service.broker.memory.producer import MemoryProducer
from eddycast.service.broker.memory.reader import MemoryReader
from eddycast.service.broker.port import RebalanceListener

Owner = TypeVar("Owner", bound=MemoryProducer)


class MemoryBroker(Cluster):
    """A `port.Broker`. All objects created by one broker share its topics and groups,
    from any thread."""

    def __init__(self, **options: Any) -> None:
        """`options` are passed to `Cluster`."""
        super().__init__(**options)
        self._owners: dict[str, MemoryProducer] = {}  # by transactional id

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest"
    ) -> MemoryConsumer:
        """See `port.Broker`."""
        return MemoryConsumer(self, topic, group, listener, start_at, self._changed)

    def reader(self, topic: str) -> MemoryReader:
        """See `port.Broker`."""
        return MemoryReader(self, topic, self._changed)

    def producer(
        self,
        transactional_id: str | None = None,
        timeout_s: float = 10.0,  # noqa: ARG002
    ) -> MemoryProducer:
        """See `port.Broker`."""
        return self._register(
            MemoryProducer(self, transactional_id, self._changed), transactional_id
        )

    def leave(self, group: str) -> None:
        """See `port.Broker`. There are no static members here."""

    def admin(self) -> MemoryAdmin:
        """See `port.Broker`."""
        return MemoryAdmin(self)

    def _register(self, producer: Owner, transactional_id: str | None) -> Owner:
        """Make a new producer the owner of its transactional id, which fences the earlier owner."""
        if transactional_id is not None:
            with self._changed:
                earlier = self._owners.get(transactional_id)
                if earlier is not None:
                    earlier.fence()
                self._owners[transactional_id] = producer
        return producer
