"""A broker inside the process: the same port, the same order of events, and faults on demand.

For demos and tests. Topics keep everything and nothing survives the process. There are no timers: a member that stops
polling keeps its partitions, and an abandoned transaction stays open until a new producer takes over its id.
"""

from __future__ import annotations

from typing import Any

from service.broker.memory.admin import MemoryAdmin
from service.broker.memory.cluster import Cluster
from service.broker.memory.consumer import MemoryConsumer
from service.broker.memory.producer import MemoryProducer
from service.broker.memory.reader import MemoryReader
from service.broker.port import RebalanceListener


class MemoryBroker(Cluster):
    """A `port.Broker`. Every object made by one broker sees the same topics and groups, from any thread."""

    def __init__(self, **options: Any) -> None:
        """`options` are those of `Cluster`."""
        super().__init__(**options)
        self._owners: dict[str, MemoryProducer] = {}  # transactional id -> who may use it

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest"
    ) -> MemoryConsumer:
        """See `port.Broker`."""
        return MemoryConsumer(self, topic, group, listener, start_at, self._changed)

    def reader(self, topic: str) -> MemoryReader:
        """See `port.Broker`."""
        return MemoryReader(self, topic, self._changed)

    def producer(self, transactional_id: str | None = None, timeout_s: float = 10.0) -> MemoryProducer:  # noqa: ARG002
        """See `port.Broker`."""
        self.faults.strike("producer")
        producer = MemoryProducer(self, transactional_id, self._changed)
        if transactional_id is not None:
            with self._changed:
                earlier = self._owners.get(transactional_id)
                if earlier is not None:
                    earlier.fence()
                self._owners[transactional_id] = producer
        return producer

    def leave(self, group: str) -> None:
        """See `port.Broker`. There are no static members here."""

    def admin(self) -> MemoryAdmin:
        """See `port.Broker`."""
        return MemoryAdmin(self)

    def expel(self, consumer: MemoryConsumer) -> None:
        """End a member's session, as when it was silent for too long. Its next poll says `lost` and joins again."""
        with self._changed:
            self.group(consumer.topic, consumer.group).leave(consumer)
            self._changed.notify_all()

    def expire(self, transactional_id: str | None = None) -> None:
        """End the open transaction of a producer, or of all, by its time-out; the producer is fenced, as on Kafka."""
        with self._changed:
            for name, owner in self._owners.items():
                if transactional_id in (None, name):
                    owner.time_out()
