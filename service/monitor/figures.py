"""All metrics of the monitor: aggregates only, computed at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from eddycast.service.observability.metric_kinds import METRIC_PREFIX, Definition

#: Values of the label `state`; every stream is in one of them.
STATES = ("cold", "warm", "silent")
_BY_LEAD = ("model", "lead", "window")
_PREFIX = f"{METRIC_PREFIX}monitor_"


def _line(
    name: str, kind: str, unit: str, meaning: str, rises: str, *labels: str
) -> tuple[str, Definition]:
    """Key of the numbers in the summary, or in the accuracy, and the definition of the metric."""
    full = f"{_PREFIX}{name}{'_total' if kind == 'counter' else ''}"
    return name, Definition(full, kind, unit, labels, meaning, rises)


#: Numbers of the summary.
_OF_SUMMARY = dict(
    (
        _line(
            "lag",
            "gauge",
            "offsets",
            "Offsets of the forecasts topic still to be read.",
            "The monitor reads too slowly: what it shows is old. See its CPU time.",
        ),
        _line(
            "caught_up",
            "gauge",
            "0 or 1",
            "1 once the end that the forecasts topic had at the start has been reached.",
            "The monitor shows the present.",
        ),
        _line(
            "records",
            "counter",
            "records",
            "Records read from the forecasts topic.",
            "Like forecasts_total of the services.",
        ),
        _line(
            "anomalies",
            "counter",
            "readings",
            "Readings so surprising that they come by chance monitor.alarms_per_week times a week.",
            "The sensors see something new: the page names the streams.",
        ),
        _line(
            "dead_letters",
            "counter",
            "records",
            "Records of the dead-letter topic that were read.",
            "The page has them by error, with the latest of each.",
        ),
        _line(
            "unreadable",
            "counter",
            "records",
            "Records of the forecasts topic that are no forecasts.",
            "Another program writes to that topic, or the monitor is older than the service.",
        ),
        _line(
            "beyond_max_streams",
            "counter",
            "records",
            "Records of streams that found no room.",
            "Raise monitor.max_streams, and the memory with it.",
        ),
    )
)
_STREAMS = Definition(
    f"{_PREFIX}streams",
    "gauge",
    "streams",
    ("state",),
    f"Streams by state: {', '.join(STATES)}. One that is silent by its own rhythm counts as "
    "silent, cold or not.",
    "silent: sensors or a link are down; the page lists them. cold: new streams.",
)
#: Numbers of the accuracy by model, window and lead.
_OF_ACCURACY = dict(
    (
        _line(
            "scored",
            "gauge",
            "forecasts",
            "Forecasts of the window that were compared with what came.",
            "More streams, or the monitor has read further back.",
            *_BY_LEAD,
        ),
        _line(
            "scaled_error",
            "gauge",
            "scales",
            "Mean absolute error of the window, in scales of each stream (the running mean of its "
            "absolute changes), of the streams whose latest forecast is by the model.",
            "The streams are harder, or have changed: compare with error_of_last_value.",
            *_BY_LEAD,
        ),
        _line(
            "error_of_last_value",
            "gauge",
            "ratio",
            "The same, divided by the error of repeating the last value.",
            "Above 1 the model is worse than no model: train again.",
            *_BY_LEAD,
        ),
        _line(
            "coverage",
            "gauge",
            "ratio",
            "Part of readings inside the outermost quantiles.",
            "Above nominal_coverage intervals are too wide, below it too narrow.",
            *_BY_LEAD,
        ),
        _line(
            "nominal_coverage",
            "gauge",
            "ratio",
            "What coverage should be.",
            "Other quantiles are written.",
            *_BY_LEAD,
        ),
    )
)
TABLE = (_STREAMS, *_OF_SUMMARY.values(), *_OF_ACCURACY.values())


def registry_of(
    summary: Callable[[], dict[str, Any]], accuracy: Callable[[], list[dict[str, Any]]]
) -> CollectorRegistry:
    """A registry that asks for the summary and for the accuracy by model at each scrape."""
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
        streams = GaugeMetricFamily(_STREAMS.name, _STREAMS.meaning, labels=_STREAMS.labels)
        for state in STATES:
            streams.add_metric([state], now["states"][state])
        yield streams
        for key, line in _OF_SUMMARY.items():
            family = CounterMetricFamily if line.kind == "counter" else GaugeMetricFamily
            yield family(line.name, line.meaning, value=float(now[key]))
        found = self._accuracy()
        for key, line in _OF_ACCURACY.items():
            metric = GaugeMetricFamily(line.name, line.meaning, labels=line.labels)
            for one in found:
                if one[key] is not None:
                    metric.add_metric([str(one[label]) for label in line.labels], one[key])
            yield metric

    def describe(self) -> Iterator[Metric]:
        """No metric is described in advance: which ones exist depends on the records."""
        return iter(())
