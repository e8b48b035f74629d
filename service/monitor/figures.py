"""Metrics of the monitor: aggregates only, computed at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_PREFIX = "eddycast_monitor_"


class Figure(NamedTuple):
    """A metric that is a number of the summary."""

    name: str
    key: str
    kind: str
    meaning: str


FIGURES = (
    Figure("streams", "streams", "gauge", "Streams that are shown."),
    Figure("silent_streams", "silent", "gauge", "Streams silent by their own rhythm."),
    Figure("cold_streams", "cold", "gauge", "Streams that are not warm yet."),
    Figure("lag", "lag", "gauge", "Offsets of the forecasts topic still to be read."),
    Figure("caught_up", "caught_up", "gauge", "1 once the end at start has been reached."),
    Figure("records", "records", "counter", "Records read from the forecasts topic."),
    Figure("anomalies", "anomalies", "counter", "Readings beyond the threshold of their stream."),
    Figure("dead_letters", "dead_letters", "counter", "Records of the dead letters read."),
    Figure("unreadable", "unreadable", "counter", "Records that are no forecasts."),
    Figure("beyond_max_streams", "beyond_max_streams", "counter", "Records that found no room."),
)
#: Metrics by lead: name, key in the accuracy, meaning.
BY_LEAD = (
    ("scaled_error", "mae", "Mean absolute error of the last day, in scales of each stream."),
    ("error_of_last_value", "of_last_value", "The same, as a part of that of the last value."),
    ("coverage", "coverage", "Part of readings inside the outer quantiles, last day."),
    ("nominal_coverage", "nominal", "What coverage should be."),
)


def metric_names() -> list[str]:
    """Names of all metrics, as they are scraped."""
    return [
        *(_PREFIX + f.name + ("_total" if f.kind == "counter" else "") for f in FIGURES),
        *(_PREFIX + name for name, _, _ in BY_LEAD),
    ]


def registry_of(
    summary: Callable[[], dict[str, Any]], accuracy: Callable[[], list[dict[str, Any]]]
) -> CollectorRegistry:
    """A registry that asks for the summary and for the accuracy of all at each scrape."""
    registry = CollectorRegistry()
    registry.register(_Figures(summary, accuracy))
    ProcessCollector(registry=registry)
    return registry


class _Figures(Collector):
    def __init__(
        self, summary: Callable[[], dict[str, Any]], accuracy: Callable[[], list[dict[str, Any]]]
    ) -> None:
        self._summary, self._accuracy = summary, accuracy

    def collect(self) -> Iterator[Metric]:
        """Called at each scrape."""
        now = self._summary()
        for figure in FIGURES:
            family = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
            yield family(_PREFIX + figure.name, figure.meaning, value=float(now[figure.key]))
        shapes = self._accuracy()
        for name, key, meaning in BY_LEAD:
            metric = GaugeMetricFamily(
                _PREFIX + name, meaning, labels=("interval_ms", "quantiles", "lead")
            )
            for shape in shapes:
                levels = " ".join(f"{level:g}" for level in shape["quantiles"])
                for line in shape["windows"]["day"]:
                    if line[key] is not None:
                        metric.add_metric(
                            [str(shape["interval_ms"]), levels, str(line["lead"])], line[key]
                        )
            yield metric

    def describe(self) -> Iterator[Metric]:
        """Nothing: what there is depends on the records."""
        return iter(())
