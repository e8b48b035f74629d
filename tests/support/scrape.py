"""One number from a running service's metrics."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from eddycast.service.observability.metric_kinds import METRIC_PREFIX


def sample(url: str, name: str) -> float:
    """The metric `name` without labels, at the service whose pages are under `url`;
    0 if it is not there yet."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        found = [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == METRIC_PREFIX + name
        ]
    return found[0] if found else 0.0
