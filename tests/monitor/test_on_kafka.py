"""The monitor as a process on a real Kafka: what it answers is what the topic holds."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from deploy.kafka.secure import SecureKafka
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import Worker, await_true
from tests.monitor.browsing import CHROMIUM, NEEDS_CHROMIUM, compare_chart
from tests.monitor.brute_force import by_lead
from tests.monitor.records import same, walks
from tests.support.processes import MINUTE, Site, said
from tests.support.secure import User

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PATIENCE_S = 90.0


def ask(url: str, path: str, **query: object) -> Any:
    """The answer of the API."""
    whole = f"{url}{path}?{urlencode(query)}" if query else url + path
    with urllib.request.urlopen(whole, timeout=30) as answer:
        return json.load(answer)


def has_caught_up(worker: Worker, site: Site) -> bool:
    return site.output in [line["topic"] for line in said(worker, "caught up")]


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
            return has_caught_up(worker, site)

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
            assert expected == pytest.approx(before["one_step"], rel=1e-5, abs=1e-5)
        assert shown["fan"]["quantiles"] == own[-1]["multi_step"]
        assert shown["fan"]["issued"] == own[-1]["timestamp"]
        for line, sums in zip(shown["accuracy"]["week"], by_lead(own, [1, 3], 0), strict=True):
            assert line["scored"] == sums["n"] > 0
            assert line["mae"] == pytest.approx(sums["error"] / sums["n"], rel=1e-4)
        due = own[-1]["timestamp"]
        made = ask(url, "/api/forecasts", stream=stream, valid=due, lead=3)["forecasts"]
        assert [line["issued"] for line in made] == [due - 3 * MINUTE]
        assert made[0]["came"] == own[-1]["value"]
        assert made[0]["quantiles"] == pytest.approx(own[-4]["multi_step"][2], rel=1e-5, abs=1e-5)

    assert ask(url, "/api/dead_letters")["total"] == 0
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
            lambda: (
                site.output in [line["topic"] for line in said(worker, "waiting for the topic")]
                or worker.code is not None
            ),
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


@NEEDS_CHROMIUM
def test_the_page_shows_the_topics_numbers_and_comes_back_after_a_restart(
    site: Site, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = site.variables | {"MONITOR__PORT": str(port)}
    command = ("-m", "eddycast.service", "monitor")
    site.serving()
    site.feed(range(30))
    site.await_forecasts(120, PATIENCE_S)
    with ExitStack() as stack:

        def begin(name: str) -> Worker:
            worker = Worker(command, variables, tmp_path / f"{name}.log")
            stack.callback(worker.wait, PATIENCE_S)
            stack.callback(worker.signal, signal.SIGKILL)
            await_true(
                lambda: has_caught_up(worker, site) or worker.code is not None, PATIENCE_S, name
            )
            assert worker.code is None, worker.tail()
            return worker

        first = begin("first")
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        stack.callback(browser.close)
        page = browser.new_page()
        expect.set_options(timeout=PATIENCE_S * 1000)
        page.goto(f"http://127.0.0.1:{port}/#stream=stream-1")
        compare(page, site, 30)

        first.signal(signal.SIGTERM)
        assert first.wait(PATIENCE_S) == 0, first.tail()
        expect(page.locator("#state")).to_have_text("no connection to the monitor")
        site.feed(range(30, 40))
        site.await_forecasts(160, PATIENCE_S)
        begin("second")
        expect(page.locator("#state")).to_have_text("live")
        compare(page, site, 40)


def compare(page: Page, site: Site, readings: int) -> None:
    """The page shows as many readings of a stream, and the numbers of its records."""
    expect(page.locator("#chart-text")).to_contain_text(f"{readings} readings")
    records = [json.loads(value or b"") for _, _, value in site.read(site.output)]
    own = [record for record in records if record["stream"] == "stream-1"]
    compare_chart(page, own)
    row = page.locator("#rows tr").nth(1).locator("data")
    expect(row.nth(0)).to_have_attribute("value", str(int(own[-1]["value"])))


def test_it_needs_the_right_to_read_the_forecasts_and_no_other(
    secure_kafka: SecureKafka, user: User, tmp_path: Path
) -> None:
    topics = {"OUTPUT": f"{user.name}-output", "DEAD_LETTERS": f"{user.name}-dead"}
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=secure_kafka.bootstrap_servers))
    with broker.admin() as admin:
        for topic in topics.values():
            admin.create_topic(topic, 1)
    with closing(broker.producer()) as producer:
        values: list[bytes | None] = [json.dumps(record).encode() for record in walks(["a"], 5)]
        producer.produce(topics["OUTPUT"], 0, [None] * len(values), values)
        producer.flush(PATIENCE_S)
    variables = user.variables | {f"TOPICS__{name}": topic for name, topic in topics.items()}
    command = ("-m", "eddycast.service", "monitor")
    changes = {"MONITOR__PORT": "0", "LOG__FORMAT": "json"}

    refused = Worker(command, variables | changes, tmp_path / "refused.log")
    assert refused.wait(PATIENCE_S) == 5
    assert topics["OUTPUT"] in refused.tail()

    user.grant("topic", topics["OUTPUT"], "read")
    worker = Worker(command, variables | changes, tmp_path / "allowed.log")
    try:
        await_true(
            lambda: said(worker, "dead letters are not shown") and said(worker, "caught up"),
            PATIENCE_S,
            "it does not read",
        )
        url = str(said(worker, "the monitor is served")[0]["url"])
        assert ask(url, "/api/summary")["records"] == len(values)
    finally:
        worker.signal(signal.SIGKILL)
        worker.wait(PATIENCE_S)
