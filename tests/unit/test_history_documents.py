"""JSON documents as web services answer: readings inside of objects and lists."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.errors import DataError
from eddycast.service.history import History, read_history

START, HOUR, ROWS = 1_709_251_200_000, 3_600_000, 96
MOMENTS = [datetime(2024, 3, 1) + timedelta(hours=i) for i in range(ROWS)]
SECONDS = [START // 1000 + i * 3600 for i in range(ROWS)]


def value(i: int, k: int = 0) -> float:
    return round(i % 24 + i * 7919 % 11 / 20 + 30 * k, 2)


def read(folder: Path, *documents: Any, indent: int | None = None) -> History:
    path = folder / "answer.json"
    path.write_text("\n".join(json.dumps(each, indent=indent) for each in documents) + "\n")
    return read_history(path)


def hourly(history: History, streams: int = 1) -> bool:
    return len(history.streams) == streams and all(
        stamps.tolist() == [START + i * HOUR for i in range(ROWS)]
        and values.tolist() == [value(i, k) for i in range(ROWS)]
        for k, (stamps, values) in enumerate(zip(history.timestamps, history.values, strict=True))
    )


@pytest.mark.parametrize("indent", [None, 1])
def test_lists_by_column(indent: int | None, tmp_path: Path) -> None:
    document = {
        "latitude": 52.5,
        "hourly_units": {"time": "iso8601", "temp": "C"},
        "hourly": {
            "time": [f"{moment:%Y-%m-%dT%H:%M}" for moment in MOMENTS],
            "temp": [value(i) for i in range(ROWS)],
        },
    }
    history = read(tmp_path, document, indent=indent)
    assert history.streams == ["temp"]
    assert hourly(history)
    assert any("96 readings inside of 1 document" in note for note in history.notes)
    shifted = read(tmp_path, {"timezone": "Etc/GMT-1", **document})
    assert shifted.timestamps[0][0] == START - HOUR
    with pytest.raises(DataError, match="several tables: hourly, daily"):
        read(tmp_path, {**document, "daily": document["hourly"]})


def test_a_list_of_objects_below_what_describes_it(tmp_path: Path) -> None:
    feeds = [
        {"created_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "entry_id": i + 1, "field1": str(value(i))}
        for i, moment in enumerate(MOMENTS)
    ]
    document = {"channel": {"id": 9, "created_at": "2020-01-01T00:00:00Z"}, "feeds": feeds}
    assert hourly(read(tmp_path, document))


def test_pairs_of_stamp_and_value(tmp_path: Path) -> None:
    result = [
        {
            "metric": {"__name__": "up", "instance": name},
            "values": [[second, str(value(i, k))] for i, second in enumerate(SECONDS)],
        }
        for k, name in enumerate("ab")
    ]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    history = read(tmp_path, answer)
    assert history.streams == ["a", "b"]
    assert hourly(history, 2)
    targets = [
        {"target": name, "datapoints": [[value(i, k), second] for i, second in enumerate(SECONDS)]}
        for k, name in enumerate(("x.a", "x.b"))
    ]
    assert hourly(read(tmp_path, targets), 2)


def test_a_series_a_line(tmp_path: Path) -> None:
    lines = [
        {
            "metric": {"host": name},
            "values": [value(i, k) for i in range(ROWS)],
            "timestamps": [1000 * second for second in SECONDS],
        }
        for k, name in enumerate("ab")
    ]
    assert hourly(read(tmp_path, *lines), 2)


def test_several_readings_a_record(tmp_path: Path) -> None:
    lines = [
        {
            "device": name,
            "readings": [{"ts": SECONDS[i + j], "temp": value(i + j, k)} for j in range(2)],
        }
        for i in range(0, ROWS, 2)
        for k, name in enumerate("ab")
    ]
    history = read(tmp_path, *lines)
    assert history.streams == ["a", "b"]
    assert hourly(history, 2)


def test_lists_beside_a_reading_are_no_readings(tmp_path: Path) -> None:
    lines = [
        {"time": f"{moment:%Y-%m-%dT%H:%M}", "load": value(i), "gateways": [{"rssi": -5}] * 2}
        for i, moment in enumerate(MOMENTS)
    ]
    assert hourly(read(tmp_path, *lines))
