"""Reads a topic of forecasts to its present end, JSON or Avro."""

from __future__ import annotations

from threading import Event

from eddycast.service.broker.port import Broker
from eddycast.service.comparison.forecast_columns import ForecastColumns, Numbers
from eddycast.service.delivery.schema_registry import SchemaRegistry
from eddycast.service.errors import TopicMissing
from eddycast.service.monitor.decode import Decoder, by_position
from eddycast.service.monitor.follower import Follower
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.settings import Settings

#: Offsets before the end of a partition: all that are there.
_ALL = 1 << 62


def read_forecasts(
    broker: Broker, settings: Settings, topic: str, numbers: Numbers
) -> ForecastColumns:
    """All forecasts of a topic that have met their reading. Raises TopicMissing, BrokerError,
    SchemaRegistryError, SettingsError for Avro without `schema_registry.url`, MissingExtra."""
    with broker.admin() as admin:
        if admin.partitions(topic) is None:
            raise TopicMissing(
                f"there is no topic {topic}",
                "name the champion's topic with --topics.output, and the challenger's",
            )
    found = ForecastColumns(topic, numbers)
    decoder = Decoder(by_position, SchemaRegistry(settings.schema_registry, topic).schema_of)

    def take(batches: list[PartitionBatch]) -> None:
        found.add(decoder.decode(batches))

    Follower(broker, topic, take, _ALL).run(Event(), once=True)
    return found
