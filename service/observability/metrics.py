"""The metrics of one service, with those gauges that are set together: of the model in service, of
the partitions held. `metric_list.py` defines them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry, Gauge

from eddycast.service.observability.metric_list import MetricList


class Metrics(MetricList):
    """All metrics of one service, registered in `registry`.
    Written by the polling thread, read by the HTTP thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._held: set[int] = set()
        self._waiting: set[int] = set()
        self._model: tuple[str, str, str] | None = None
        self._trained_until_s = math.nan

    def show_model(
        self, label: str, version: str, family: str, generation: int, trained_until_ms: int | None
    ) -> None:
        """Set the labels of the model in service and the end of its training data."""
        if self._model is not None:
            self.model_info.remove(*self._model)
        self._model = label, version[:12], family
        self.model_info.labels(*self._model).set(1)
        self.model_generation.set(generation)
        self._trained_until_s = math.nan if trained_until_ms is None else trained_until_ms / 1000
        self.model_training_end.set(self._trained_until_s)
        self.model_age.set(math.nan)

    def show_time(self, newest_ms: int) -> None:
        """Set the age of the model by the stamp of the newest reading; -1 = none yet."""
        if newest_ms >= 0:
            self.model_age.set(newest_ms / 1000 - self._trained_until_s)

    def hold(
        self, partitions: Collection[int], lag: Mapping[int, int], waits: Mapping[int, float]
    ) -> None:
        """Set the number of partitions held and, by partition, the known lags, in records and in
        seconds; others are removed."""
        self.partitions.set(len(partitions))
        self._held = _show(self.consumer_lag, self._held, lag)
        self._waiting = _show(self.consumer_lag_seconds, self._waiting, waits)


def _show(gauge: Gauge, shown: Collection[int], values: Mapping[int, float]) -> set[int]:
    """Set a gauge by partition; those `shown` before that have no value are removed."""
    for gone in set(shown) - set(values):
        gauge.remove(str(gone))
    for partition, value in values.items():
        gauge.labels(str(partition)).set(value)
    return set(values)
