"""Headers that forecasts take over, and tombstones among forecasts."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from eddycast.service.broker.memory.log import Record
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import Headers
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import CHANGELOG, DEAD, INPUT, errors, made, memory_broker, worker
from tests.support.tuning import Tuning

Sent = tuple[bytes, Any, Headers]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("walk")
    write_bundle(path, Walk())
    return load_runtime(path)


def reading(minute: int) -> dict[str, Any]:
    return {"timestamp": START_MS + minute * 60_000, "value": 1.0 + minute}


def served(walk: Runtime, sent: list[Sent], **options: Any) -> FaultyBroker:
    """A broker whose input has these records, all of them processed."""
    broker = memory_broker()
    producer = broker.producer()
    for key, value, headers in sent:
        text = None if value is None else json.dumps(value).encode()
        producer.produce(INPUT, 0, [key], [text], [headers])
    producer.flush(1.0)
    subject = worker(broker, walk, Tuning(**options))
    while subject.value("records_total") < len(sent):
        subject.turn()
    subject.finish()
    return broker


def lines(records: list[Record]) -> list[tuple[bytes | None, Any, list[tuple[str, bytes]]]]:
    """Key, minute of the reading (None = a tombstone) and headers."""
    return [
        (
            record.key,
            None
            if record.value is None
            else (json.loads(record.value)["timestamp"] - START_MS) // 60_000,
            list(record.headers),
        )
        for record in records
    ]


def test_a_forecast_takes_over_the_headers_that_are_named(walk: Runtime) -> None:
    trace = [("traceparent", b"00-1"), ("secret", b"x"), ("unit", b"C"), ("unit", b"K")]
    sent: list[Sent] = [
        (b"a", reading(0), trace),
        (b"b", reading(0), []),
        (b"a", {"value": "?"}, [("unit", b"bad")]),
        (b"a", reading(1), [("other", b"1")]),
    ]
    broker = served(walk, sent, output={"headers": "unit, traceparent"})
    assert lines(made(broker)) == [
        (b"a", 0, [trace[0], *trace[2:]]),
        (b"b", 0, []),
        (b"a", 1, []),
    ]
    assert all(not record.headers for record in made(served(walk, sent)))


def test_readings_of_one_record_have_its_headers(walk: Runtime) -> None:
    fields = {"p": 1.0, "q": 2.0, "timestamp": START_MS}
    shape = {"stream": "{key}/{field}", "fields": "/p, /q", "timestamp": "/timestamp"}
    sent: list[Sent] = [(b"a", fields, [("ce_id", b"7")]), (b"b", fields, [])]
    broker = served(walk, sent, output={"headers": "ce_id"}, input=shape)
    assert [(key, headers) for key, _, headers in lines(made(broker))] == [
        (b"a/p", [("ce_id", b"7")]),
        (b"a/q", [("ce_id", b"7")]),
        (b"b/p", []),
        (b"b/q", []),
    ]


def test_a_forecast_too_large_for_its_headers_is_a_dead_letter(walk: Runtime) -> None:
    sent: list[Sent] = [
        (b"a", reading(0), [("unit", b"C")]),
        (b"a", reading(1), [("unit", b"x" * 5_000)]),
        (b"a", reading(2), [("unit", b"K")]),
    ]
    broker = served(walk, sent, output={"headers": "unit"}, max_output_bytes=4_000)
    assert lines(made(broker)) == [(b"a", 0, [("unit", b"C")]), (b"a", 2, [("unit", b"K")])]
    (letter,) = made(broker, DEAD)
    assert errors(letter.headers)["error"] == b"forecast_too_large"


def test_tombstones_pass_through_in_the_order_of_the_input_however_it_is_cut(
    walk: Runtime,
) -> None:
    chance, sent = Random(3), list[Sent]()
    for minute in range(60):
        key = b"%d" % chance.randrange(4)
        if chance.random() < 0.2:
            sent.append((key, None, [("unit", b"none")]))
        else:
            sent.append((key, reading(minute), [("unit", b"C")] * chance.randrange(2)))
    chosen = {"tombstones": True, "headers": "unit"}
    expected = [
        (key, None, []) if value is None else (key, minute, own)
        for minute, (key, value, own) in enumerate(sent)
    ]
    for size in (1, 7, 500):
        broker = served(walk, sent, output=chosen, max_poll_records=size)
        assert lines(made(broker)) == expected
    silent = served(walk, sent)
    assert [line[1] for line in lines(made(silent))] == [
        line[1] for line in expected if line[1] is not None
    ]
    assert len(made(silent, CHANGELOG)) > 0
