"""A persistent session at an MQTT broker, whose messages are acknowledged by hand.

Everything happens on the thread that calls: nothing is received, and no sign of life is sent,
between calls. A message that is not acknowledged before its connection ends is sent again in the
next one. Only messages of the present connection are acknowledged, because a broker that has lost
the session uses their numbers anew.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, topic_matches_sub
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from eddycast.service.bridges.mqtt_client import connect, new_client, subscriptions
from eddycast.service.errors import MqttRefused
from eddycast.service.observability.log import get_log
from eddycast.service.observability.throttle import OUTAGE_S, Throttle
from eddycast.service.records import Headers
from eddycast.service.settings.mqtt import MqttSettings

#: Pause between two attempts to connect, longest wait for a part of the farewell, s.
_AGAIN_S, _FAREWELL_S = 1.0, 0.1
#: Refusals that a retry may cure: the broker is busy, starts, moves or shuts down.
_FOR_NOW = {"Server unavailable", "Server busy", "Server shutting down", "Use another server"}
_SHARED = "$share/"


class Message(NamedTuple):
    """A message of the broker."""

    topic: str
    payload: bytes
    headers: Headers  # user properties
    time_ms: int  # of its arrival
    mid: int  # number within the connection
    qos: int
    connection: int  # number of the connection


class MqttSession:
    """Connects when it is asked for messages, and again after an outage."""

    def __init__(self, settings: MqttSettings, max_bytes: int) -> None:
        """Receiving pauses while messages of `max_bytes` wait. Raises SettingsError."""
        self._settings, self._max_bytes = settings, max_bytes
        self._inbox: deque[Message] = deque()
        self._bytes = 0
        self._connection, self._is_connected, self._tried = 0, False, float("-inf")
        self._refused: MqttRefused | None = None
        self._outage = Throttle(OUTAGE_S)
        self._filters = [_without_share(each) for each in settings.filters]
        #: True while messages can arrive.
        self.is_subscribed = False
        #: Messages that were kept by the broker from before, or are of no topic of the settings.
        self.ignored = 0
        self._client = new_client(settings)
        self._client.on_connect, self._client.on_disconnect = self._connected, self._disconnected
        self._client.on_subscribe, self._client.on_message = self._subscribed, self._arrived

    def receive(self, timeout_s: float, at_most: int) -> list[Message]:
        """Wait up to `timeout_s` for messages and take those that are there, at most so many.
        Raises MqttRefused."""
        self.turn(timeout_s)
        while len(self._inbox) < at_most:
            before = len(self._inbox)
            self.turn(0.0)
            if len(self._inbox) == before:
                break
        taken = [self._inbox.popleft() for _ in range(min(at_most, len(self._inbox)))]
        self._bytes -= sum(map(_size, taken))
        return taken

    def turn(self, timeout_s: float) -> None:
        """Read what has arrived and send what is due, waiting up to `timeout_s`. Raises
        MqttRefused."""
        if self._bytes >= self._max_bytes:
            time.sleep(timeout_s)
            return
        if self._client.socket() is None and not self._connect():
            time.sleep(timeout_s)
            return
        if self._client.loop(timeout_s) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._is_connected = False
        if self._refused is not None:
            raise self._refused

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages in the order of their arrival; those of an earlier connection come
        again."""
        for message in messages:
            if message.qos and message.connection == self._connection and self._is_connected:
                self._client.ack(message.mid, message.qos)

    @property
    def waiting(self) -> int:
        """Number of messages that have arrived and were not taken."""
        return len(self._inbox)

    def close(self, within_s: float) -> None:
        """Disconnect once the broker has every acknowledgement; it keeps the session.

        A connection that is closed while messages arrive is reset, and what the broker has not read
        by then is lost. So the topics are subscribed to once more: the answer to that follows all
        acknowledgements. What arrives meanwhile is not acknowledged.
        """
        deadline = time.monotonic() + within_s
        if self._is_connected:
            self.is_subscribed = False
            self._client.subscribe(subscriptions(self._settings))
        while self._is_connected and not self.is_subscribed and time.monotonic() < deadline:
            if self._client.loop(_FAREWELL_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
        self._client.disconnect()

    def _connect(self) -> bool:
        """Try to connect, not too often. Raises MqttRefused."""
        if time.monotonic() - self._tried < _AGAIN_S:
            return False
        self._tried = time.monotonic()
        try:
            connect(self._client, self._settings)
        except ssl.SSLCertVerificationError as error:
            raise MqttRefused(
                f"{self._place} is not trusted: {error.verify_message}", "set mqtt.ssl_cafile"
            ) from error
        except OSError as error:
            if self._outage.is_due():
                reason = error.strerror or str(error)
                get_log().warning("waiting for the MQTT broker", at=self._place, reason=reason)
            return False
        return True

    @property
    def _place(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _connected(
        self, _client: Client, _: Any, flags: ConnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        if code.is_failure:
            self._not_connected(code)
            return
        self._connection += 1
        self._is_connected = True
        if flags.session_present:  # what is not acknowledged is sent again
            self._inbox = deque(message for message in self._inbox if not message.qos)
            self._bytes = sum(map(_size, self._inbox))
        get_log().info("connected", at=self._place, session_continues=flags.session_present)
        self._client.subscribe(subscriptions(self._settings))

    def _subscribed(
        self, _client: Client, _: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self.is_subscribed = True
        for each, code in zip(self._settings.filters, codes, strict=True):
            if code.is_failure:
                self._refused = MqttRefused(
                    f"{self._place} refuses the subscription to {each}: {code}",
                    "correct mqtt.topics, or grant the user the right to read it",
                )

    def _not_connected(self, code: ReasonCode) -> None:
        if code.getName() not in _FOR_NOW:
            self._refused = MqttRefused(
                f"{self._place} refuses the connection: {code}",
                "correct mqtt.username, mqtt.password, mqtt.client_id or mqtt.version",
            )
        elif self._outage.is_due():
            get_log().warning("waiting for the MQTT broker", at=self._place, reason=str(code))

    def _disconnected(
        self, _client: Client, _: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        was_connected, self._is_connected, self.is_subscribed = self._is_connected, False, False
        if was_connected and code.is_failure:
            get_log().warning("the MQTT broker has disconnected", at=self._place, reason=str(code))

    def _arrived(self, _client: Client, _: Any, message: MQTTMessage) -> None:
        topic = _topic(message)
        arrived = Message(
            topic,
            bytes(message.payload),
            _headers(message),
            time.time_ns() // 1_000_000,
            message.mid,
            message.qos,
            self._connection,
        )
        if message.retain or not any(topic_matches_sub(each, topic) for each in self._filters):
            self.ignored += 1
            self.acknowledge([arrived])
            return
        self._inbox.append(arrived)
        self._bytes += _size(arrived)


def _without_share(filter_: str) -> str:
    """The topic of a shared subscription, `$share/GROUP/TOPIC`."""
    return filter_.split("/", 2)[-1] if filter_.startswith(_SHARED) else filter_


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError as error:
        return error.object.decode(errors="replace")


def _headers(message: MQTTMessage) -> Headers:
    pairs = getattr(message.properties, "UserProperty", [])
    return [(name, value.encode()) for name, value in pairs]


def _size(message: Message) -> int:
    """Approximate bytes of a message in memory."""
    return 500 + len(message.payload) + len(message.topic)
