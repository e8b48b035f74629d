"""`eddycast input try` and `eddycast input guess`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from eddycast.service.__main__ import run
from eddycast.service.commands.sampling import of_file, of_topic
from eddycast.service.delivery import connect
from eddycast.service.formats.guessing import guess
from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.outcomes import Reading, Record
from eddycast.service.records import LAST_TIMESTAMP
from eddycast.service.settings.input import InputSettings
from tests.support.faulty_broker import FaultyBroker
from tests.support.shapes import SHAPES, Shape

NOW = 1_700_000_000_000


def records_of(shape: Shape) -> list[Record]:
    return [
        Record("t", key, value, headers, NOW, LAST_TIMESTAMP)
        for key, value, headers in shape.encoded()
    ]


@pytest.mark.parametrize(
    "name", [name for name in SHAPES if name not in ("nested", "each", "framed")]
)
def test_a_known_sender_is_recognised_by_its_shape(name: str) -> None:
    group = "format" if name in ("influx", "text") else "preset"
    expected = {} if name == "plain" else {group: name}
    assert guess(records_of(SHAPES[name])) == expected


UNKNOWN: dict[str, tuple[Any, dict[str, str]]] = {
    "one number": (
        {"sensor": "s1", "at": NOW, "reading": {"celsius": 21.4}},
        {
            "value": "/reading/celsius",
            "stream": "{/sensor}",
            "timestamp": "/at",
            "timestamp_unit": "auto",
        },
    ),
    "several numbers": (
        {"time": "2023-11-14T22:13:20Z", "temp": 1, "hum": 2},
        {
            "fields": "/temp, /hum",
            "stream": "{key}/{field}",
            "timestamp": "/time",
            "timestamp_unit": "auto",
        },
    ),
    "several readings": (
        {"device_id": 7, "data": [{"ts": NOW, "v": 1.5}, {"ts": NOW + 1000, "v": 1.5}]},
        {
            "each": "/data/*",
            "value": "/v",
            "stream": "{/device_id}",
            "timestamp": "/ts",
            "timestamp_unit": "auto",
        },
    ),
    "no time": ({"power": 3}, {"value": "/power", "timestamp": "record"}),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_shape_is_read_by_the_guess(name: str) -> None:
    document, expected = UNKNOWN[name]
    record = Record("t", b"k", json.dumps(document).encode(), (), NOW, LAST_TIMESTAMP)
    found = guess([record])
    assert found == expected
    outcomes = Mapping(InputSettings.model_validate(found), 1).read(record)
    assert outcomes and all(isinstance(outcome, Reading) for outcome in outcomes)


@pytest.mark.parametrize("value", [b"", b"text", b"[]", b"true", b'{"a":"b"}', b"{}", b"null"])
def test_what_has_no_number_has_no_guess(value: bytes) -> None:
    assert guess([Record("t", b"k", value, (), NOW, LAST_TIMESTAMP)]) is None


def test_records_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "records"
    kcat = {"topic": "x", "partition": 0, "offset": 4, "ts": NOW, "key": "k", "payload": '{"v":1}'}
    file.write_text(
        'boiler\t{"v": 1}\n{"v": 2}\r\n'
        + json.dumps(kcat | {"headers": ["ce_source", "s"]})
        + "\ncpu usage=1\tx\n"
    )
    found = [record for _, record in of_file(file, 9, "t")]
    assert [(one.key, one.value) for one in found[:3]] == [
        (b"boiler", b'{"v": 1}'),
        (None, b'{"v": 2}'),
        (b"k", b'{"v":1}'),
    ]
    assert (found[2].topic, found[2].time, found[2].headers) == ("x", NOW, (("ce_source", b"s"),))
    file.write_text(json.dumps({"v": [1, 2]}, indent=2))
    assert len(of_file(file, 9, "t")) == 1
    assert len(of_file(file, 1, "t")) == 1


def test_try_shows_what_becomes_of_each_reading(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    file = tmp_path / "records.jsonl"
    shape = SHAPES["telegraf"]
    file.write_bytes(b"\n".join(value for _, value, _ in shape.encoded()))
    assert run(["input", "try", str(file), "--input.preset", "telegraf"]) == 0
    said = capsys.readouterr().out
    assert "a/cpu/usage" in said and "2023-11-14T00:01:00+00:00" in said and "missing" in said
    assert "no_value: there is no /fields/*" in said and "/metrics/1/fields/note" in said
    assert "5 records: 6 readings, 2 filtered, 2 dead letters" in said


def test_guess_prints_settings_and_tries_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    file = tmp_path / "records.jsonl"
    document = UNKNOWN["one number"][0]
    file.write_text(f"{json.dumps(document)}\n")
    assert run(["input", "guess", str(file)]) == 0
    said = capsys.readouterr().out
    assert '[input]\nvalue = "/reading/celsius"\nstream = "{/sensor}"' in said
    assert "1 record: 1 reading, 0 filtered, 0 dead letters" in said


def test_the_last_records_of_a_topic_are_tried(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    broker = FaultyBroker()
    broker.admin().create_topic("raw", 2)
    producer = broker.producer()
    for partition in (0, 1):
        values: list[bytes | None] = [b'{"v":%d}' % i for i in range(partition * 5)]
        own, count = [("h", b"x")], len(values)
        producer.produce("raw", partition, [b"k"] * count, values, [own] * count)
    producer.flush(1.0)
    found = of_topic(broker, "raw", 3)
    assert [place for place, _ in found] == ["1:2", "1:3", "1:4"]
    assert found[0][1].headers == [("h", b"x")]
    with patch.object(connect, "kafka_broker", lambda _: broker):
        flags = ["--input.value", "/v", "--input.stream", "{header.h}-{key}"]
        assert run(["input", "try", "--topic", "raw", "--limit", "2", *flags]) == 0
        assert "x-k" in (said := capsys.readouterr().out) and "2 records: 2 readings" in said
        assert run(["input", "try", "--topic", "none"]) == 5


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["input", "try", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "empty").write_text("\n")
    assert run(["input", "guess", str(tmp_path / "empty")]) == 2
    assert "is empty" in capsys.readouterr().err
    assert run(["input", "try", str(tmp_path / "empty"), "--input.value", "v"]) == 2
    assert "/payload/temp" in capsys.readouterr().err
