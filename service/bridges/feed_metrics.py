"""The metrics of a bridge, served while it runs if `feed.metrics_port` is set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from eddycast.service.observability.health import Health
from eddycast.service.observability.http_port import HealthServer
from eddycast.service.observability.log import get_log
from eddycast.service.observability.metric_kinds import Definitions
from eddycast.service.settings.settings import Settings


class FeedMetrics(Definitions):
    """All metrics of one bridge, registered in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.records = self._counter(
            "feed_records_total",
            "records",
            "Records, messages, lines or requests' records of which Kafka has everything.",
            "Senders send more.",
        )
        self.readings = self._counter(
            "feed_readings_total",
            "readings",
            "Readings written to the input topic and acknowledged.",
            "Like feed_records_total.",
        )
        self.filtered = self._counter(
            "feed_filtered_total",
            "readings",
            "Readings that the settings pass over: input.where, input.streams, and words among the "
            "fields of a record.",
            "Like filtered_total.",
        )
        self.dead_letters = self._counter(
            "feed_dead_letters_total",
            "records",
            "Dead letters written: what cannot be read.",
            "The dead-letter topic has them with the reason; try the mapping with eddycast input "
            "try.",
        )
        self.refused = self._counter(
            "feed_refused_total",
            "readings",
            "Readings and whole requests that feed http has refused: the answer has the reason.",
            "A sender sends what the settings of input do not describe, or more than Kafka takes: "
            "see feed_waiting.",
        )
        self.waiting = self._gauge(
            "feed_waiting",
            "records",
            "Messages (mqtt), requests (http) or records of the source (kafka) that are not yet "
            "written, as of the log's last line of rates.",
            "Kafka, or for mqtt and http the bridge, is slower than the senders: see the log for "
            "outages.",
        )


@contextmanager
def served_metrics(settings: Settings) -> Iterator[FeedMetrics]:
    """Context with the metrics of a bridge, served if a port is set. Raises AddressInUse."""
    metrics, port = FeedMetrics(CollectorRegistry()), settings.feed.metrics_port
    if port is None:
        yield metrics
        return
    health = Health(math.inf)
    health.ready()
    where = settings.http.host, port
    server = HealthServer(*where, metrics.registry, health, setting="feed.metrics_port")
    get_log().info("metrics are served", url=server.url)
    try:
        yield metrics
    finally:
        server.close()
