"""Metrics ports of workers as the service has them, in this process, and a panel over them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from eddycast.service.monitor.service_panel import ServicePanel
from eddycast.service.observability.health import Health
from eddycast.service.observability.http_port import HealthServer
from eddycast.service.observability.metrics import Metrics
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.monitor import MonitorSettings


class WorkerPort:
    """The metrics port of a worker that serves some partitions."""

    def __init__(self, *partitions: int, model: str = "walk@1") -> None:
        self.metrics = Metrics(CollectorRegistry())
        self.health = Health(stalled_after_s=60.0)
        self.health.ready()
        self.metrics.show_model(model, "beef" * 16, "lstm", 7, 1_000_000)
        self.metrics.show_time(4_600_000)
        lag = {partition: 10 * partition for partition in partitions}
        self.metrics.hold(partitions, lag, {partition: 0.5 * partition for partition in partitions})
        self.metrics.streams.set(30)
        self.metrics.cold_streams.set(4)
        self.metrics.dead_letters.labels("not_json").inc(3)
        self._server = HealthServer("127.0.0.1", 0, self.metrics.registry, self.health)
        self.address = f"127.0.0.1:{self._server.port}"

    def serve(self, records: int, seconds: float) -> None:
        """Serve records whose forecasts took this long."""
        self.metrics.records.inc(records)
        self.metrics.forecasts.inc(records)
        self.metrics.acknowledged_seconds.observe_many(np.full(records, seconds))
        self.metrics.stage_seconds.observe(seconds, "step")

    @property
    def text(self) -> str:
        """The text at /metrics."""
        return generate_latest(self.metrics.registry).decode()

    def close(self) -> None:
        """Close the port, as a process that ends does."""
        self._server.close()


@contextmanager
def worker_ports(*partitions: tuple[int, ...]) -> Iterator[list[WorkerPort]]:
    """A worker for each tuple of partitions."""
    workers = [WorkerPort(*each) for each in partitions]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.close()


def panel(services: str, *flags: str) -> ServicePanel:
    """A panel over ports, which looks only when it is told to."""
    assert MonitorSettings(services=services).service_ports
    return ServicePanel(load_settings([f"--monitor.services={services}", *flags], {}))


def look(shown: ServicePanel) -> None:
    """Look at the workers and the registry once."""
    shown.workers.names.look()
    with ThreadPoolExecutor(4) as pool:
        shown.workers.look(pool)
    shown.changes.look()
