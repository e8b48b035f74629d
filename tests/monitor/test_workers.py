"""Workers of the service on the monitor: their metrics' text, rates, latencies, and ports that are
silent, slow, endless or of another program."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from pydantic import ValidationError

from eddycast.service.monitor.workers.fetch import fetch
from eddycast.service.monitor.workers.history import WINDOW_S, History
from eddycast.service.monitor.workers.names import Names
from eddycast.service.monitor.workers.quantiles import Buckets, summed
from eddycast.service.monitor.workers.scrape import SAMPLES, parse_scrape
from eddycast.service.settings.host_port import HostPort
from eddycast.service.settings.monitor import MonitorSettings
from tests.monitor.records import board
from tests.monitor.serving import client
from tests.monitor.worker_ports import look, panel, worker_ports

STARTED = "process_start_time_seconds"


def made_up(records: float, started: float = 1.0, **buckets: float) -> str:
    """A worker's metrics; buckets by upper edge, as le_0_1=5.0."""
    lines = [f"eddycast_records_total {records}", f"{STARTED} {started}"]
    for edge, count in buckets.items():
        upper = edge.removeprefix("le_").replace("_", ".").replace("inf", "+Inf")
        name = "eddycast_end_to_end_acknowledged_seconds_bucket"
        lines.append(f'{name}{{le="{upper}"}} {count}')
    return "\n".join(lines)


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


class TestQuantiles:
    def test_values_are_spread_evenly_within_a_bucket(self) -> None:
        buckets = Buckets.of({0.1: 10.0, 0.2: 30.0, 0.4: 40.0, np.inf: 40.0})
        assert buckets.quantile(0.25) == pytest.approx(0.1)
        assert buckets.quantile(0.5) == pytest.approx(0.15)
        assert buckets.quantile(0.99) == pytest.approx(0.2 + 0.2 * 9.6 / 10)
        assert buckets.quantile(0.125) == pytest.approx(0.05)

    def test_beyond_the_last_edge_it_is_that_edge_and_without_values_none(self) -> None:
        assert Buckets.of({1.0: 0.0, np.inf: 5.0}).quantile(0.5) == 1.0
        assert Buckets.of({1.0: 0.0, np.inf: 0.0}).quantile(0.5) is None
        assert Buckets.of({}).quantile(0.5) is None

    def test_workers_are_added_up_where_their_buckets_agree(self) -> None:
        one, other = Buckets.of({1.0: 1.0, 2.0: 3.0}), Buckets.of({1.0: 4.0, 2.0: 4.0})
        both = summed([one, other, Buckets.of({5.0: 9.0})])
        assert both is not None and both.counts.tolist() == [5.0, 7.0]
        assert summed([]) is None


class TestHistory:
    def test_rates_are_of_the_last_interval_and_latencies_of_the_window(self) -> None:
        history = History()
        history.add(parse_scrape(made_up(100, le_0_1=100, le_inf=100), 0.0))
        assert history.rate("records_total") is None and history.latencies() == {}
        history.add(parse_scrape(made_up(160, le_0_1=130, le_inf=160), 3.0))
        history.add(parse_scrape(made_up(400, le_0_1=130, le_inf=400), 6.0))
        assert history.rate("records_total") == 80.0
        (found,) = history.latencies().values()
        assert found.counts.tolist() == [30.0, 300.0]

    def test_what_is_older_than_the_window_is_left_out(self) -> None:
        history = History()
        for i in range(60):
            history.add(parse_scrape(made_up(i, le_inf=i), 3.0 * i))
        (found,) = history.latencies().values()
        assert found.counts.tolist() == [WINDOW_S / 3]

    @pytest.mark.parametrize(("records", "started"), [(5, 1.0), (500, 2.0)])
    def test_a_process_that_started_anew_has_no_past(self, records: float, started: float) -> None:
        history = History()
        for taken_s in (0.0, 3.0):
            history.add(parse_scrape(made_up(100), taken_s))
        history.add(parse_scrape(made_up(records, started), 6.0))
        assert history.rate("records_total") is None


class TestText:
    def test_the_text_of_a_real_worker(self) -> None:
        with worker_ports((1, 2)) as (worker,):
            worker.serve(8, 0.03)
            scrape = parse_scrape(worker.text, 0.0)
        assert scrape.numbers["records_total"] == 8
        assert scrape.by_label["consumer_lag"] == {"1": 10.0, "2": 20.0}
        assert scrape.by_label["dead_letters_total"] == {"not_json": 3.0}
        assert scrape.model == {"model": "walk@1", "version": "beef" * 3, "family": "lstm"}
        assert scrape.histograms["stage_seconds", "step"].total == 1
        assert scrape.histograms["end_to_end_acknowledged_seconds", ""].total == 8

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "<html>no metrics</html>",
            "eddycast_streams 5",
            "eddycast_records_total many",
            'eddycast_records_total{a="b 5',
            'eddycast_records_total 5\neddycast_commit_seconds_bucket{le="wide"} 5',
            "eddycast_records_total 5\neddycast_commit_seconds_bucket 5",
            "eddycast_records_total 5\n" * (SAMPLES + 1),
        ],
    )
    def test_another_text_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError):
            parse_scrape(text, 0.0)

    def test_numbers_that_json_cannot_hold_are_left_out(self) -> None:
        lines = "eddycast_streams 1e300\neddycast_model_age_seconds NaN\neddycast_partitions +Inf"
        assert set(parse_scrape(f"{made_up(5)}\n{lines}", 0.0).numbers) == {
            "records_total",
            STARTED,
        }


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
