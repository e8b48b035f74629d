"""A real Apache Kafka for the session (one a worker under pytest-xdist),
and topics of a test's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """A running one-node Kafka; `kafka.bootstrap_servers` is its address. Shared:
    leave it running and unpaused."""
    with KafkaServer() as server:
        yield server


@pytest.fixture
def make_topic(kafka: KafkaServer) -> Iterator[Callable[..., str]]:
    """`make_topic(partitions=1, **config)` creates a topic with a name of its own and returns the
    name."""
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).admin()

    def create(partitions: int = 1, **config: str) -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        admin.create_topic(
            name, partitions, config={key.replace("_", "."): value for key, value in config.items()}
        )
        return name

    yield create
    admin.close()
