"""`feed mqtt` and `feed http` as processes on a real Kafka: killed and stopped."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.chaos.fleet import Build, Fleet, Worker, await_true
from tests.support.feeding import START_MS
from tests.support.mosquitto import Mosquitto
from tests.support.processes import Site, said
from tests.support.running import errors

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATIENCE_S = 120.0
MESSAGES, KILLS = 6_000, 4
PROGRAM = ("-m", "eddycast.service", "feed")
MAPPING = {
    "INPUT__STREAM": "{topic.1}/{topic.3}",
    "INPUT__VALUE": "/v",
    "INPUT__TIMESTAMP": "/ts",
    "FEED__RATES_S": "0.2",
    "KAFKA__MAX_POLL_RECORDS": "50",
}


@contextmanager
def bridges(
    site: Site, directory: Path, source: str, **changes: str
) -> Iterator[Callable[..., Worker]]:
    """`start(**changes)` starts a bridge with the settings of the site."""
    directory = directory / source
    directory.mkdir()
    with Fleet(site.variables | changes, directory, Build((*PROGRAM, source))) as fleet:
        yield fleet.start


def reading(number: int) -> bytes:
    return json.dumps({"v": number, "ts": START_MS + number * 1000}).encode()


def fed(site: Site) -> list[tuple[bytes | None, int]]:
    """Stream and value of every reading."""
    return [
        (key, int(json.loads(value or b"")["value"])) for _, key, value in site.read(site.input)
    ]


def test_messages_outlive_bridges_that_are_killed(
    site: Site, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    chance = random.Random(5)
    where = {"MQTT__HOST": "127.0.0.1", "MQTT__PORT": str(mosquitto.port)}
    with bridges(site, tmp_path, "mqtt", MQTT__TOPICS="plant/#", **where, **MAPPING) as start:
        worker = start()
        await_true(lambda: said(worker, "connected"), PATIENCE_S, worker.tail())
        messages = [(f"plant/line/s{n % 7}", reading(n)) for n in range(MESSAGES)]
        bad = [("plant/line/s0", b"bad %d" % n) for n in range(9)]
        publishing = threading.Thread(target=mosquitto.publish, args=(bad + messages,))
        publishing.start()
        for place in ("feed.1", "feed.2"):
            worker.signal(signal.SIGKILL)
            worker.wait(30.0)
            worker = start(FAULTS__KILL_AT=place, FAULTS__KILL_AFTER="3")
            assert worker.wait(PATIENCE_S) == -signal.SIGKILL, worker.tail()
        for number in (*[signal.SIGKILL] * KILLS, signal.SIGTERM):
            before, worker = site.written(site.input), start()
            await_more(site, before, worker)
            time.sleep(chance.uniform(0, 0.2))
            worker.signal(number)
            assert worker.wait(30.0) == (-number if number == signal.SIGKILL else 0), worker.tail()
        publishing.join(PATIENCE_S)
        worker = start()
        await_true(lambda: is_idle(worker), PATIENCE_S, "it does not come to an end")
        worker.signal(signal.SIGTERM)
        assert worker.wait(30.0) == 0, worker.tail()
    assert {*fed(site)} == {(b"plant/s%d" % (n % 7), n) for n in range(MESSAGES)}
    letters = site._records(f"{site.name}-dead-letters")
    assert {letter.value for letter in letters} == {b"bad %d" % n for n in range(9)}
    assert {errors(letter.headers)["topic"] for letter in letters} == {b"plant/line/s0"}


def await_more(site: Site, before: int, worker: Worker) -> None:
    """Wait until more is written than before, or the bridge has nothing to do."""
    await_true(
        lambda: site.written(site.input) > before or is_idle(worker),
        PATIENCE_S,
        "nothing is fed",
    )


def is_idle(worker: Worker) -> bool:
    """True once the bridge is connected and the last of its lines shows no new messages."""
    lines = said(worker, "feeding")
    return any(line["connected"] and line["records_per_s"] == 0 for line in lines[-1:])


def test_requests_that_are_answered_are_there_whatever_is_killed(
    site: Site, tmp_path: Path
) -> None:
    answered: list[int] = []
    with bridges(site, tmp_path, "http", FEED__PORT="0") as start:
        sent = 0
        for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
            worker = start()
            url = served_at(worker)
            threads = [
                threading.Thread(target=post, args=(url, range(at, at + 200), answered))
                for at in range(sent, sent + 600, 200)
            ]
            sent += 600
            before = len(answered)
            for thread in threads:
                thread.start()
            await_count(answered, before + 100)
            worker.signal(number)
            assert worker.wait(30.0) == (-number if number == signal.SIGKILL else 0), worker.tail()
            for thread in threads:
                thread.join(PATIENCE_S)
    found = [value for _, value in fed(site)]
    assert {*answered} <= {*found}
    assert len(answered) >= 300
    assert said(worker, "fed")[0]["records"] == sum(value >= sent - 600 for value in found)


def served_at(worker: Worker) -> str:
    """The address of a bridge, once it serves."""
    await_true(lambda: said(worker, "readings are taken"), PATIENCE_S, worker.tail())
    return str(said(worker, "readings are taken")[0]["url"])


def await_count(answered: list[int], count: int) -> None:
    """Wait until `count` requests are answered."""
    await_true(lambda: len(answered) >= count, PATIENCE_S, "nothing is answered")


def post(url: str, numbers: range, answered: list[int]) -> None:
    """Post readings one after the other until the bridge is gone."""
    with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        for number in numbers:
            value = {"value": number, "timestamp": START_MS + number * 1000}
            try:
                answer = client.post(f"/records/s{number % 7}", json=value)
            except httpx.TransportError:
                return
            if answer.is_success:
                answered.append(number)
