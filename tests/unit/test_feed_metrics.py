"""What a bridge does is seen: counted, served as metrics, in the line of rates, and as a bar."""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from threading import Event

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from eddycast.service.bridges.feed_metrics import FeedMetrics, served_metrics
from eddycast.service.bridges.http_app import http_app
from eddycast.service.bridges.line_feed import LineFeed, Lines
from eddycast.service.bridges.messages import MessageMapper
from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.bridges.rates import Rates
from eddycast.service.commands.simulate import feed as send
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.errors import AddressInUse
from eddycast.service.history import History
from eddycast.service.history.merging import merge
from eddycast.service.observability.log import configure_log
from eddycast.service.settings.settings import Settings
from tests.support.faulty_broker import FaultyBroker
from tests.support.feeding import raw, settings
from tests.support.running import INPUT


def value(metrics: FeedMetrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(f"eddycast_feed_{name}")


def test_what_a_bridge_writes_is_counted() -> None:
    """Readings, dead letters, and what the mapping passes over."""
    reading, writing = os.pipe()
    os.write(writing, b"\n".join([raw(1), b"nonsense", raw(2), raw(7)]))
    os.close(writing)
    chosen = settings({"stream": "{/device}", "value": "/payload/v", "streams": "!d0"})
    metrics = FeedMetrics(CollectorRegistry())
    subject = LineFeed(
        Lines(reading), FaultyBroker(), chosen, MessageMapper(chosen, 1), CrashPoint(), metrics
    )
    subject.run(Event())
    os.close(reading)
    counts = [value(metrics, f"{name}_total") for name in ("records", "readings", "filtered")]
    assert counts == [4, 2, 1]
    assert value(metrics, "dead_letters_total") == 1


def test_what_a_sender_is_told_about_is_counted() -> None:
    """Readings that cannot be read, a body that cannot, and one for which there is no room."""
    from starlette.testclient import TestClient

    class Writer:
        """Acknowledges at once."""

        target, is_well = None, True

        def submit(self, *_: object) -> object:
            from concurrent.futures import Future

            done: Future[None] = Future()
            done.set_result(None)
            return done

    metrics = FeedMetrics(CollectorRegistry())
    rates = Rates("http", 10.0, metrics)
    chosen = Settings()
    mapper = MessageMapper(chosen, 1)
    app = http_app(mapper, mapper, Writer(), None, 1 << 20, rates.refuse)  # type: ignore[arg-type]
    client = TestClient(app)
    lines = {"Content-Type": "application/x-ndjson"}
    assert client.post("/records/s", content=b'{"value": "x"}\n{', headers=lines).status_code == 400
    packed = {"Content-Encoding": "br"}
    assert client.post("/records/s", content=b"x", headers=packed).status_code == 415
    assert (rates.refused, value(metrics, "refused_total")) == (3, 3)


def test_the_line_of_rates(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("json", "info")
    now = [100.0]
    metrics = FeedMetrics(CollectorRegistry())
    rates = Rates("mqtt", 10.0, metrics, lambda: now[0])
    outgoing = Outgoing(None)  # type: ignore[arg-type]
    outgoing.readings, outgoing.letters = 30, 2
    rates.written(20, 1, outgoing)
    rates.refuse(3)
    due = [rates.is_due]
    now[0] = 110.0
    assert [*due, rates.is_due] == [False, True]
    rates.show(waiting=7, connected=True)
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    found = {name: line[name] for name in ("records_per_s", "readings_per_s", "refused", "waiting")}
    assert found == {"records_per_s": 2.0, "readings_per_s": 3.0, "refused": 3, "waiting": 7}
    assert value(metrics, "waiting") == 7 and line["connected"] is True


def test_metrics_are_served_on_a_port_that_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("json", "info")
    with served_metrics(Settings.model_validate({"feed": {"metrics_port": 0}})) as metrics:
        metrics.readings.inc(5)
        url = json.loads(capsys.readouterr().err.splitlines()[-1])["url"]
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            assert b"eddycast_feed_readings_total 5.0" in answer.read()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/metrics", timeout=60)
    with served_metrics(Settings()):
        assert capsys.readouterr().err == ""


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = Settings.model_validate({"feed": {"metrics_port": port}})
        with pytest.raises(AddressInUse) as caught, served_metrics(chosen):
            pass
    assert "feed.metrics_port" in caught.value.action


@pytest.mark.parametrize("on_a_terminal", [True, False])
def test_files_show_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, on_a_terminal: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1" if on_a_terminal else "")
    broker = FaultyBroker()
    broker.admin().create_topic(INPUT, 1)
    stamps = 1_700_000_000_000 + 1000 * np.arange(321)
    readings = merge(History(["a"], [stamps], [np.ones(321)], []))
    send(broker, Settings(), INPUT, readings, 0.0, Event())
    assert ("/321" in capsys.readouterr().err) == on_a_terminal
    assert len(broker.read(INPUT)) == 321
