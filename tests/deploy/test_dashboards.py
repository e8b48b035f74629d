"""Dashboards name what exists, nothing is missing from them, and every query has an answer from a
real Prometheus, or a real monitor."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest
import yaml

from deploy.dashboards.all import FILES
from deploy.kafka.server import free_ports
from deploy.stack.folder import run_folder
from deploy.stack.process import Process
from deploy.stack.watching import Installed, Watching
from tests.chaos.fleet import Worker, await_true
from tests.monitor.records import board, forecast, walks
from tests.monitor.serving import served
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.processes import MINUTE, Site, said
from tests.tools.pages import every_metric

ROOT = Path(__file__).parents[2]
PAGES: dict[str, dict[str, Any]] = {
    Path(name).stem: json.loads(make()) for name, make in FILES.items()
}
PANELS = [panel for page in PAGES.values() for panel in page["panels"]]
QUERIES = sorted({t["expr"] for panel in PANELS for t in panel["targets"] if "expr" in t})
CALLS = [target for panel in PANELS for target in panel["targets"] if "url" in target]
#: Without a value in a service that is well.
WELL = {"eddycast_retries_total", "ALERTS"}
PATIENCE_S = 90.0


def test_every_metric_is_on_a_dashboard_and_no_dashboard_names_another() -> None:
    defined = {line.name for line in every_metric()}
    rules = yaml.safe_load((ROOT / "deploy/prometheus/recording.yml").read_text())
    recorded = {rule["record"]: rule["expr"] for g in rules["groups"] for rule in g["rules"]}
    text = "\n".join(QUERIES)
    shown = set(re.findall(r"\b(?:job:)?eddycast_\w+(?::\w+)?", text))
    assert set(recorded) <= shown, "a record is on no dashboard"
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown - set(recorded)}
    assert names - defined == set(), "a dashboard names what does not exist"
    through = set(re.findall(r"\beddycast_\w+", "\n".join(recorded.values())))
    names |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in through}
    assert defined - names == set(), "a metric is on no dashboard"


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_asks_a_question_and_has_a_unit(panel: dict[str, Any]) -> None:
    assert panel["title"].endswith("?")
    assert panel["fieldConfig"]["defaults"]["unit"]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    values = [step["value"] for step in steps if step["value"] is not None]
    assert values == sorted(values)
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_panels_do_not_overlap_and_variables_are_used(page: dict[str, Any]) -> None:
    taken = [
        (x, y)
        for panel in page["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < 24
    named = {variable["name"] for variable in page["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([page["panels"], page["templating"]])))
    assert {name for name in used if not name.startswith("__")} <= named


def test_every_call_of_the_monitors_api_has_lines_with_its_columns() -> None:
    names = ["plant/7 & 8", "b"]
    records = walks(names, 60)
    strange = forecast("b", 60, 5.0, np.random.default_rng(0), anomaly=1.0)
    with served(board([*records, strange])) as url:
        for call in CALLS:
            for name in names:
                path = filled(call["url"], name)
                with urllib.request.urlopen(url + path, timeout=30) as answer:
                    lines = at(json.load(answer), call["root_selector"])
                assert lines, path
                for column in call["columns"]:
                    values = [at(line, column["selector"]) for line in lines]
                    known = [value for value in values if value is not None]
                    assert known or column["selector"] == "seasonal_naive_mae", (path, column)
                    kind = str if column["type"] == "string" else (int, float)
                    assert all(isinstance(value, kind) for value in known), (path, column)


def filled(path: str, stream: str) -> str:
    """A path with the variables of the dashboard as Grafana would put them in."""
    path = path.replace("${stream:percentencode}", quote(stream, safe=""))
    return path.replace("${target:percentencode}", "")


def at(content: Any, place: str) -> Any:
    """Value at a path of names joined by points."""
    return reduce(lambda inner, name: inner[name], place.split("."), content)


class Watched:
    """A Prometheus that scrapes a service, a monitor and a bridge."""

    def __init__(self, url: str, worker: str) -> None:
        self._url = url
        self._variables = {
            "$__rate_interval": "1m", "$job": "eddycast", "$worker": worker, "$model": ".*",
            "$window": "week",
        }  # fmt: skip

    def ask(self, query: str) -> list[Any]:
        """Values of a query that are numbers."""
        for name, value in self._variables.items():
            query = query.replace(name, value)
        asked = f"{self._url}/api/v1/query?{urlencode({'query': query})}"
        with urllib.request.urlopen(asked, timeout=30) as answer:
            found = json.load(answer)["data"]["result"]
        return [line for line in found if line["value"][1] != "NaN"]

    def empty(self) -> list[str]:
        """Queries without an answer, apart from their ` or vector(0)`."""
        missing = []
        for query in QUERIES:
            alone = query.removesuffix(" or vector(0)")
            rare = any(name in query for name in WELL)
            if not self.ask(query if rare else alone):
                missing.append(query)
        return missing


@pytest.fixture
def watched(site: Site, tmp_path: Path) -> Iterator[Watched]:
    training = {
        "fingerprint": "", "streams": 1, "observations": 1, "end_time_ms": START_MS - MINUTE,
        "seconds": 1.0,
    }  # fmt: skip
    write_bundle(tmp_path / "bundle", Walk(warmup_steps=20, fields={"training": training}))
    service, monitor, bridge, prometheus, manager = free_ports(5)
    site.serving(HTTP__PORT=str(service))
    ports = {"eddycast": [service], "eddycast-monitor": [monitor], "eddycast-feed": [bridge]}
    sides = {
        "monitor": (("monitor",), {"MONITOR__PORT": str(monitor)}),
        "feed": (("feed", "http"), {"FEED__PORT": "0", "FEED__METRICS_PORT": str(bridge)}),
    }
    with ExitStack() as stack:
        beside = {}
        for name, (words, own) in sides.items():
            command = ("-m", "eddycast.service", *words)
            beside[name] = Worker(command, site.variables | own, tmp_path / f"{name}.log")
            stack.callback(beside[name].wait, PATIENCE_S)
            stack.callback(beside[name].signal, signal.SIGKILL)
        folder = stack.enter_context(run_folder())
        installed = Installed(shutil.which("prometheus"))
        watching = Watching(installed, prometheus, manager, ports, folder.path, every_s=1)
        (program,) = watching.programs()
        process = Process(program, folder)
        stack.callback(process.reap)
        stack.callback(process.terminate)

        def are_ready() -> bool:
            process.look()
            for worker in beside.values():
                assert worker.code is None, worker.tail()
            return process.phase == "ready" and bool(said(beside["monitor"], "caught up"))

        await_true(are_ready, PATIENCE_S, "Prometheus or the monitor is not ready")
        yield Watched(program.address, f"127.0.0.1:{service}")


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="Prometheus is not installed (apt install prometheus)",
)
def test_every_query_has_an_answer_from_a_prometheus_that_scraped_a_service(
    site: Site, watched: Watched
) -> None:
    deadline, minute = time.monotonic() + PATIENCE_S, 0
    while missing := watched.empty():
        assert time.monotonic() < deadline, "\n".join(missing)
        site.feed(range(minute, minute + 5), streams=4 + minute)
        site.spoil()
        minute += 5
        time.sleep(1.0)
