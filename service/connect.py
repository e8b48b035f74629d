"""From settings to a broker, and the first contact with it: the way in for every command that talks to one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Event

from service.broker.kafka import KafkaBroker
from service.broker.port import Admin, Broker
from service.errors import BrokerUnavailable
from service.log import get_log
from service.setting_groups import KafkaSettings


def kafka_broker(settings: KafkaSettings) -> Broker:
    """Real Kafka as `settings` say. Connects to nothing yet."""
    return KafkaBroker(
        settings.bootstrap_servers,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
        max_poll_interval_ms=settings.max_poll_interval_ms,
        request_timeout_ms=settings.request_timeout_ms,
        delivery_timeout_ms=settings.delivery_timeout_ms,
        transaction_timeout_ms=settings.transaction_timeout_ms,
        linger_ms=settings.linger_ms,
        batch_bytes=settings.batch_bytes,
        max_request_bytes=settings.max_request_bytes,
        instance_id=settings.instance_id,
        bulk=settings.bulk,
        unpacked_bytes=settings.unpacked_bytes,
        security=_security(settings),
    )


def reach(
    broker: Broker, stop: Event, waiting: Callable[[str], None], every_s: float = 2.0, within_s: float = math.inf
) -> Admin | None:
    """The broker's admin once it answers; None if `stop` is set before.

    Says at every attempt, a few seconds apart, that it waits, and calls `waiting` with what for. Raises
    BrokerUnavailable when nobody has answered `within_s`.
    """
    began = time.monotonic()
    while not stop.is_set():
        waiting("the broker")
        try:
            return broker.admin()
        except BrokerUnavailable as error:
            if time.monotonic() - began >= within_s:
                action = error.action or "start it, or correct its address"
                raise BrokerUnavailable(f"{error.what}, for {within_s:g} s", action) from error
            get_log().warning("waiting for the broker", reason=error.what)
            stop.wait(every_s)
    return None


def _security(settings: KafkaSettings) -> dict[str, str]:
    options: dict[str, str] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.startswith("SASL") and settings.sasl_username and settings.sasl_password:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    if settings.ssl_cafile is not None:
        options["ssl_cafile"] = str(settings.ssl_cafile)
    return options
