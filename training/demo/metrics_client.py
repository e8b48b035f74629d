"""The service's metrics at `/metrics`, read as by any monitor."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from eddycast.service.observability.metric_kinds import METRIC_PREFIX
from eddycast.service.records import Float64


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts by upper edge, seconds; the last edge is infinite."""

    edges: Float64
    counts: Float64

    def since(self, earlier: Histogram) -> Histogram:
        """The counts added after `earlier`."""
        return Histogram(self.edges, self.counts - earlier.counts)

    def quantile(self, level: float) -> float:
        """Interpolated inside its bucket, as Prometheus does; NaN if nothing was counted."""
        if not len(self.counts) or self.counts[-1] <= 0:
            return float("nan")
        rank = level * self.counts[-1]
        i = min(int(np.searchsorted(self.counts, rank)), len(self.edges) - 2)
        low, below = (self.edges[i - 1], self.counts[i - 1]) if i else (0.0, 0.0)
        inside = self.counts[i] - below
        share = min(1.0, (rank - below) / inside) if inside > 0 else 1.0
        return float(low + (self.edges[i] - low) * share)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The service's counters at one moment."""

    records: float
    forecasts: float
    streams: float
    service: Histogram  # polled to forecast acknowledged
    end_to_end: Histogram  # record time to forecast acknowledged


def scrape(url: str, timeout_s: float = 2.0) -> Snapshot | None:
    """The metrics at `url`; None if there is no answer."""
    try:
        with urlopen(f"{url}/metrics", timeout=timeout_s) as answer:  # noqa: S310 - our own loopback address
            return parse(answer.read().decode())
    except (URLError, OSError):
        return None


def parse(text: str) -> Snapshot:
    """A snapshot from Prometheus' text format."""
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    plain = {sample.name: sample.value for sample in samples if not sample.labels}

    def histogram(name: str) -> Histogram:
        buckets = [
            (float(s.labels["le"]), s.value)
            for s in samples
            if s.name == f"{METRIC_PREFIX}{name}_bucket"
        ]
        return Histogram(*np.array(sorted(buckets), np.float64).reshape(-1, 2).T)

    return Snapshot(
        plain.get(METRIC_PREFIX + "records_total", 0.0),
        plain.get(METRIC_PREFIX + "forecasts_total", 0.0),
        plain.get(METRIC_PREFIX + "streams", 0.0),
        histogram("service_seconds"),
        histogram("end_to_end_acknowledged_seconds"),
    )
