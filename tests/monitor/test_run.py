"""The whole monitor inside this process: HTTPS, the token's file, events, and slow clients."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka.pki import make_pki
from eddycast.service.commands import monitor as command
from eddycast.service.dead_letters.headers import dead_letter
from eddycast.service.errors import AddressInUse, MissingExtra, SettingsError
from eddycast.service.monitor.run import Monitor
from eddycast.service.records import DeadLetter
from eddycast.service.settings.load import load_settings
from tests.monitor.test_follower import PATIENCE_S, broker_with, send, some, wait_until
from tests.support.faulty_broker import FaultyBroker

Start = Callable[..., Monitor]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a monitor over a broker, with flags without their dashes."""
    with ExitStack() as stack:

        def begin(broker: FaultyBroker, *flags: str) -> Monitor:
            given = ["monitor.port=0", "monitor.max_streams=100", *flags]
            monitor = Monitor(load_settings([f"--{flag}" for flag in given], {}), broker)
            stop = threading.Event()
            thread = threading.Thread(target=monitor.run, args=(stop,))
            thread.start()
            stack.callback(thread.join, PATIENCE_S)
            stack.callback(stop.set)
            wait_until(lambda: monitor.url is not None or not thread.is_alive())
            return monitor

        yield begin


def ask(monitor: Monitor, path: str, **options: Any) -> Any:
    request = urllib.request.Request(f"{monitor.url}{path}", headers=options.pop("headers", {}))
    with urllib.request.urlopen(request, timeout=PATIENCE_S, **options) as answer:
        return json.load(answer)


def test_it_answers_what_it_has_read(start: Start) -> None:
    broker = broker_with(some("a", 0, 30))
    monitor = start(broker)
    wait_until(lambda: ask(monitor, "/api/summary")["records"] == 30)
    send(broker, some("a", 30, 40))
    wait_until(lambda: ask(monitor, "/api/summary")["records"] == 40)
    assert ask(monitor, "/health")["ready"] is True


def test_dead_letters_are_read_beside_the_forecasts(start: Start) -> None:
    broker = broker_with(some("a", 0, 5))
    broker.admin().create_topic("dead-letters", 1)
    monitor = start(broker)
    producer = broker.producer()
    key, value, headers = dead_letter(
        DeadLetter("observations", 0, 9, b"b", b"{", "not_json", "the value is not JSON")
    )
    producer.produce("dead-letters", 0, [key], [value], [headers])
    producer.flush(5.0)
    wait_until(lambda: ask(monitor, "/api/dead_letters")["total"] == 1)
    (kind,) = ask(monitor, "/api/dead_letters")["errors"]
    assert (kind["error"], kind["latest"][0]["reason"]) == ("not_json", "the value is not JSON")
    assert kind["latest"][0]["offset"] == "9"


def test_events_come_while_records_flow_and_a_client_that_never_reads_stops_nobody(
    start: Start,
) -> None:
    broker = broker_with(some("a", 0, 10))
    monitor = start(broker)
    address = str(monitor.url).removeprefix("http://").split(":")
    deaf = []
    for _ in range(8):
        client = socket.create_connection((address[0], int(address[1])))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
        client.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        deaf.append(client)
    with urllib.request.urlopen(f"{monitor.url}/api/events", timeout=PATIENCE_S) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        seen, last = 0, 10
        deadline = time.monotonic() + PATIENCE_S
        while seen < 110 and time.monotonic() < deadline:
            line = events.readline()
            if line.startswith(b"data: "):
                seen = json.loads(line[6:])["records"]
                if seen == last and last < 110:
                    send(broker, some("a", last, last + 50))
                    last += 50
    assert seen == 110
    for client in deaf:
        client.close()


def test_https_with_a_token_from_a_file(start: Start, tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    secret = tmp_path / "token"
    secret.write_text("correct horse battery\n")
    monitor = start(
        broker_with(some("a", 0, 5)),
        f"monitor.ssl_certfile={pki.server}",
        f"monitor.token_file={secret}",
    )
    assert str(monitor.url).startswith("https://")
    trusting = ssl.create_default_context(cafile=str(pki.ca))
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(monitor, "/api/summary", context=trusting)
    assert refused.value.code == 401
    given = {"Authorization": "Bearer correct horse battery"}
    wait_until(
        lambda: ask(monitor, "/api/summary", context=trusting, headers=given)["records"] == 5
    )


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--monitor.token=longenough", "--monitor.token_file=x"], "monitor.token_file"),
        (["--monitor.ssl_keyfile=x"], "monitor.ssl_certfile"),
        (["--monitor.token=short"], "monitor.token"),
    ],
)
def test_settings_that_do_not_agree_are_named(flags: list[str], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as refused:
        load_settings(flags, {})
    assert "short" not in str(refused.value)


@pytest.mark.parametrize(
    ("flag", "content", "named"),
    [
        ("monitor.token_file", None, "cannot be read"),
        ("monitor.token_file", "short\n", "less than 8"),
        ("monitor.ssl_certfile", "no certificate", "does not load"),
        ("monitor.ssl_certfile", None, "does not load"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    flag: str, content: str | None, named: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    monitor = Monitor(load_settings([f"--{flag}={file}"], {}), broker_with([]))
    with pytest.raises(SettingsError, match=named) as refused:
        monitor.run(threading.Event())
    assert str(file) in str(refused.value) and "short" not in str(refused.value)


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monitor = Monitor(load_settings([f"--monitor.port={port}"], {}), broker_with([]))
        with pytest.raises(AddressInUse, match=str(port)):
            monitor.run(threading.Event())


def test_without_its_packages_the_command_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> None:
        raise ModuleNotFoundError("No module named 'starlette'", name="starlette")

    monkeypatch.setattr("eddycast.service.monitor.run.run", missing)

    class Context:
        args: list[str] = []  # noqa: RUF012 - only read

    with pytest.raises(MissingExtra, match="starlette") as refused:
        command.monitor(Context())  # type: ignore[arg-type]
    assert "eddycast[monitor]" in refused.value.action


def test_the_topic_is_the_output_of_the_service(start: Start) -> None:
    broker = broker_with(some("a", 0, 5))
    broker.admin().create_topic("others", 1)
    monitor = start(broker, "topics.output=others")
    wait_until(lambda: _ready(monitor))
    assert ask(monitor, "/api/summary")["records"] == 0


def _ready(monitor: Monitor) -> bool:
    try:
        return bool(ask(monitor, "/health")["ready"])
    except urllib.error.HTTPError:
        return False
