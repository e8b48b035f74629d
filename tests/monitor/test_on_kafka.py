"""The monitor as a process on a real Kafka: what it answers is what the topic holds."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.chaos.fleet import Worker, await_true
from tests.monitor.brute_force import by_lead
from tests.monitor.records import same
from tests.support.processes import MINUTE, Site, said

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PATIENCE_S = 90.0


def ask(url: str, path: str, **query: object) -> Any:
    """The answer of the API."""
    whole = f"{url}{path}?{urlencode(query)}" if query else url + path
    with urllib.request.urlopen(whole, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture
def start(site: Site, tmp_path: Path) -> Iterator[Callable[[], tuple[Worker, str]]]:
    """Starts a monitor of the site; returns its process and its address once it has caught up."""
    started: list[Worker] = []

    def begin() -> tuple[Worker, str]:
        log = tmp_path / f"monitor-{len(started)}.log"
        worker = Worker(
            ("-m", "eddycast.service", "monitor"), site.variables | {"MONITOR__PORT": "0"}, log
        )
        started.append(worker)

        def caught_up() -> bool:
            assert worker.code is None, worker.tail()
            return bool(said(worker, "caught up"))

        await_true(caught_up, PATIENCE_S, "the monitor does not catch up")
        return worker, str(said(worker, "the monitor is served")[0]["url"])

    yield begin
    for worker in started:
        worker.signal(signal.SIGKILL)
        worker.wait(PATIENCE_S)


def await_answer(question: Callable[[], bool], what: str) -> None:
    """Wait until the monitor says so."""
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def test_the_numbers_are_those_of_the_topic_and_a_restart_shows_the_same(
    site: Site, start: Callable[[], tuple[Worker, str]]
) -> None:
    site.serving()
    site.feed(range(40))
    site.await_forecasts(160, PATIENCE_S)
    monitor, url = start()
    site.feed(range(40, 60))
    site.await_forecasts(240, PATIENCE_S)
    await_answer(lambda: ask(url, "/api/summary")["records"] == 240, "240 records do not arrive")

    records = [json.loads(value or b"") for _, _, value in site.read(site.output)]
    for stream in sorted({record["stream"] for record in records}):
        own = [record for record in records if record["stream"] == stream]
        shown = ask(url, "/api/streams/one", stream=stream)
        history = shown["history"]
        assert history["timestamps"] == [record["timestamp"] for record in own]
        assert history["values"] == [record["value"] for record in own]
        assert history["expected"][0] == [None] * 3
        for expected, before in zip(history["expected"][1:], own, strict=False):
            assert expected == pytest.approx(before["one_step"], rel=1e-5)
        assert shown["fan"]["quantiles"] == own[-1]["multi_step"]
        assert shown["fan"]["issued"] == own[-1]["timestamp"]
        for line, sums in zip(shown["accuracy"]["week"], by_lead(own, [1, 3], 0), strict=True):
            assert line["scored"] == sums["n"] > 0
            assert line["mae"] == pytest.approx(sums["error"] / sums["n"], rel=1e-4)
        due = own[-1]["timestamp"]
        made = ask(url, "/api/forecasts", stream=stream, valid=due, lead=3)["forecasts"]
        assert [line["issued"] for line in made] == [due - 3 * MINUTE]
        assert made[0]["came"] == own[-1]["value"]
        assert made[0]["quantiles"] == pytest.approx(own[-4]["multi_step"][2], rel=1e-5)

    questions = ["/api/accuracy", *(f"/api/streams/one?stream=stream-{i}" for i in range(4))]
    before = [ask(url, path) for path in questions]
    monitor.signal(signal.SIGTERM)
    assert monitor.wait(PATIENCE_S) == 0, monitor.tail()
    _, again = start()
    same([ask(again, path) for path in questions], before)


def test_a_monitor_waits_for_its_topic(site: Site, tmp_path: Path) -> None:
    worker = Worker(
        ("-m", "eddycast.service", "monitor"),
        site.variables | {"MONITOR__PORT": "0"},
        tmp_path / "waiting.log",
    )
    try:
        await_true(
            lambda: bool(said(worker, "waiting for the topic")) or worker.code is not None,
            PATIENCE_S,
            "it does not wait",
        )
        url = str(said(worker, "the monitor is served")[0]["url"])
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url, "/health")
        assert refused.value.code == 503
        assert site.output in json.load(refused.value)["waiting_for"]
        worker.signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_S) == 0, worker.tail()
    finally:
        worker.signal(signal.SIGKILL)
        worker.wait(PATIENCE_S)
