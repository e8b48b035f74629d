"""paho-mqtt's client with the settings of the group mqtt, in both versions of the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from eddycast.service.errors import SettingsError
from eddycast.service.settings.mqtt import MqttSettings
from eddycast.service.settings.text_file import text_of

#: Time-out of an attempt to connect, s.
_CONNECT_S = 5.0


def new_client(settings: MqttSettings) -> Client:
    """A client that is not connected yet and acknowledges nothing by itself. Raises SettingsError
    for a password or certificate that cannot be read."""
    newest = settings.version == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        settings.client_id,
        clean_session=None if newest else False,
        protocol=MQTTProtocolVersion.MQTTv5 if newest else MQTTProtocolVersion.MQTTv311,
        manual_ack=True,
    )
    client.disable_logger()
    client.connect_timeout = _CONNECT_S
    if settings.username is not None:
        client.username_pw_set(settings.username, _password(settings))
    if settings.tls:
        files = settings.ssl_cafile, settings.ssl_certfile, settings.ssl_keyfile
        try:
            client.tls_set(_text(files[0]), _text(files[1]), _text(files[2]))
        except OSError as error:
            raise SettingsError(
                f"certificates of the group mqtt do not load: {error.strerror or error}",
                "set mqtt.ssl_cafile, mqtt.ssl_certfile and mqtt.ssl_keyfile to PEM files",
            ) from error
    return client


def connect(client: Client, settings: MqttSettings) -> None:
    """Connect to the session, which stays when the connection ends; the answer is a callback.
    Raises OSError."""
    options: dict[str, Any] = {}
    if settings.version == "5":
        asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        asked.SessionExpiryInterval = settings.session_expiry_s
        asked.ReceiveMaximum = settings.in_flight
        options = {"clean_start": False, "properties": asked}
    client.connect(settings.host, settings.port, settings.keepalive_s, **options)


def subscriptions(settings: MqttSettings) -> list[Any]:
    """The topics with QoS 1, without messages that the broker has kept, as far as that can be
    asked for."""
    if settings.version != "5":
        return [(each, 1) for each in settings.filters]
    options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
    return [(each, options) for each in settings.filters]


def _password(settings: MqttSettings) -> str | None:
    """The password from its setting or file. Raises SettingsError."""
    if settings.password is not None:
        return settings.password.get_secret_value()
    if settings.password_file is None:
        return None
    return text_of(settings.password_file, "mqtt.password_file")


def _text(file: Path | None) -> str | None:
    return None if file is None else str(file)
