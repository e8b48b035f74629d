"""The files that follow from the code: pages of the reference, schemas, and dashboards."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from deploy.dashboards.all import FILES
from eddycast.service.bridges.feed_metrics import FeedMetrics
from eddycast.service.dead_letters.codes import CODES
from eddycast.service.formats.avro_schema import avro_schema
from eddycast.service.monitor.figures import TABLE
from eddycast.service.observability.metric_kinds import Definition
from eddycast.service.observability.metrics import Metrics
from eddycast.service.settings.settings import Settings, every_setting
from tests.tools.cli_page import cli_page
from tests.tools.errors_page import errors_page
from tests.tools.markdown import WRITTEN, table

PLACES = """\
A setting has the same name in three places; lower ones win. An unknown name is an error in each \
of them.

| place | example |
| --- | --- |
| the file named by `--config` or `EDDYCAST_CONFIG` | `linger_ms = 5` below `[kafka]` |
| the environment | `EDDYCAST_KAFKA__LINGER_MS=5` |
| a flag of `eddycast serve` and `eddycast doctor` | `--kafka.linger_ms 5` |

`none` means no value, and is accepted wherever it is the default. Empty variables are ignored, \
and so are the variables
that Kubernetes injects for a Service called `eddycast` (`_PORT=tcp://...`)."""


def settings_page() -> str:
    """docs/settings.md."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for setting in every_setting():
        group = setting.name.rpartition(".")[0]
        row = (f"`{setting.name}`", f"`{setting.default}`", str(setting.field.description))
        groups.setdefault(group, []).append(row)
    parts = ["# Settings", WRITTEN, PLACES]
    for group, rows in groups.items():
        title = f"## {group}" if group else "## the process"
        about = (
            Settings.model_fields[group].annotation.__doc__ or ""
            if group
            else "The service as a whole."
        )
        parts += [title, about, table(("setting", "default", "meaning"), rows)]
    return "\n\n".join(parts) + "\n"


def every_metric() -> list[Definition]:
    """The definitions of all metrics, those of the service first."""
    return [*Metrics(CollectorRegistry()).table, *TABLE, *FeedMetrics(CollectorRegistry()).table]


def _definitions(lines: Iterable[Definition]) -> str:
    rows = [
        (f"`{line.name}`", line.kind, line.unit, ", ".join(line.labels), line.meaning, line.rises)
        for line in lines
    ]
    return table(("metric", "type", "unit", "labels", "meaning", "when it rises"), rows)


def metrics_page() -> str:
    """docs/metrics.md."""
    about = (
        "Served in Prometheus' text format at `/metrics`. No metric is labelled by stream. A "
        "histogram comes as `_bucket`, `_sum` and `_count`. Beside these service and monitor have "
        "the usual `process_` metrics of memory, CPU time and descriptors. Alerts and dashboards: "
        "[watching.md](watching.md)."
    )
    service = _definitions(Metrics(CollectorRegistry()).table)
    parts = ["# Metrics", WRITTEN, about, "## The service", "On the port `http.port`.", service]
    parts += ["## The monitor", "On the port `monitor.port`.", _definitions(TABLE)]
    bridges = _definitions(FeedMetrics(CollectorRegistry()).table)
    parts += [
        "## Bridges",
        "`eddycast feed`, on the port `feed.metrics_port`, if it is set.",
        bridges,
    ]
    return "\n\n".join(parts) + "\n"


def dead_letters_page() -> str:
    """docs/dead-letters.md."""
    rows = [(f"`{error}`", code.meaning, code.action) for error, code in CODES.items()]
    about = (
        "A record that cannot be forecast goes whole to `topics.dead_letters`. Its header "
        "`__eddycast.errors.error` is one of these codes, as is the label of "
        "`eddycast_dead_letters_total`; `__eddycast.errors.reason` is a sentence with the details. "
        "The log names one of each kind a minute, with how many there were and what to do."
    )
    head = ("error", "meaning", "what to do")
    replaying = Path(__file__).with_name("dead-letters.md").read_text()
    return "\n\n".join(["# Dead letters", WRITTEN, about, table(head, rows), replaying])


def avro_file(width: int) -> str:
    """Avro schema of the forecasts of a bundle of so many channels, all of them targets."""
    return json.dumps(avro_schema(width, width, np.dtype(np.float32)), indent=2) + "\n"


#: Path below the repository's root -> what it must contain.
PAGES = {
    "docs/settings.md": settings_page,
    "docs/metrics.md": metrics_page,
    "docs/dead-letters.md": dead_letters_page,
    "docs/errors.md": errors_page,
    "docs/cli.md": cli_page,
    "docs/schemas/forecast.avsc": lambda: avro_file(1),
    "docs/schemas/forecast-by-target.avsc": lambda: avro_file(2),
    **FILES,
}
