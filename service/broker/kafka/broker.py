"""Kafka through kafka-python: configuration and creation of its clients."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from service.broker.kafka.admin import KafkaAdmin
from service.broker.kafka.client import NetworkClient
from service.broker.kafka.consumer import KafkaConsumer
from service.broker.kafka.producer import KafkaProducer
from service.broker.kafka.reader import KafkaReader
from service.broker.port import RebalanceListener
from service.errors import SettingsError

#: Time-out of a connection to an address.
_CONNECT_TIMEOUT_MS = 5_000
#: Fixed options of every reading client: no automatic commits, and only committed records are read.
_FETCHING = {
    "enable_auto_commit": False,
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}
#: Fixed options of every producer: records are acknowledged by all in-sync replicas, in order and without repetition.
_PRODUCER = {
    "acks": "all",
    "enable_idempotence": True,
    "retry_backoff_ms": 20,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


class KafkaBroker:
    """A `port.Broker` on Apache Kafka. Times in milliseconds; `delivery` must leave room within `transaction`.

    `instance_id` makes consumers static members: a restart within the session keeps their partitions. `bulk` moves
    whole record batches, which leans on the client's inside; without it records pass one by one, many times slower. A
    compressed batch that would unpack to more than `unpacked_bytes` is not read, but named.
    `security` holds kafka-python's `security_protocol`, `sasl_*` and `ssl_*` options.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        session_timeout_ms: int = 10_000,
        heartbeat_interval_ms: int = 1_000,
        max_poll_interval_ms: int = 60_000,
        request_timeout_ms: int = 10_000,
        delivery_timeout_ms: int = 12_000,
        transaction_timeout_ms: int = 15_000,
        linger_ms: int = 5,
        batch_bytes: int = 512 * 1024,
        max_request_bytes: int = 1024 * 1024,
        fetch_max_bytes: int = 32 * 1024 * 1024,
        partition_fetch_bytes: int = 2 * 1024 * 1024,
        fetch_max_wait_ms: int = 500,
        instance_id: str | None = None,
        bulk: bool = True,
        unpacked_bytes: int = 32 * 1024 * 1024,
        security: Mapping[str, Any] | None = None,
    ) -> None:
        _ascending(heartbeat_interval_ms=heartbeat_interval_ms, session_timeout_ms=session_timeout_ms)
        _ascending(
            fetch_max_wait_ms=fetch_max_wait_ms,
            request_timeout_ms=request_timeout_ms,
            delivery_timeout_ms=delivery_timeout_ms,
            transaction_timeout_ms=transaction_timeout_ms,
        )
        self._timeout_ms = request_timeout_ms
        self._instance_id, self._bulk, self._unpacked_bytes = instance_id, bulk, unpacked_bytes
        self._common: dict[str, Any] = {
            "bootstrap_servers": [address.strip() for address in bootstrap_servers.split(",")],
            "request_timeout_ms": request_timeout_ms,
            "bootstrap_timeout_ms": min(_CONNECT_TIMEOUT_MS, request_timeout_ms),
            "reconnect_backoff_max_ms": 1_000,
            "kafka_client": NetworkClient,
            **_checked(security or {}),
        }
        self._fetching: dict[str, Any] = {
            "fetch_max_bytes": fetch_max_bytes,
            "max_partition_fetch_bytes": partition_fetch_bytes,
            "fetch_max_wait_ms": fetch_max_wait_ms,
            **_FETCHING,
        }
        self._consumer: dict[str, Any] = {
            "group_instance_id": instance_id,
            "session_timeout_ms": session_timeout_ms,
            "heartbeat_interval_ms": heartbeat_interval_ms,
            "max_poll_interval_ms": max_poll_interval_ms,
            "partition_assignment_strategy": [CooperativeStickyAssignor],
            **self._fetching,
        }
        self._producer: dict[str, Any] = {
            "delivery_timeout_ms": delivery_timeout_ms,
            "linger_ms": linger_ms,
            "batch_size": batch_bytes,
            "max_request_size": max_request_bytes,
            "max_block_ms": request_timeout_ms,
            **_PRODUCER,
        }
        self._transactions = {"transaction_timeout_ms": transaction_timeout_ms}

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest"
    ) -> KafkaConsumer:
        """See `port.Broker`. Raises BrokerUnavailable when no broker answers."""
        config = {**self._common, **self._consumer, "group_id": group, "auto_offset_reset": start_at}
        return KafkaConsumer(config, topic, listener, self._timeout_ms, self._bulk, self._unpacked_bytes)

    def reader(self, topic: str) -> KafkaReader:
        """See `port.Broker`. Raises BrokerUnavailable when no broker answers."""
        config = {**self._common, **self._fetching}
        return KafkaReader(config, topic, self._timeout_ms, self._bulk, self._unpacked_bytes)

    def producer(self, transactional_id: str | None = None, timeout_s: float = 10.0) -> KafkaProducer:
        """See `port.Broker`. Raises BrokerUnavailable when no broker answers, TransactionFailed if it refuses."""
        config = {**self._common, **self._producer}
        if transactional_id is not None:
            config |= {**self._transactions, "transactional_id": transactional_id}
        return KafkaProducer(config, timeout_s, self._bulk)

    def leave(self, group: str) -> None:
        """See `port.Broker`. Other members get its partitions at once, not when the session ends."""
        if self._instance_id is None:
            return
        with self.admin() as admin:
            admin.remove_static_member(group, self._instance_id)

    def admin(self) -> KafkaAdmin:
        """See `port.Broker`. Raises BrokerUnavailable when no broker answers."""
        return KafkaAdmin(self._common)


def _ascending(**times_ms: int) -> None:
    """Raise SettingsError unless these times ascend, with the names of the settings."""
    for (small, short), (large, long) in pairwise(times_ms.items()):
        if short >= long:
            raise SettingsError(f"{small} ({short}) must be less than {large} ({long})")


def _checked(security: Mapping[str, Any]) -> dict[str, Any]:
    """`security` for the client. Raises SettingsError for any option not about security."""
    for name in security:
        if name != "security_protocol" and not name.startswith(("sasl_", "ssl_")):
            raise SettingsError(f"{name!r} is not a security option", "use security_protocol, sasl_* or ssl_*")
    return dict(security)
