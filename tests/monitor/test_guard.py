"""Protection of the monitor, requests of machines, and the description of its API."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eddycast.service.monitor.figures import STATES, TABLE
from eddycast.service.monitor.follower import Progress
from eddycast.service.monitor.openapi import PATHS
from tests.monitor.records import START, board, walks
from tests.monitor.serving import TOKEN, client

NAMES = [f"site/{i:02d}" for i in range(12)]


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return walks(NAMES, 20)


def test_without_the_token_there_is_a_page_and_no_data(records: list[dict[str, Any]]) -> None:
    api = client(board(records), TOKEN)
    assert api.get("/").status_code == 200
    assert api.get("/health").status_code == 200
    for path in [*PATHS, "/metrics"]:
        refused = api.get(path)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer", path
    wrong = api.get("/api/summary", headers={"Authorization": "Bearer correct"})
    assert wrong.status_code == 401
    right = api.get("/api/summary", headers={"Authorization": f"Bearer {TOKEN}"})
    assert right.json()["streams"] == len(NAMES)


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/summary", "/api/nothing", "/plotly.min.js"])
def test_every_answer_has_a_strict_policy(records: list[dict[str, Any]], path: str) -> None:
    headers = client(board(records)).get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    script = headers["content-security-policy"].partition("script-src ")[2].partition(";")[0]
    assert script == "'self'"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_a_page_of_another_host_does_not_reach_a_monitor_on_loopback() -> None:
    api = client(board([]))
    assert api.get("/api/summary", headers={"Host": "evil.example"}).status_code == 400
    assert api.get("/api/summary", headers={"Host": "localhost:9465"}).status_code == 200


def test_health_names_what_is_waited_for() -> None:
    waiting = client(board([]), progress=Progress(trouble="the broker")).get("/health")
    assert (waiting.status_code, waiting.json()["waiting_for"]) == (503, "the broker")
    assert client(board([])).get("/health").json()["ready"] is True


def test_metrics_are_aggregates_without_a_label_by_stream(records: list[dict[str, Any]]) -> None:
    text = client(board(records)).get("/metrics").text
    assert not any(name in text for name in NAMES)
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    labels = {sample.name: set(sample.labels) for sample in samples}
    assert all(labels[line.name] == set(line.labels) for line in TABLE)
    streams = [s for s in samples if s.name == "eddycast_monitor_streams"]
    assert [s.labels["state"] for s in streams] == list(STATES)
    assert sum(s.value for s in streams) == len(NAMES)
    (read,) = [s.value for s in samples if s.name == "eddycast_monitor_records_total"]
    assert read == len(records)


def test_the_description_names_every_route_and_parameter(records: list[dict[str, Any]]) -> None:
    api = client(board(records))
    description = api.get("/openapi.json").json()
    for path, about in description["paths"].items():
        if path == "/api/events":
            continue
        given: dict[str, int | str] = {
            "stream": "site/00",
            "valid": START,
            "issued": START,
            "lead": 1,
        }
        usual: dict[str, int | str] = {
            "search": "",
            "sort": "name",
            "window": "day",
            "offset": 0,
            "limit": 1,
            "target": "",
            "format": "json",
        }
        names = [parameter["name"] for parameter in about["get"]["parameters"]]
        answer = api.get(path, params={name: (given | usual)[name] for name in names})
        assert answer.status_code == 200, (path, answer.text)
