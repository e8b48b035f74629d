"""Writes until Kafka has acknowledged, for sources that can wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.broker.port import Broker, Producer
from eddycast.service.errors import BrokerError
from eddycast.service.observability.log import get_log
from eddycast.service.observability.throttle import OUTAGE_S, Throttle
from eddycast.service.settings.settings import Settings

#: Pause between two attempts, s.
_AGAIN_S = 0.5


class PatientWriter:
    """A producer, opened when there is something to write."""

    def __init__(self, broker: Broker, settings: Settings, at: Callable[[str], None]) -> None:
        self._broker, self._at = broker, at
        self._within_s = settings.kafka.delivery_timeout_ms / 1000
        self._drain_s = settings.waits.drain_s
        self._outage = Throttle(OUTAGE_S)
        self._producer: Producer | None = None

    def write(self, outgoing: Outgoing, stop: Event, pause: Callable[[float], object]) -> bool:
        """Write until it is acknowledged, or until the deadline after `stop`: False. Calls
        `pause(seconds)` between attempts, each of which may repeat records. Raises BrokerErrors
        that a retry does not cure."""
        deadline = float("inf")
        while not self._is_written(outgoing):
            if stop.is_set():
                deadline = min(deadline, time.monotonic() + self._drain_s)
            if time.monotonic() >= deadline:
                return False
            pause(_AGAIN_S)
        self._at("feed.2")
        return True

    def close(self) -> None:
        """Close the connection."""
        if self._producer is not None:
            self._producer.close()

    def _is_written(self, outgoing: Outgoing) -> bool:
        try:
            self._producer = self._producer or self._broker.producer()
            outgoing.produce(self._producer)
            self._at("feed.1")
            self._producer.flush(self._within_s)
        except BrokerError as error:
            if not error.retriable:
                raise
            if self._outage.is_due():
                get_log().warning("writing again", reason=error.what)
            return False
        return True
