"""One port serves liveness, readiness and metrics."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry

from eddycast.service.errors import AddressInUse
from eddycast.service.observability.health import Health
from eddycast.service.observability.http_port import CONNECTIONS, HealthServer
from eddycast.service.observability.metrics import Metrics


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


def test_ready_gives_the_reason(server: HealthServer, health: Health) -> None:
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


def test_a_stalled_service_answers_503(
    server: HealthServer, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get(server, "/live")[0] == 200
    monkeypatch.setattr(health, "_stalled_after_s", 0.0)
    assert get(server, "/live")[0] == 503


def test_other_paths_name_the_known_ones(server: HealthServer) -> None:
    status, text = get(server, "/other")
    assert status == 404
    assert "/ready" in json.loads(text)["paths"]


@pytest.mark.parametrize("path", ["/metrics", "/live", "/ready", "/other"])
def test_head_is_get_without_the_body(server: HealthServer, path: str) -> None:
    ask = b"%s %s HTTP/1.0\r\n\r\n"
    head = raw(server, ask % (b"HEAD", path.encode()))
    answer = raw(server, ask % (b"GET", path.encode())).partition(b"\r\n\r\n")
    without_date = [line for line in head.splitlines() if not line.startswith(b"Date")]
    assert head.endswith(b"\r\n\r\n") and answer[2]
    assert without_date == [
        line for line in (answer[0] + b"\r\n\r\n").splitlines() if not line.startswith(b"Date")
    ]
    assert b"Python" not in head


def test_a_client_that_hangs_up_leaves_no_trace(
    server: HealthServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for begun in (b"", b"GET /metr", b"GET /metrics HTTP/1.0\r\n\r\n"):
        for _ in range(20):
            client = connect(server)
            # a reset, not an end
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(begun)
            client.close()
    assert get(server, "/live")[0] == 200
    until(lambda: not answering())
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_request_that_never_ends_is_ended(health: Health) -> None:
    server = HealthServer("127.0.0.1", 0, CollectorRegistry(), health, seconds=0.3)
    try:
        silent, dripping = connect(server), connect(server)
        dripping.sendall(b"GET /metrics HTTP/1.0\r\nX: ")
        assert silent.recv(1) == b"", "its time is over"

        def ended() -> bool:
            try:
                dripping.sendall(b"y")
                return False
            except OSError:
                return True

        until(ended)
        until(lambda: not answering())
    finally:
        server.close()


def test_a_thousand_idle_connections_neither_hold_threads_nor_keep_a_probe_away(
    server: HealthServer,
) -> None:
    idle = [connect(server) for _ in range(4 * CONNECTIONS)]
    assert get(server, "/live")[0] == 200
    until(lambda: len(answering()) <= CONNECTIONS)
    assert get(server, "/ready")[0] == 503
    for client in idle:
        client.close()
    until(lambda: not answering())


def connect(server: HealthServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 10)


def raw(server: HealthServer, request: bytes) -> bytes:
    """Return the whole response."""
    with connect(server) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def answering() -> list[threading.Thread]:
    """Return the threads that hold a connection."""
    return [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]


def until(holds: Callable[[], bool], within_s: float = 90.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_port_in_use_is_an_error(server: HealthServer, health: Health) -> None:
    with pytest.raises(AddressInUse, match=f"127.0.0.1:{server.port} .*http.port"):
        HealthServer("127.0.0.1", server.port, CollectorRegistry(), health)


def test_a_foreign_address_is_an_error(health: Health) -> None:
    with pytest.raises(AddressInUse, match=r"192\.0\.2\.1:0"):
        HealthServer("192.0.2.1", 0, CollectorRegistry(), health)


def test_a_closed_server_gives_its_port_back(health: Health) -> None:
    server = HealthServer("127.0.0.1", 0, CollectorRegistry(), health)
    server.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0
    HealthServer("127.0.0.1", server.port, CollectorRegistry(), health).close()
