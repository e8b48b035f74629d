"""Definitions of metrics: each makes a collector and a line of docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from eddycast.service.observability.histogram import Distribution

METRIC_PREFIX = "eddycast_"
#: Upper edges of histogram buckets: seconds, rows per call, nats.
SECOND_BUCKETS = (
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    2.5e-3,
    5e-3,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
ROW_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0)
SURPRISE_BUCKETS = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0)


class Definition(NamedTuple):
    """One line of the table. `rises` tells an operator what it means, or what to do,
    when the metric rises."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str
    rises: str


class Definitions:
    """Metrics registered in `registry`, and their table."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.table: list[Definition] = []

    def _counter(
        self,
        name: str,
        unit: str,
        meaning: str,
        rises: str,
        *labels: str,
        values: Iterable[str] = (),
    ) -> Counter:
        """`values` are those of a single label that are exposed from the start, at 0, so that
        their first increase is seen as one."""
        self._list(name, "counter", unit, meaning, rises, *labels)
        counter = Counter(METRIC_PREFIX + name, meaning, labels, registry=self.registry)
        for value in values:
            counter.labels(value)
        return counter

    def _gauge(self, name: str, unit: str, meaning: str, rises: str, *labels: str) -> Gauge:
        self._list(name, "gauge", unit, meaning, rises, *labels)
        return Gauge(METRIC_PREFIX + name, meaning, labels, registry=self.registry)

    def _distribution(
        self,
        name: str,
        unit: str,
        meaning: str,
        rises: str,
        upper: Sequence[float],
        label: str = "",
    ) -> Distribution:
        self._list(name, "histogram", unit, meaning, rises, *([label] if label else []))
        return Distribution(self.registry, METRIC_PREFIX + name, meaning, upper, label)

    def _list(
        self, name: str, kind: str, unit: str, meaning: str, rises: str, *labels: str
    ) -> None:
        self.table.append(Definition(METRIC_PREFIX + name, kind, unit, labels, meaning, rises))
