"""Workers of the service on the monitor: two real ports, one of which dies, and ports that are
silent, endless or of another program."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from eddycast.service.monitor.workers.fetch import fetch
from eddycast.service.monitor.workers.names import Names
from eddycast.service.settings.host_port import HostPort
from eddycast.service.settings.monitor import MonitorSettings
from tests.monitor.records import board
from tests.monitor.serving import client
from tests.monitor.worker_ports import look, panel, worker_ports


@contextmanager
def port(answer: Callable[[socket.socket], None]) -> Iterator[HostPort]:
    """A port that answers its first client in its own way."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_000)
                try:
                    answer(connection)
                except OSError:  # the client has had enough
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield HostPort("127.0.0.1", server.getsockname()[1])
        finally:
            thread.join()


class TestFetch:
    @pytest.mark.parametrize(
        "answer",
        [
            lambda connection: connection.recv(1),
            lambda connection: [
                connection.sendall(b"HTTP/1.0 200 OK\r\n" * 10) for _ in iter(int, 1)
            ],
            lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
            lambda connection: connection.sendall(b""),
            lambda connection: connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nx"),
        ],
        ids=["silent", "endless", "another protocol", "closed", "cut off"],
    )
    def test_a_port_that_answers_in_no_good_way(
        self, answer: Callable[[socket.socket], None]
    ) -> None:
        with port(answer) as address, pytest.raises((OSError, ValueError)):
            fetch(address, "/metrics", 0.5, 100_000)

    def test_an_answer_is_status_and_body(self) -> None:
        with port(lambda one: one.sendall(b"HTTP/1.1 503 no\r\n\r\n{}")) as address:
            assert fetch(address, "/ready", 5.0, 1_000) == (503, b"{}")


class TestNames:
    def test_every_address_is_a_worker_once_and_a_name_without_one_is_shown(self) -> None:
        given = MonitorSettings(services="localhost:1, 127.0.0.1:1,[::1]:2,no..name:3")
        names = Names(given.service_ports)
        assert [one.trouble for one in names.workers()] == ["the name is being looked up"] * 4
        names.look()
        workers = names.workers()
        assert [str(one.address or one.given) for one in workers] == [
            "127.0.0.1:1", "[::1]:2", "no..name:3",
        ]  # fmt: skip
        assert "cannot be resolved" in workers[-1].trouble

    def test_addresses_are_kept_while_a_name_is_not_resolved(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = Names([HostPort("localhost", 1)])
        names.look()
        monkeypatch.setattr(socket, "getaddrinfo", _unresolved)
        names.look()
        assert [str(one.address) for one in names.workers()] == ["127.0.0.1:1"]

    @pytest.mark.parametrize(
        "given", ["worker", "a:b", "a:0", "a:99999", "http://a:1/", ",", "::1:5"]
    )
    def test_what_is_no_list_of_ports_is_refused_by_name(self, given: str) -> None:
        with pytest.raises(ValidationError, match=r"monitor\.services"):
            MonitorSettings(services=given)


def _unresolved(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_AGAIN, "try again")


def test_two_workers_their_sums_and_one_that_dies() -> None:
    with worker_ports((0, 1), (2,)) as (one, other):
        shown = panel(f"{one.address},{other.address}")
        api = client(board([]), service=shown)
        other.health.wait_for("the broker <b>")
        look(shown)
        one.serve(100, 0.04)
        other.serve(300, 0.4)
        look(shown)
        found = api.get("/api/service").json()
        assert found["looked"] >= found["workers"][0]["answered"]
        first, second = found["workers"]
        total = found["total"]
        assert (first["worker"], first["up"], first["ready"]) == (one.address, True, True)
        assert (second["ready"], second["reason"]) == (False, "the broker <b>")
        assert (total["workers"], total["up"], total["ready"]) == (2, 2, 1)
        assert total["records_per_s"] == pytest.approx(
            first["records_per_s"] + second["records_per_s"]
        )
        assert second["records_per_s"] > first["records_per_s"] > 0
        assert 0.025 < first["p50_s"] < first["p99_s"] <= 0.05
        assert 0.25 < second["p50_s"] < second["p99_s"] <= 0.5
        assert (first["partitions"], second["partitions"], total["partitions"]) == ([0, 1], [2], 3)
        assert (first["lag"], first["lag_s"], total["lag"], total["lag_s"]) == (10, 0.5, 30, 1.0)
        assert (first["streams"], first["cold"], first["warm"], total["warm"]) == (30, 4, 26, 52)
        assert found["dead_letters"] == [{"error": "not_json", "count": 6}]
        assert (first["model"], first["version"], first["generation"]) == ("walk@1", "beef" * 3, 7)
        assert (first["model_age_s"], first["trained_until"]) == (3_600, 1_000_000)
        latency = {(line["of"], line["stage"]): line for line in found["latency"]}
        assert latency["end_to_end_acknowledged", ""]["count"] == 400
        assert latency["stage", "step"]["count"] == 2

        other.close()
        look(shown)
        answer = api.get("/api/service")
        first, second = answer.json()["workers"]
        assert (first["up"], second["up"], second["records_per_s"]) == (True, False, None)
        assert "no answer" in second["reason"] and second["answered"]
        assert answer.json()["total"]["partitions"] == 2
        again = api.get("/api/service", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        assert len(api.get("/api/service?format=csv").text.splitlines()) == 3


def test_without_the_setting_the_answer_is_how_to_set_it() -> None:
    found = client(board([])).get("/api/service").json()
    assert "monitor.services" in found["hint"]
    assert (found["workers"], found["changes"]) == ([], None)


def test_it_looks_by_itself_until_it_is_stopped() -> None:
    stop, looked = threading.Event(), threading.Event()
    with worker_ports((0,)) as (worker,):
        shown = panel(worker.address)
        answer = worker.health.ready_answer

        def asked() -> tuple[bool, str]:
            looked.set()
            return answer()

        worker.health.ready_answer = asked  # type: ignore[method-assign]
        shown.start(stop)
        assert looked.wait(60)
        stop.set()
