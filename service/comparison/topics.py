"""Reads a topic of forecasts to its present end, JSON or Avro."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from eddycast.service.broker.port import Broker
from eddycast.service.delivery.schema_registry import SchemaRegistry
from eddycast.service.errors import TopicMissing
from eddycast.service.monitor.decode import Decoded, Decoder, by_position
from eddycast.service.monitor.follower import Follower
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.settings import Settings

#: Offsets before the end of a partition: all that are there.
_ALL = 1 << 62


def read_topic(
    broker: Broker, settings: Settings, topic: str, add: Callable[[Decoded], None]
) -> None:
    """Hand the forecasts of a topic to `add`, poll by poll. Raises TopicMissing, BrokerError,
    SchemaRegistryError, SettingsError for Avro without `schema_registry.url`, MissingExtra."""
    with broker.admin() as admin:
        if admin.partitions(topic) is None:
            raise TopicMissing(
                f"there is no topic {topic}",
                "name the champion's topic with --topics.output, and the challenger's",
            )
    decoder = Decoder(by_position, SchemaRegistry(settings.schema_registry, topic).schema_of)

    def take(batches: list[PartitionBatch]) -> None:
        add(decoder.decode(batches))

    Follower(broker, topic, take, _ALL).run(Event(), once=True)
