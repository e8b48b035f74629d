"""Kafka through kafka-python: configuration and creation of its clients."""

from __future__ import annotations

from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from eddycast.service.broker.kafka.admin import KafkaAdmin
from eddycast.service.broker.kafka.consumer import KafkaConsumer
from eddycast.service.broker.kafka.credentials import client_security
from eddycast.service.broker.kafka.network_client import NetworkClient
from eddycast.service.broker.kafka.producer import KafkaProducer
from eddycast.service.broker.kafka.reader import KafkaReader
from eddycast.service.broker.port import RebalanceListener
from eddycast.service.settings.kafka import FETCH_WAIT_MS, KafkaSettings
from eddycast.service.settings.output import Codec

#: Time-out of a connection to an address.
_CONNECT_TIMEOUT_MS = 5_000
#: Fixed options of every reading client: no automatic commits, and only committed records are read.
_FETCHING = {
    "fetch_max_bytes": 32 * 1024 * 1024,
    "max_partition_fetch_bytes": 2 * 1024 * 1024,
    "fetch_max_wait_ms": FETCH_WAIT_MS,
    "enable_auto_commit": False,
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}
#: Fixed options of every producer: records are acknowledged by all in-sync replicas,
#: in order and without repetition.
_PRODUCER = {
    "acks": "all",
    "enable_idempotence": True,
    "retry_backoff_ms": 20,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


class KafkaBroker:
    """A `port.Broker` on Apache Kafka, configured by the kafka group of the settings."""

    def __init__(self, settings: KafkaSettings, codec: Codec | None = None) -> None:
        """Producers compress their batches by `codec`, if any. Connects to nothing yet. Raises
        SettingsError for a secret, certificate or key that cannot be read, MissingExtra for a login
        mechanism whose package is not installed."""
        self._settings = settings
        self._timeout_ms = settings.request_timeout_ms
        self._reading = settings.bulk, settings.unpacked_bytes
        self._common: dict[str, Any] = {
            "bootstrap_servers": [
                address.strip() for address in settings.bootstrap_servers.split(",")
            ],
            "request_timeout_ms": settings.request_timeout_ms,
            "bootstrap_timeout_ms": min(_CONNECT_TIMEOUT_MS, settings.request_timeout_ms),
            "reconnect_backoff_max_ms": 1_000,
            "kafka_client": NetworkClient,
            **client_security(settings),
        }
        self._consumer: dict[str, Any] = {
            "group_instance_id": settings.instance_id,
            "session_timeout_ms": settings.session_timeout_ms,
            "heartbeat_interval_ms": settings.heartbeat_interval_ms,
            "max_poll_interval_ms": settings.max_poll_interval_ms,
            "partition_assignment_strategy": [CooperativeStickyAssignor],
            **_FETCHING,
        }
        self._producer: dict[str, Any] = {
            "delivery_timeout_ms": settings.delivery_timeout_ms,
            "linger_ms": settings.linger_ms,
            "batch_size": settings.batch_bytes,
            "max_request_size": settings.max_request_bytes,
            "max_block_ms": settings.request_timeout_ms,
            "compression_type": codec,
            **_PRODUCER,
        }
        self._transactions = {"transaction_timeout_ms": settings.transaction_timeout_ms}

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest"
    ) -> KafkaConsumer:
        """See `port.Broker`. Raises BrokerUnavailable when no broker answers."""
        config = {
            **self._common,
            **self._consumer,
            "group_id": group,
            "auto_offset_reset": start_at,
        }
        return KafkaConsumer(
            config,
            topic,
            listener,
            self._timeout_ms,
            self._settings.bulk,
            self._settings.unpacked_bytes,
        )

    def reader(self, topic: str) -> KafkaReader:
        """See `port.Broker`. Raises BrokerUnavailable when no broker answers."""
        config = {**self._common, **_FETCHING}
        return KafkaReader(config, topic, self._timeout_ms, *self._reading)

    def producer(
        self, transactional_id: str | None = None, timeout_s: float = 10.0
    ) -> KafkaProducer:
        """See `port.Broker`. Raises BrokerUnavailable when no broker answers,
        TransactionFailed if it refuses."""
        config = {**self._common, **self._producer}
        if transactional_id is not None:
            config |= {**self._transactions, "transactional_id": transactional_id}
        return KafkaProducer(config, timeout_s, self._settings.bulk)

    def leave(self, group: str) -> None:
        """See `port.Broker`. Other members get its partitions at once,
        not when the session ends."""
        if self._settings.instance_id is None:
            return
        with self.admin() as admin:
            admin.remove_static_member(group, self._settings.instance_id)

    def admin(self) -> KafkaAdmin:
        """See `port.Broker`. Raises BrokerUnavailable when no broker answers."""
        return KafkaAdmin(self._common)
