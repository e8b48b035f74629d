"""One port answers what a supervisor, a load balancer and Prometheus ask."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from service.errors import AddressInUse
from service.health import Health, HealthServer
from service.metrics import Metrics


@pytest.fixture
def health() -> Health:
    return Health(stalled_after_s=60.0)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    metrics = Metrics(CollectorRegistry())
    metrics.records.inc(3)
    server = HealthServer("127.0.0.1", 0, metrics.registry, health)
    yield server
    server.close()


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(server.url + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_are_served_in_the_text_format(server: HealthServer) -> None:
    status, text = get(server, "/metrics")
    assert status == 200
    assert "eddycast_records_total 3.0" in text


def test_ready_says_what_is_waited_for(server: HealthServer, health: Health) -> None:
    status, text = get(server, "/ready")
    assert (status, json.loads(text)) == (503, {"ready": False, "reason": "starting"})
    health.ready()
    assert get(server, "/ready")[0] == 200
    health.wait_for("broker")
    assert json.loads(get(server, "/ready")[1])["reason"] == "broker"


def test_live_until_no_turn_is_heard_of() -> None:
    assert Health(stalled_after_s=60.0).live_answer()[0]
    stalled = Health(stalled_after_s=0.0)
    stalled.beat()
    live, reason = stalled.live_answer()
    assert not live
    assert "no turn for" in reason


def test_a_stalled_service_answers_503(server: HealthServer, health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get(server, "/live")[0] == 200
    monkeypatch.setattr(health, "_stalled_after_s", 0.0)
    assert get(server, "/live")[0] == 503


def test_other_paths_name_the_known_ones(server: HealthServer) -> None:
    status, text = get(server, "/other")
    assert status == 404
    assert "/ready" in json.loads(text)["paths"]


def test_a_taken_port_is_an_error_that_says_so(server: HealthServer, health: Health) -> None:
    with pytest.raises(AddressInUse, match=f"127.0.0.1:{server.port} is taken.*http.port"):
        HealthServer("127.0.0.1", server.port, CollectorRegistry(), health)


def test_an_address_that_is_not_ours_is_an_error_that_says_so(health: Health) -> None:
    with pytest.raises(AddressInUse, match=r"192\.0\.2\.1:0 cannot be listened on"):
        HealthServer("192.0.2.1", 0, CollectorRegistry(), health)


def test_a_closed_server_gives_its_port_back(health: Health) -> None:
    server = HealthServer("127.0.0.1", 0, CollectorRegistry(), health)
    server.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0
    HealthServer("127.0.0.1", server.port, CollectorRegistry(), health).close()
