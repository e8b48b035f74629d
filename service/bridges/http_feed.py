"""`feed http`: readings that are posted, into the input topic, at least once.

A request is answered once Kafka has its readings, so whoever has the answer can forget them. A
sender that gets none, or 429 or 503, sends the request again: the service drops readings with a
time stamp that it has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Event

from eddycast.service.bridges.feed_metrics import FeedMetrics
from eddycast.service.bridges.http_app import http_app
from eddycast.service.bridges.http_writer import HttpWriter
from eddycast.service.bridges.messages import MessageMapper
from eddycast.service.bridges.rates import Rates
from eddycast.service.bridges.target import reached
from eddycast.service.broker.port import Broker
from eddycast.service.observability.log import get_log
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.settings import Settings
from eddycast.service.web.secrets import tls_of, token_of
from eddycast.service.web.server import HttpServer, is_loopback

#: Timeout of a turn of the writer, s.
_TURN_S = 0.1


class HttpFeed:
    """Serves requests on a thread of its own, and writes on the thread that runs it."""

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        channels: int,
        at: Callable[[str], None],
        metrics: FeedMetrics | None = None,
    ) -> None:
        """Raises SettingsError if the mapping does not fit the number of channels."""
        self._broker, self._settings, self._at = broker, settings, at
        self._metrics = metrics
        self._records = MessageMapper(settings, channels)
        self._lines = self._records
        if settings.input.format != "influx":
            lines = InputSettings.model_validate({"format": "influx"})
            self._lines = MessageMapper(settings.model_copy(update={"input": lines}), 1)
        #: Address while it serves.
        self.url: str | None = None

    def run(self, stop: Event) -> None:
        """Serve until `stop`; requests that have come are still answered.
        Raises AddressInUse, SettingsError, TopicMissing, AccessRefused, BrokerError."""
        feed, waits = self._settings.feed, self._settings.waits
        token, tls = token_of(feed), tls_of(feed)
        target = reached(self._broker, self._settings, stop)
        if target is None:
            return
        rates = Rates("http", feed.rates_s, self._metrics)
        within_s = self._settings.kafka.delivery_timeout_ms / 1000
        writer = HttpWriter(self._broker, target, rates, within_s, self._at)
        app = http_app(self._records, self._lines, writer, token, feed.max_bytes, rates.refuse)
        finish_s = max(1, int(waits.drain_s))
        server = HttpServer(app, feed.host, feed.port, tls, "feed.port", finish_s)
        self.url = server.url
        if token is None and not is_loopback(feed.host):
            get_log().warning(
                "everybody who reaches this port can write readings", action="set feed.token_file"
            )
        get_log().info("readings are taken", url=server.url, topic=target.topic)
        try:
            while not stop.is_set():
                writer.turn(_TURN_S)
                if rates.is_due:
                    rates.show(waiting=writer.waiting)
        finally:
            _finish(server, writer)
        rates.end()


def _finish(server: HttpServer, writer: HttpWriter) -> None:
    """Close the server while its last requests are written."""
    closing = threading.Thread(target=server.close, name="closing")
    closing.start()
    try:
        while closing.is_alive():
            writer.turn(_TURN_S)
    finally:
        writer.close()
        closing.join()
