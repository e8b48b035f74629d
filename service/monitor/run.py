"""The monitor as a process: forecasts are followed on its main thread, dead letters and HTTP on
others, and the workers are watched beside them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from eddycast.service.broker.port import Broker
from eddycast.service.delivery.connect import kafka_broker, warn_of_risks
from eddycast.service.delivery.schema_registry import SchemaRegistry
from eddycast.service.errors import BrokerError
from eddycast.service.formats.avro_frame import SchemaId
from eddycast.service.monitor.board import Board
from eddycast.service.monitor.bundle_facts import bundle_facts
from eddycast.service.monitor.decode import Decoder
from eddycast.service.monitor.event_writer import EventWriter
from eddycast.service.monitor.follower import Follower
from eddycast.service.monitor.http_app import http_app
from eddycast.service.monitor.letters import Letters
from eddycast.service.monitor.service_panel import ServicePanel
from eddycast.service.observability.log import configure_log, get_log, log_everything
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.settings import Settings
from eddycast.service.signals import StopSignals
from eddycast.service.web.secrets import tls_of, token_of
from eddycast.service.web.server import HttpServer, is_loopback

#: Exit code of a stop that did not finish, as of the service.
CUT_SHORT = 70


def run(settings: Settings) -> None:
    """Serve the monitor until SIGTERM or ctrl-C.
    Raises AddressInUse, SettingsError, and BrokerErrors that a retry does not cure."""
    configure_log(settings.log.format, settings.log.level)
    log_everything()
    with StopSignals(_cut_short, settings.shutdown_timeout_s) as signals:
        Monitor(settings).run(signals.stop)


class _Unregistered:
    """`SchemaOf` without a registry: knows no schema, and says so once. What begins like Avro may
    also be a foreign record, which must not end the monitor."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, _: SchemaId) -> None:
        if not self._said:
            get_log().warning(
                "records that begin like Avro are not read", action="set schema_registry.url"
            )
            self._said = True


class Monitor:
    """One monitor. `broker` replaces Kafka, for a monitor inside another program."""

    def __init__(self, settings: Settings, broker: Broker | None = None) -> None:
        self._settings = settings
        self._broker = broker
        facts = bundle_facts(settings.bundle.directory)
        self.board = Board(settings.monitor, facts)
        self.letters = Letters()
        self._service = ServicePanel(settings)
        schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
        self._decoder = Decoder(
            facts.channel_of,
            schemas.schema_of if settings.schema_registry.url else _Unregistered(),
        )
        self._events: EventWriter | None = None
        #: URL of the page while it runs.
        self.url: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop`. Raises as `run`."""
        monitor = self._settings.monitor
        token, tls = token_of(monitor), tls_of(monitor)
        if self._broker is None:
            warn_of_risks(self._settings.kafka)
        broker = self._broker or kafka_broker(self._settings.kafka)
        follower = Follower(broker, self._settings.topics.output, self._take, monitor.read_back)
        app = http_app(
            self.board, follower.progress, self.letters, self._service, monitor.host, token
        )
        server = HttpServer(app, monitor.host, monitor.port, tls)
        self.url = server.url
        if token is None and not is_loopback(monitor.host):
            get_log().warning(
                "everybody who reaches this port sees every stream", action="set monitor.token_file"
            )
        get_log().info("the monitor is served", url=server.url, topic=self._settings.topics.output)
        self._service.start(stop)
        beside = [_thread("dead letters", self._follow_letters, broker, stop)]
        try:
            if monitor.events is not None:
                topics = self._settings.topics
                self._events = EventWriter(broker, monitor.events, topics, self.board)
                self._events.read_what_is_written(stop)
                beside.append(_thread("events", self._events.run, follower.progress, stop))
            follower.run(stop)
        finally:
            server.close()
        for thread in beside:
            thread.join()
        get_log().info("stopped", records=self.board.records)

    def _take(self, batches: list[PartitionBatch]) -> None:
        decoded = self._decoder.decode(batches)
        with self.board.lock:
            alarms = self.board.add(decoded)
        if self._events is not None:
            self._events.add(alarms)

    def _follow_letters(self, broker: Broker, stop: threading.Event) -> None:
        """Follow the dead letters; without the right to read them the monitor goes on."""
        topic, read_back = self._settings.topics.dead_letters, self._settings.monitor.read_back
        try:
            Follower(broker, topic, self.letters.add, read_back).run(stop)
        except BrokerError as error:
            get_log().warning("dead letters are not shown", reason=error.what, action=error.action)


def _thread(name: str, work: Callable[..., None], *arguments: object) -> threading.Thread:
    """A thread at work."""
    thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


def _cut_short(why: str) -> None:
    """End the process now."""
    get_log().error("cut short", why=why)
    sys.stderr.flush()
    os._exit(CUT_SHORT)
