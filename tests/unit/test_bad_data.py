"""Bad data is logged, with throttling."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.model.loading import load_runtime
from eddycast.service.observability.bad_data import BadData
from eddycast.service.observability.log import configure_log
from eddycast.service.observability.throttle import BAD_DATA_S, Throttle
from eddycast.service.processing.alignment import Verdict
from eddycast.service.records import DeadLetter, Observations
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.running import AT_ONCE, memory_broker, send, worker

MINUTE = 60_000


@dataclass
class Log:
    """Lines logged since the last call."""

    stream: io.StringIO

    def lines(self) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        self.stream.seek(0)
        self.stream.truncate()
        return [line for line in found if "kind" in line]


@pytest.fixture
def log() -> Iterator[Log]:
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_log("json", "info", stream)
    yield Log(stream)
    root.handlers = handlers
    root.setLevel(level)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def letter(offset: int, error: str = "no_value", key: bytes | None = b"boiler") -> DeadLetter:
    return DeadLetter("in", 2, offset, key, b"{}", error, 'the field "value" is missing')


def of(*verdicts: Verdict, partition: int = 0) -> tuple[Observations, Any]:
    n = len(verdicts)
    streams = [b"s%d" % i for i in range(n)]
    none = np.zeros(n, np.int64)
    return Observations(
        partition, streams, none, np.zeros((n, 1)), none, np.arange(10, 10 + n)
    ), np.array(verdicts)


def test_one_line_a_minute_with_count_example_and_what_to_do(log: Log) -> None:
    clock = Clock()
    subject = BadData(("in", "dead"), clock)
    nothing: Any = np.empty(0, np.int8)
    for second in range(150):
        clock.now = float(second)
        subject.add([letter(2 * second), letter(2 * second + 1)], [], nothing)
        subject.log_due()
    lines = log.lines()
    assert [line["count"] for line in lines] == [2, 120, 120]
    assert (lines[1]["topic"], lines[1]["partition"], lines[1]["offset"], lines[1]["stream"]) == (
        "in",
        2,
        2,
        "boiler",
    )
    assert "missing" in lines[1]["reason"] and lines[1]["action"] and lines[1]["level"] == "warning"
    subject.log_due(now=True)
    assert [line["count"] for line in log.lines()] == [58]
    subject.log_due(now=True)
    assert log.lines() == []


def test_readings_of_one_record_count_each_and_the_first_is_named(log: Log) -> None:
    subject, nothing = BadData(("in", "dead"), Clock()), np.empty(0, np.int8)
    places = ("/readings/2", "/readings/5")
    subject.add([replace(letter(1), places=places)] * 2, [], nothing)
    subject.log_due(now=True)
    (line,) = log.lines()
    assert (line["count"], line["reading"]) == (4, "/readings/2")


def test_pending_bad_data_is_logged_after_a_minute_without_more(log: Log) -> None:
    clock = Clock()
    subject = BadData(("in", "dead"), clock)
    for now in (0.0, 1.0, 2.0):
        clock.now = now
        subject.add([letter(int(now))], [], np.empty(0, np.int8))
        subject.log_due()
    clock.now = BAD_DATA_S - 1
    subject.log_due()
    assert [line["count"] for line in log.lines()] == [1]
    clock.now = BAD_DATA_S
    subject.log_due()
    assert [line["count"] for line in log.lines()] == [2]


def test_each_kind_has_a_line_of_its_own(log: Log) -> None:
    subject = BadData(("in", "dead"), Clock())
    first, a = of(Verdict.NEXT, Verdict.SECOND, Verdict.NEXT)
    other, b = of(
        Verdict.SECOND,
        Verdict.LATE,
        Verdict.DUPLICATE,
        Verdict.SET_BACK,
        Verdict.RESTART,
        Verdict.GAP,
        partition=3,
    )
    subject.add(
        [letter(1), letter(2, "an_error_of_tomorrow", None)], [first, other], np.concatenate([a, b])
    )
    subject.log_due()
    lines = {line["kind"]: line for line in log.lines()}
    assert set(lines) == {
        "no_value",
        "an_error_of_tomorrow",
        "second",
        "late",
        "duplicate",
        "set_back",
        "restart",
    }
    assert (lines["second"]["count"], lines["second"]["partition"], lines["second"]["offset"]) == (
        2,
        0,
        11,
    )
    assert (lines["late"]["partition"], lines["late"]["offset"], lines["late"]["stream"]) == (
        3,
        11,
        "s1",
    )
    assert (
        lines["an_error_of_tomorrow"]["stream"] is None
        and "dead" in lines["an_error_of_tomorrow"]["action"]
    )
    assert all(line["action"] for line in lines.values())


def test_good_data_is_not_logged(log: Log) -> None:
    subject = BadData(("in", "dead"), Clock())
    good, verdicts = of(Verdict.FIRST, Verdict.NEXT, Verdict.GAP)
    subject.add([], [good], verdicts)
    subject.log_due(now=True)
    assert log.lines() == []


def test_a_hostile_name_does_not_fill_the_log(log: Log) -> None:
    subject = BadData(("in", "dead"), Clock())
    subject.add([letter(0, key=b"\xff\n" * 500_000)], [], np.empty(0, np.int8))
    subject.log_due()
    (line,) = log.lines()
    assert len(line["stream"]) <= 100


def test_the_service_logs_bad_data(log: Log, tmp_path: Path) -> None:
    """A real service with a sender that is twice too fast, late, and repeats readings."""
    write_bundle(tmp_path, Walk())
    broker = memory_broker()
    stamps = [0, 10, 10, 10.3, 5, 11]
    sent = [(0, b"s", {"timestamp": START_MS + int(t * MINUTE), "value": 1.0}) for t in stamps]
    send(broker, [*sent, *[(0, b"s", {"temperature": 1})] * 70])
    subject = worker(broker, load_runtime(tmp_path), replace(AT_ONCE, late="dead_letter"))
    subject.turn(3)
    found = {line["kind"]: line["count"] for line in log.lines()}
    assert found == {"no_value": 70, "duplicate": 1, "second": 1, "late": 1}
    subject.finish()


def test_a_throttle_lets_each_kind_pass_by_itself() -> None:
    clock = Clock()
    subject = Throttle(5.0, clock)
    assert [subject.is_due("a"), subject.is_due("a"), subject.is_due("b")] == [True, False, True]
    clock.now = 5.0
    assert subject.is_due("a")
    subject.put_off("c")
    assert not subject.is_due("c")


@pytest.mark.parametrize("hold", [None, 5 * MINUTE])
def test_sensors_slower_than_the_model_are_named_once(
    tmp_path: Path, log: Log, hold: int | None
) -> None:
    """The line names the setting that mends it, unless that is in force."""
    write_bundle(tmp_path, Walk())
    broker = memory_broker()
    subject = worker(broker, load_runtime(tmp_path), replace(AT_ONCE, hold_ms=hold))
    for start in range(0, 300, 100):
        sent = [
            (0, b"valve", {"timestamp": START_MS + 3 * t * MINUTE, "value": 1.0})
            for t in range(start, start + 100)
        ]
        send(broker, sent)
        subject.turn()
    lines = [line for line in log.lines() if line["kind"] == "slow"]
    assert [line["stream"] for line in lines] == ([] if hold else ["valve"])
    assert all("time.hold_s" in line["action"] for line in lines)
