"""`feed stdin` from a pipe, over the in-process broker."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator

import pytest

from eddycast.service.bridges.line_feed import LineFeed, Lines
from eddycast.service.bridges.messages import MessageMapper
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.errors import DataError
from tests.support.faulty_broker import FaultyBroker
from tests.support.feeding import fed, numbers, raw, settings
from tests.support.running import DEAD, errors


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe; a test closes the one to write to."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def feed(
    broker: FaultyBroker, reading: int, mapping: dict[str, str] | None = None
) -> threading.Event:
    """Feed a pipe to its end; the event would stop that."""
    chosen, stop = settings(mapping), threading.Event()
    LineFeed(Lines(reading), broker, chosen, MessageMapper(chosen, 1), CrashPoint()).run(stop)
    return stop


def test_lines_become_readings_and_dead_letters(pipe: tuple[int, int]) -> None:
    broker = FaultyBroker()
    os.write(pipe[1], b"\r\n".join([raw(1), b"", b"nonsense", raw(2)]))
    os.close(pipe[1])
    feed(broker, pipe[0])
    assert numbers(broker) == [1, 2]
    (letter,) = broker.read(DEAD)
    found = errors(letter.headers)
    assert (letter.value, found["error"], found["topic"]) == (b"nonsense", b"not_json", b"stdin")


def test_keys_stand_before_a_tab_or_come_from_kcat(pipe: tuple[int, int]) -> None:
    broker = FaultyBroker()
    kcat = {"topic": "t", "partition": 0, "offset": 3, "key": "b", "ts": 1_700_000_000_000}
    lines = [b'a\t{"value": 1}', json.dumps(kcat | {"payload": '{"value": 2}'}).encode()]
    os.write(pipe[1], b"\n".join(lines))
    os.close(pipe[1])
    feed(broker, pipe[0], {})
    found = dict(fed(broker))
    assert found[b"a"]["value"] == 1
    assert found[b"b"] == {"timestamp": 1_700_000_000_000, "value": 2}


def test_an_outage_holds_the_writer_up_and_loses_nothing(pipe: tuple[int, int]) -> None:
    broker = FaultyBroker()
    broker.fail_next("producer")
    broker.fail_next("produce", times=2)

    def write() -> None:
        with os.fdopen(pipe[1], "wb") as file:
            file.writelines(raw(n) + b"\n" for n in range(3_000))

    thread = threading.Thread(target=write)
    thread.start()
    feed(broker, pipe[0])
    thread.join()
    assert {*numbers(broker)} == {*range(3_000)}


def test_a_line_without_an_end_is_refused(pipe: tuple[int, int]) -> None:
    def write() -> None:
        with os.fdopen(pipe[1], "wb") as file:
            file.write(b"x" * (5 << 20))

    thread = threading.Thread(target=write)
    thread.start()
    with pytest.raises(DataError, match="one record in each line"):
        feed(FaultyBroker(), pipe[0])
    while os.read(pipe[0], 1 << 20):
        pass
    thread.join()
