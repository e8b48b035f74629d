"""Every shape of records, through the decoder and through the whole path: nothing is lost without
a count, and neither polls nor chunks change anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.errors import SettingsError
from eddycast.service.formats.mapped_decoder import MappedDecoder
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.input import InputSettings
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import AT_ONCE, DEAD, INPUT, Worker, errors, made, memory_broker, worker
from tests.support.shapes import MINUTE, SHAPES, Shape
from tests.support.tuning import Tuning

HOUR = 60 * MINUTE


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    directory: Path = tmp_path_factory.mktemp("bundle")
    write_bundle(directory, Walk())
    return load_runtime(directory)


Encoded = tuple[bytes | None, bytes, list[tuple[str, bytes]]]


def batch_of(records: Sequence[Encoded]) -> PartitionBatch:
    n = len(records)
    return PartitionBatch(
        INPUT,
        3,
        [key for key, _, _ in records],
        [value for _, value, _ in records],
        np.full(n, START_MS + HOUR // 2),
        np.arange(100, 100 + n),
        headers=[headers for _, _, headers in records],
    )


def decode(shape: Shape) -> tuple[list[tuple[str, int, float | None]], list[str], int]:
    decoder = MappedDecoder(InputSettings(**shape.settings), 1)
    observations, letters, filtered = decoder.decode(batch_of(shape.encoded()))
    found = [
        (stream.decode(), (stamp - START_MS) // MINUTE, None if value != value else value)
        for stream, stamp, value in zip(
            observations.streams,
            observations.timestamps.tolist(),
            observations.values[:, 0].tolist(),
            strict=True,
        )
    ]
    assert (np.diff(observations.offsets) >= 0).all() and (np.diff(filtered) >= 0).all()
    return found, [letter.error for letter in letters], len(filtered)


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_mapping_makes_of_each_record(name: str) -> None:
    shape = SHAPES[name]
    found, refused, filtered = decode(shape)
    assert found == list(shape.expected)
    assert refused == list(shape.refused)
    assert filtered == shape.filtered


def sent(broker: FaultyBroker, shape: Shape) -> None:
    broker._clock = lambda: (START_MS + HOUR // 2) / 1000
    producer = broker.producer()
    for key, value, headers in shape.encoded():
        producer.produce(INPUT, 0, [key], [value], [headers])
    producer.flush(1.0)


def served(
    runtime: Runtime, shape: Shape, options: Tuning = AT_ONCE
) -> tuple[FaultyBroker, Worker]:
    """The broker and the worker, after everything was served."""
    broker = memory_broker()
    sent(broker, shape)
    subject = worker(broker, runtime, replace(options, input=shape.settings))
    while subject.turn() or not subject.pipeline._delivery.partitions.serving:
        pass
    subject.finish()
    return broker, subject


@pytest.mark.parametrize("name", SHAPES)
def test_the_counts_add_up(runtime: Runtime, name: str) -> None:
    shape = SHAPES[name]
    broker, subject = served(runtime, shape)
    forecasts = [json.loads(record.value or b"") for record in made(broker)]
    streams = Counter(stream for stream, _, _ in shape.expected)
    stamps: dict[tuple[str, int], float | None] = {}
    for stream, minute, value in shape.expected:
        stamps.setdefault((stream, START_MS + minute * MINUTE), value)
    assert {(f["stream"], f["timestamp"]): f["value"] for f in forecasts} == stamps
    assert Counter(f["stream"] for f in forecasts) == streams
    letters = [errors(record.headers) for record in made(broker, DEAD)]
    dead = sum(int(letter.get("readings", b"1")) for letter in letters)
    assert (
        dead
        == len(shape.refused)
        == sum(subject.value("dead_letters_total", error=error) for error in set(shape.refused))
    )
    verdicts = sum(
        subject.value("readings_total", verdict=verdict)
        for verdict in ("duplicate", "second", "late")
    )
    readings = len(shape.expected) + len(shape.refused) + shape.filtered
    filtered = subject.value("filtered_total")
    assert len(forecasts) + dead + verdicts + filtered == readings


@pytest.mark.parametrize("name", SHAPES)
def test_a_bad_record_is_isolated_and_keeps_what_it_had(runtime: Runtime, name: str) -> None:
    shape = SHAPES[name]
    broken: tuple[bytes | None, Any, list[tuple[str, bytes]]] = (
        b"bad",
        b"\xff\x00 no document",
        [("traceparent", b"00-1"), ("unit", "°C".encode())],
    )
    broker, _ = served(runtime, replace(shape, records=[*shape.records, broken]))
    letter = made(broker, DEAD)[-1]
    assert (letter.key, letter.value) == broken[:2] and letter.headers[:2] == broken[2]
    assert errors(letter.headers)["offset"] == b"%d" % len(shape.records)
    assert errors(letter.headers)["timestamp"] == b"%d" % (START_MS + HOUR // 2)
    assert [r.value for r in made(broker)] == [r.value for r in made(served(runtime, shape)[0])]


@pytest.mark.parametrize("name", SHAPES)
def test_cuts_change_nothing(runtime: Runtime, name: str) -> None:
    """A record with several readings is never divided, by polls or by chunks."""
    whole = served(runtime, SHAPES[name])[0]
    for options in (Tuning(max_poll_records=1), Tuning(max_steps=1), Tuning(turn_s=0.0)):
        broker = served(runtime, SHAPES[name], options)[0]
        for topic in ("forecasts", DEAD):
            assert [(r.key, r.value, r.headers) for r in made(broker, topic)] == [
                (r.key, r.value, r.headers) for r in made(whole, topic)
            ]


def test_readings_of_one_record_share_a_dead_letter(runtime: Runtime) -> None:
    """Otherwise a record of a megabyte with many bad readings would be written many times."""
    bad = [{"t": START_MS, "v": "x"}] * 9 + [{"t": 5, "v": 1}]
    shape = replace(SHAPES["each"], records=[(b"k", {"device": "d", "readings": bad}, [])])
    broker, _ = served(runtime, shape)
    first, second = (errors(record.headers) for record in made(broker, DEAD))
    assert (first["error"], first["readings"]) == (b"not_a_number", b"9")
    assert first["reading"].startswith(b"/readings/0, /readings/1") and first["offset"] == b"0"
    assert (second["error"], second["reading"]) == (b"seconds", b"/readings/9")


def test_late_readings_inside_a_record(runtime: Runtime) -> None:
    stamps = [9, 1, 2, 9]
    readings = [{"t": START_MS + minute * MINUTE, "v": 1} for minute in stamps]
    shape = replace(SHAPES["each"], records=[(b"k", {"device": "d", "readings": readings}, [])])
    broker, subject = served(runtime, shape, replace(AT_ONCE, late="dead_letter"))
    assert len(made(broker)) == 1 and subject.value("readings_total", verdict="duplicate") == 1
    (letter,) = (errors(record.headers) for record in made(broker, DEAD))
    assert (letter["error"], letter["reading"]) == (b"late", b"/readings/1, /readings/2")


def test_a_tombstone_before_a_record_of_several_readings(runtime: Runtime) -> None:
    """The stream that returns is not the first of its record."""

    def record(minute: int, *names: str) -> tuple[bytes | None, Any, list[tuple[str, bytes]]]:
        stamp = START_MS + minute * MINUTE
        readings = [{"name": name, "t": stamp, "v": 1} for name in names]
        return b"", {"readings": readings}, []

    settings = {"each": "/readings/*", "stream": "{name}", "value": "/v", "timestamp": "/t"}
    records = [record(i, "a", "b") for i in range(4)]
    records += [(b"b", None, []), record(4, "a", "b"), record(5, "a", "b")]
    shape = Shape(settings, records, [])
    outcomes = []
    for options in (AT_ONCE, Tuning(max_poll_records=1)):
        broker = memory_broker()
        broker._clock = lambda: (START_MS + HOUR // 2) / 1000
        producer = broker.producer()
        for key, value, _ in shape.records:
            producer.produce(INPUT, 0, [key], [value and json.dumps(value).encode()])
        producer.flush(1.0)
        subject = worker(broker, runtime, replace(options, input=settings))
        while subject.turn() or not subject.pipeline._delivery.partitions.serving:
            pass
        subject.finish()
        assert subject.value("tombstones_total") == 1
        outcomes.append([record.value for record in made(broker)])
    assert outcomes[0] == outcomes[1] and len(outcomes[0]) == 12
    warm = [json.loads(value or b"")["warm"] for value in outcomes[0]]
    assert warm[8:] == [True, False, True, True]


def test_a_record_has_no_more_readings_than_allowed() -> None:
    readings = json.dumps({"readings": [{"v": 1}] * 20_000}).encode()
    settings = InputSettings(each="/readings/*", value="/v")
    found = MappedDecoder(settings, 1).decode(batch_of([(b"k", readings, [])]))
    assert len(found.observations) == 0
    assert [letter.error for letter in found.letters] == ["too_many_readings"]


def test_channels_from_fields_of_a_record() -> None:
    settings = InputSettings(value="/a, /b", timestamp_unit="%d.%m.%Y %H:%M", zone="Europe/Berlin")
    documents = [
        {"a": 1, "b": 2.5, "timestamp": "14.11.2023 01:02"},
        {"a": 1, "timestamp": "14.11.2023 01:03"},
        {"a": 1, "b": None, "timestamp": "14.11.2023"},
    ]
    records: list[Encoded] = [(b"k", json.dumps(document).encode(), []) for document in documents]
    found = MappedDecoder(settings, 2).decode(batch_of(records))
    assert found.observations.values.tolist() == [[1.0, 2.5]]
    assert found.observations.timestamps.tolist() == [START_MS + 2 * MINUTE]
    assert [letter.error for letter in found.letters] == ["no_value", "bad_timestamp"]


@pytest.mark.parametrize(
    ("given", "channels"), [({"value": "/a, /b"}, 3), ({"fields": "/a, /b"}, 2)]
)
def test_a_mapping_that_does_not_fit_the_model_is_refused(
    given: dict[str, Any], channels: int
) -> None:
    with pytest.raises(SettingsError, match=next(iter(given))):
        MappedDecoder(InputSettings(**given), channels)
