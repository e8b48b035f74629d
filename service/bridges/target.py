"""The topics that a bridge writes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Self

from eddycast.service.broker.kafka.partitioning import PARTITIONERS
from eddycast.service.broker.port import Admin, Broker
from eddycast.service.delivery.connect import reach
from eddycast.service.delivery.topic_checks import create_topic, letter_bytes
from eddycast.service.errors import BrokerUnavailable, TopicMissing
from eddycast.service.observability.log import get_log
from eddycast.service.settings.settings import Settings

#: Pause between two attempts, s.
_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """The input topic and the dead letters, with their numbers of partitions."""

    topic: str
    partitions: int
    dead_letters: str
    letter_partitions: int
    letter_bytes: int  # maximum of a key, of a value and of the record's own headers in a letter
    hashed: Callable[[bytes], int]

    @classmethod
    def of(cls, admin: Admin, settings: Settings) -> Self:
        """Look at the topics; missing ones are created if the settings allow it.
        Raises TopicMissing, BrokerError."""
        topics = settings.topics
        partitions = ensured(admin, settings, topics.input)
        letters = ensured(admin, settings, topics.dead_letters, partitions)
        return cls(
            topics.input,
            partitions,
            topics.dead_letters,
            letters,
            letter_bytes(admin, settings),
            PARTITIONERS[settings.feed.partitioner],
        )

    def partition(self, stream: bytes) -> int:
        """The partition of a stream."""
        return self.hashed(stream) % self.partitions


def ensured(
    admin: Admin,
    settings: Settings,
    topic: str,
    partitions: int = 0,
    config: dict[str, str] | None = None,
) -> int:
    """Number of partitions of a topic. A missing one is created if the settings allow it, with so
    many, 0 = as they say. Raises TopicMissing, BrokerError."""
    if (found := admin.partitions(topic)) is not None:
        return found
    topics = settings.topics
    if not topics.create:
        raise TopicMissing(f"topic {topic} does not exist", "create it, or set topics.create")
    return create_topic(admin, topic, partitions or topics.partitions, topics.replication, config)


def reached(broker: Broker, settings: Settings, stop: Event) -> Target | None:
    """The target once its broker answers; None if stopped before. Raises as `Target.of`."""
    while (admin := reach(broker, stop, lambda _: None)) is not None:
        with admin:
            try:
                return Target.of(admin, settings)
            except BrokerUnavailable as error:
                get_log().warning("waiting for the broker", reason=error.what)
        stop.wait(_AGAIN_S)
    return None
