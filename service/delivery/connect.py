"""Creates a broker from settings and waits for its first answer;
used by the service and every command."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Event

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.broker.port import Admin, Broker
from eddycast.service.errors import BrokerUnavailable
from eddycast.service.observability.log import get_log
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.output import Codec


def kafka_broker(settings: KafkaSettings, codec: Codec | None = None) -> Broker:
    """Kafka with these settings; batches are written compressed by `codec`, if any.
    Raises as `KafkaBroker` does."""
    return KafkaBroker(settings, codec)


def warn_of_risks(settings: KafkaSettings) -> None:
    """Log the security risks of these settings."""
    for risk in settings.risks():
        get_log().warning(risk.what, action=risk.action)


def reach(
    broker: Broker,
    stop: Event,
    waiting: Callable[[str], None],
    every_s: float = 2.0,
    within_s: float = math.inf,
) -> Admin | None:
    """The broker's admin once it answers; None if `stop` is set before.

    Logs each failed attempt and calls `waiting("the broker")` before each one. Raises
    BrokerUnavailable after `within_s` without an answer, and AccessRefused at once.
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
