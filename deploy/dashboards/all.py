"""Every dashboard, and the files that they are provisioned from."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from deploy.dashboards.accuracy import ACCURACY
from deploy.dashboards.bridges import BRIDGES
from deploy.dashboards.panels import Dashboard
from deploy.dashboards.service import LATENCY, OVERVIEW
from deploy.dashboards.stream import ONE_STREAM
from deploy.dashboards.worker import WORKER_IN_DEPTH

DASHBOARDS = (OVERVIEW, LATENCY, ACCURACY, WORKER_IN_DEPTH, ONE_STREAM, BRIDGES)


def _text(dashboard: Dashboard) -> str:
    return json.dumps(dashboard.json(), indent=1, ensure_ascii=False) + "\n"


#: Path below the repository's root -> what it must contain.
FILES: dict[str, Callable[[], str]] = {
    f"deploy/grafana/dashboards/{one.name}.json": partial(_text, one) for one in DASHBOARDS
}
