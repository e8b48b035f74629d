"""`feed mqtt`: topics of an MQTT broker into the input topic, each message at least once.

    receive -> map -> produce -> flush -> acknowledge

A message is acknowledged to the MQTT broker only after Kafka has its readings or its dead letter.
One that was written and not acknowledged, because the process or a connection died in between,
comes again: the service drops readings with a time stamp that it has. While Kafka is away the
message waits, further ones wait up to `feed.max_bytes`, and the rest at the MQTT broker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

from eddycast.service.bridges.feed_metrics import FeedMetrics
from eddycast.service.bridges.messages import MessageMapper, add_letters, add_readings
from eddycast.service.bridges.mqtt_session import Message, MqttSession
from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.bridges.patient_writer import PatientWriter
from eddycast.service.bridges.rates import Rates
from eddycast.service.bridges.target import Target, reached
from eddycast.service.broker.port import Broker
from eddycast.service.observability.log import get_log
from eddycast.service.settings.settings import Settings

#: Timeout of receiving, s.
_RECEIVE_S = 0.25


class MqttFeed:
    """Feeds the messages of a session to the input topic."""

    def __init__(
        self,
        session: MqttSession,
        broker: Broker,
        settings: Settings,
        mapper: MessageMapper,
        at: Callable[[str], None],
        metrics: FeedMetrics | None = None,
    ) -> None:
        self._session, self._broker, self._settings = session, broker, settings
        self._mapper = mapper
        self._writer = PatientWriter(broker, settings, at)
        self._rates = Rates("mqtt", settings.feed.rates_s, metrics)

    def run(self, stop: Event) -> None:
        """Feed until `stop`; then what has been received is written. Outages are waited out.
        Raises MqttRefused, TopicMissing, AccessRefused, BrokerError."""
        target = reached(self._broker, self._settings, stop)
        if target is None:
            return
        at_most, within_s = self._settings.kafka.max_poll_records, self._settings.waits.drain_s
        try:
            while not stop.is_set():
                messages = self._session.receive(_RECEIVE_S, at_most)
                if messages and not self._write(messages, target, stop):
                    break
                if self._rates.is_due:
                    self._rates.show(
                        waiting=self._session.waiting,
                        ignored=self._session.ignored,
                        connected=self._session.is_subscribed,
                    )
        finally:
            self._session.close(within_s)
            self._writer.close()
        self._rates.end(ignored=self._session.ignored)

    def _write(self, messages: Sequence[Message], target: Target, stop: Event) -> bool:
        """Write messages and acknowledge them; False if that did not succeed before the deadline
        after `stop`. Raises BrokerError."""
        outgoing, filtered = Outgoing(target), 0
        for message in messages:
            filtered += self._map(message, outgoing)
        if not self._writer.write(outgoing, stop, self._session.turn):
            get_log().warning(
                "stopped before the last messages were written: the MQTT broker keeps them",
                messages=len(messages),
            )
            return False
        self._session.acknowledge(messages)
        self._rates.written(len(messages), filtered, outgoing)
        return True

    def _map(self, message: Message, outgoing: Outgoing) -> int:
        """Add what becomes of a message; returns the number of readings that are filtered."""
        if not message.payload:  # removes a message that the broker kept
            return 1
        key = message.topic.encode()
        record = self._mapper.record(
            message.topic, key, message.payload, message.headers, message.time_ms
        )
        outcomes = self._mapper.read(record)
        add_letters(record, outcomes, outgoing)
        return add_readings(record, outcomes, outgoing)
