"""Another topic fed to the input, over in-process brokers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import Any

from eddycast.service.bridges.kafka_feed import KafkaFeed
from eddycast.service.bridges.kafka_source import SourceTopic
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.processing.decoding import decoder_for
from eddycast.service.records import Headers
from eddycast.service.settings.settings import Settings
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import INPUT

RAW = "raw"
START_MS = 1_700_000_000_000
#: Records without a key, each with a stream and its number.
BY_FIELD = {"stream": "{/device}", "value": "/payload/v", "timestamp": "/ts"}


def settings(mapping: dict[str, Any] | None = None, **groups: dict[str, Any]) -> Settings:
    """Settings of a bridge, with a mapping."""
    return Settings.model_validate(
        {
            "feed": {"topic": RAW},
            "input": BY_FIELD if mapping is None else mapping,
            "commit": {"interval_ms": 1},
            **groups,
        }
    )


def brokers(partitions: int = 2) -> tuple[FaultyBroker, FaultyBroker]:
    """A cluster with the raw topic, and another one without topics."""
    source = FaultyBroker()
    source.admin().create_topic(RAW, partitions)
    return source, FaultyBroker()


def raw(number: int, devices: int = 7) -> bytes:
    """A record whose value is its number."""
    return json.dumps(
        {
            "device": f"d{number % devices}",
            "payload": {"v": number},
            "ts": START_MS + number * 1000,
        }
    ).encode()


def send(
    broker: FaultyBroker,
    partition: int,
    values: Sequence[bytes | None],
    key: bytes | None = None,
    headers: Headers | None = None,
) -> None:
    """Records of the raw topic."""
    with broker.producer() as producer:
        columns = [key] * len(values), values, [headers or []] * len(values)
        producer.produce(RAW, partition, *columns)
        producer.flush(1.0)


def bridge(
    source: FaultyBroker,
    target: FaultyBroker,
    chosen: Settings | None = None,
    reached: Callable[[str], None] | None = None,
    channels: int = 1,
) -> KafkaFeed:
    """A bridge as the command builds it."""
    chosen = chosen or settings()
    topic = SourceTopic(source, RAW, chosen.kafka)
    decoder = partial(decoder_for, chosen, channels)
    return KafkaFeed(topic, target, chosen, decoder, reached or CrashPoint())


def feed_all(source: FaultyBroker, target: FaultyBroker, chosen: Settings | None = None) -> None:
    """Feed everything that is there."""
    bridge(source, target, chosen).run(Event(), once=True)


def fed(target: FaultyBroker, topic: str = INPUT) -> list[tuple[bytes | None, Any]]:
    """Key and document of the records of the input, by partition and offset."""
    return [(r.key, r.value and json.loads(r.value)) for r in target.read(topic)]


def numbers(target: FaultyBroker) -> list[float]:
    """The values of all readings, sorted."""
    return sorted(document["value"] for _, document in fed(target))
