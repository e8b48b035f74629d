"""The monitor as a process: the follower on its main thread, HTTP on another one."""

from __future__ import annotations

import os
import ssl
import sys
import threading
from pathlib import Path

from pydantic import SecretStr

from eddycast.service.broker.port import Broker
from eddycast.service.delivery.connect import kafka_broker, warn_of_risks
from eddycast.service.errors import SettingsError
from eddycast.service.monitor.board import Board
from eddycast.service.monitor.bundle_facts import bundle_facts
from eddycast.service.monitor.decode import Decoder
from eddycast.service.monitor.follower import Follower
from eddycast.service.monitor.guard import is_loopback
from eddycast.service.monitor.http_app import http_app
from eddycast.service.monitor.http_server import HttpServer
from eddycast.service.observability.log import configure_log, get_log, log_everything
from eddycast.service.settings.groups import MonitorSettings
from eddycast.service.settings.settings import Settings
from eddycast.service.signals import StopSignals

#: Exit code of a stop that did not finish, as of the service.
CUT_SHORT = 70


def run(settings: Settings) -> None:
    """Serve the monitor until SIGTERM or ctrl-C.
    Raises AddressInUse, SettingsError, and BrokerErrors that a retry does not cure."""
    configure_log(settings.log.format, settings.log.level)
    log_everything()
    with StopSignals(_cut_short, settings.shutdown_timeout_s) as signals:
        Monitor(settings).run(signals.stop)


class Monitor:
    """One monitor. `broker` replaces Kafka, for a monitor inside another program."""

    def __init__(self, settings: Settings, broker: Broker | None = None) -> None:
        self._settings = settings
        self._broker = broker
        facts = bundle_facts(settings.bundle.directory)
        self.board = Board(settings.monitor, facts)
        self._decoder = Decoder(facts.channel_of)
        #: URL of the page while it runs.
        self.url: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop`. Raises as `run`."""
        monitor = self._settings.monitor
        token = _token(monitor)
        if self._broker is None:
            warn_of_risks(self._settings.kafka)
        broker = self._broker or kafka_broker(self._settings.kafka)
        topic = self._settings.topics.output
        follower = Follower(broker, topic, self.board, self._decoder, monitor.read_back)
        server = HttpServer(
            http_app(self.board, follower.progress, monitor.host, token),
            monitor.host,
            monitor.port,
            _tls(monitor),
        )
        self.url = server.url
        if token is None and not is_loopback(monitor.host):
            get_log().warning(
                "everybody who reaches this port sees every stream", action="set monitor.token_file"
            )
        get_log().info("the monitor is served", url=server.url, topic=topic)
        try:
            follower.run(stop)
        finally:
            server.close()
        get_log().info("stopped", records=self.board.records)


def _tls(settings: MonitorSettings) -> tuple[Path, Path | None] | None:
    """Certificate and key for HTTPS, None without. Raises SettingsError."""
    certificate, key = settings.ssl_certfile, settings.ssl_keyfile
    if certificate is None:
        return None
    try:
        # an empty password: one that is asked for at the terminal would stop the start
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, "")
    except OSError as error:
        raise SettingsError(
            f"monitor.ssl_certfile: {certificate} does not load: {error.strerror or error}",
            "name a certificate in PEM with its key, without a password",
        ) from error
    return certificate, key


def _token(settings: MonitorSettings) -> str | None:
    """The token from its setting or file. Raises SettingsError."""
    if isinstance(settings.token, SecretStr):
        return settings.token.get_secret_value()
    if settings.token_file is None:
        return None
    try:
        token = settings.token_file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"monitor.token_file: {settings.token_file} cannot be read", "name a readable file"
        ) from error
    if len(token) < 8:
        raise SettingsError(
            f"monitor.token_file: {settings.token_file} holds less than 8 characters",
            "put the token into it",
        )
    return token


def _cut_short(why: str) -> None:
    """End the process now."""
    get_log().error("cut short", why=why)
    sys.stderr.flush()
    os._exit(CUT_SHORT)
