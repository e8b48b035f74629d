"""The archive: every record in one file, however often it is interrupted; and what reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import polars as pl
import pytest

from eddycast.service.archive.archiver import Archiver
from eddycast.service.archive.folder import TopicFolder, covered_by
from eddycast.service.archive.forecast_rows import ForecastRows
from eddycast.service.archive.reading import read_archive, read_topic
from eddycast.service.archive.rows import OBSERVATIONS, ObservationRows
from eddycast.service.errors import DataError, TopicMissing
from eddycast.service.history import ReadOptions
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.settings import Settings
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import INPUT, OUTPUT, memory_broker

START_MS = 1_700_000_000_000


class Small(ObservationRows):
    """Observations in blocks of ten offsets."""

    block = 10


class SmallForecasts(ForecastRows):
    """Forecasts in blocks of ten offsets."""

    block = 10


def observation(minute: int, value: float | None) -> bytes:
    return json.dumps({"timestamp": START_MS + minute * 60_000, "value": value}).encode()


def feed(broker: FaultyBroker, minutes: range, partition: int = 0, name: bytes = b"a") -> None:
    with broker.producer() as producer:
        values = [observation(t, float(t)) for t in minutes]
        producer.produce(INPUT, partition, [name] * len(values), values)
        producer.flush(1.0)


def archived(broker: FaultyBroker, directory: Path, **settings: Any) -> Archiver:
    """An archiver that has written all that is in the topic."""
    subject = Archiver(broker, INPUT, Small(Settings(**settings), 1), directory, 60.0)
    subject.run(Event(), once=True)
    return subject


def files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.parquet"), key=lambda path: path.name)


def rows(directory: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in files(directory)])


def test_every_offset_stands_in_one_file_of_its_block(tmp_path: Path) -> None:
    broker = memory_broker(2)
    feed(broker, range(25))
    feed(broker, range(5), 1, b"b")
    archived(broker, tmp_path)
    topic_id = broker.admin().topic_id(INPUT)
    day = np.datetime_as_string(np.datetime64("now"), unit="D")
    assert [str(path.relative_to(tmp_path)) for path in files(tmp_path)] == [
        f"{INPUT}/{topic_id}/day={day}/{partition:05}-{start:019}.parquet"
        for partition, start in ((0, 0), (0, 10), (0, 20), (1, 0))
    ]
    found = rows(tmp_path)
    assert found.schema == OBSERVATIONS
    assert found.filter(partition=0)["offset"].to_list() == list(range(25))
    assert found.filter(partition=0)["value"].to_list() == list(range(25))
    assert found.filter(stream="b")["timestamp"].to_physical().to_list() == [
        START_MS + t * 60_000 for t in range(5)
    ]


@pytest.mark.parametrize("pieces", [[25], [1] * 25, [7, 3, 12, 3]])
def test_a_restart_resumes_where_the_files_end(tmp_path: Path, pieces: list[int]) -> None:
    broker, done = memory_broker(), 0
    for piece in pieces:
        feed(broker, range(done, done + piece))
        done += piece
        archived(broker, tmp_path)
    assert len(files(tmp_path)) == 3
    assert rows(tmp_path)["offset"].to_list() == list(range(25))
    assert [covered_by(path).next_offset for path in files(tmp_path)] == [10, 20, 25]
    assert sum(covered_by(path).records for path in files(tmp_path)) == 25


@pytest.mark.parametrize("before", ["write", "rename"])
def test_a_crash_while_a_file_is_written_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    broker = memory_broker()
    feed(broker, range(13))
    archived(broker, tmp_path)
    feed(broker, range(13, 30))

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if before == "write":
            patched.setattr(pl.DataFrame, "write_parquet", crash)
        else:
            patched.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            archived(broker, tmp_path)
    assert rows(tmp_path)["offset"].to_list() == list(range(13))
    archived(broker, tmp_path)
    assert rows(tmp_path)["offset"].to_list() == list(range(30))
    assert not list(tmp_path.rglob("*.part"))


def test_records_without_a_row_are_counted(tmp_path: Path) -> None:
    broker = memory_broker()
    with broker.producer() as producer:
        values = [b"nonsense", observation(0, 1.5), None, observation(1, None)]
        producer.produce(INPUT, 0, [b"a"] * 4, values)
        producer.flush(1.0)
    archived(broker, tmp_path)
    covered = covered_by(files(tmp_path)[0])
    assert (covered.records, covered.unreadable, covered.tombstones) == (4, 1, 1)
    assert rows(tmp_path).select("offset", "value").rows() == [(1, 1.5), (3, None)]


def test_deleted_offsets_are_noted(tmp_path: Path) -> None:
    broker = memory_broker()
    feed(broker, range(5))
    archived(broker, tmp_path)
    feed(broker, range(5, 18))
    broker.delete_records(INPUT, 0, 12)
    archived(broker, tmp_path)
    archived(broker, tmp_path)
    assert rows(tmp_path)["offset"].to_list() == [*range(5), *range(12, 18)]
    assert [covered_by(path).gone for path in files(tmp_path)] == [((5, 12),), ()]
    history = read_archive(tmp_path, INPUT, (), ReadOptions())
    assert "7 offsets were deleted" in history.notes[0]


def test_a_topic_that_was_created_again_has_files_of_its_own(tmp_path: Path) -> None:
    for minutes in (range(12), range(12, 15)):
        broker = memory_broker()
        feed(broker, minutes)
        archived(broker, tmp_path)
    assert len({path.parts[-3] for path in files(tmp_path)}) == 2
    (stamps,) = read_archive(tmp_path, INPUT, (), ReadOptions()).timestamps
    assert stamps.tolist() == [START_MS + t * 60_000 for t in range(15)]


def test_two_archivers_of_one_topic_exclude_each_other(tmp_path: Path) -> None:
    broker = memory_broker()
    feed(broker, range(3))
    with (
        TopicFolder(tmp_path, INPUT, 10).owned(),
        pytest.raises(DataError, match="another process"),
    ):
        archived(broker, tmp_path)
    archived(broker, tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    broker = memory_broker()
    feed(broker, range(3))
    archived(broker, tmp_path)
    files(tmp_path)[0].write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"00000-0{19}\.parquet is no file of an archive"):
        archived(broker, tmp_path)


def test_readings_pass_the_mapping_of_the_service(tmp_path: Path) -> None:
    broker = memory_broker()
    with broker.producer() as producer:
        value = {"ts": START_MS, "fields": {"in": 20.5, "out": 3}}
        producer.produce(INPUT, 0, [b"room"], [json.dumps(value).encode()])
        producer.flush(1.0)
    mapping = InputSettings(fields="/fields/*", timestamp="/ts")
    archived(broker, tmp_path, input=mapping)
    assert rows(tmp_path).select("stream", "value", "offset").rows() == [
        ("room/in", 20.5, 0),
        ("room/out", 3.0, 0),
    ]


def _of_archive(broker: FaultyBroker, directory: Path) -> Any:
    archived(broker, directory)
    return read_archive(directory, INPUT, (), ReadOptions())


def _of_topic(broker: FaultyBroker, directory: Path) -> Any:
    return read_topic(broker, Settings(), INPUT, (), ReadOptions())


@pytest.mark.parametrize("read", [_of_archive, _of_topic])
def test_readings_come_back_as_history(tmp_path: Path, read: Callable[..., Any]) -> None:
    broker = memory_broker(2)
    feed(broker, range(4), 1, b"b")
    feed(broker, range(3), 0, b"a")
    with broker.producer() as producer:
        late = [observation(3, None), observation(1, 9.0), observation(4, -9999.0)]
        producer.produce(INPUT, 0, [b"a"] * 3, late)
        producer.flush(1.0)
    history = read(broker, tmp_path)
    assert history.streams == ["a", "b"]
    assert history.timestamps[0].tolist() == [START_MS + t * 60_000 for t in range(5)]
    assert np.array_equal(history.values[0], [0, 1, 2, np.nan, np.nan], equal_nan=True)
    assert history.codes == ((-9999.0,),)


def test_a_topic_is_read_from_where_it_is_told() -> None:
    broker = memory_broker(2)
    feed(broker, range(4), 0, b"a")
    time.sleep(0.05)
    between = time.time() * 1000 - 20
    feed(broker, range(4, 6), 0, b"a")
    feed(broker, range(3), 1, b"b")

    def lengths(told: str) -> list[int]:
        history = read_topic(broker, Settings(), INPUT, (), ReadOptions(), told)
        return [len(stamps) for stamps in history.timestamps]

    assert lengths("") == [6, 3]
    assert lengths(f"{round(time.time() * 1000 - between)}ms") == [2, 3]
    assert lengths("1h") == [6, 3]
    assert lengths(datetime.fromtimestamp(between / 1000, UTC).isoformat()) == [2, 3]
    assert lengths("2") == [2, 2]
    assert lengths("100") == [6, 3]
    with pytest.raises(DataError, match="holds no observations"):
        lengths("2099-01-01")
    with pytest.raises(DataError, match="'soon' is no time to begin at"):
        lengths("soon")


def test_channels_of_a_reading_stay_together(tmp_path: Path) -> None:
    broker = memory_broker()
    with broker.producer() as producer:
        values = [
            json.dumps({"timestamp": START_MS + t, "value": [t, None]}).encode() for t in range(3)
        ]
        producer.produce(INPUT, 0, [b"a"] * 3, values)
        producer.flush(1.0)
    Archiver(broker, INPUT, Small(Settings(), 2), tmp_path, 60.0).run(Event(), once=True)
    history = read_archive(tmp_path, INPUT, ("x", "y"), ReadOptions())
    assert history.channels == ("x", "y")
    assert history.values[0][:, 0].tolist() == [0, 1, 2]
    assert np.isnan(history.values[0][:, 1]).all()
    with pytest.raises(DataError, match="channels"):
        read_archive(tmp_path, INPUT, (), ReadOptions())


def test_forecasts_are_rows_with_their_quantiles(tmp_path: Path) -> None:
    broker, fan = memory_broker(), [[1.0, 2.0, None], [1.5, 2.5, 3.5]]
    record = {
        "stream": "a", "timestamp": START_MS, "value": 2.0, "model": "ar@3f9a1c",
        "interval_ms": 60_000, "quantiles": [0.1, 0.5, 0.9], "one_step": [1, 2, 3],
        "multi_step": fan, "surprise": 0.5, "anomaly": None, "warm": True,
    }  # fmt: skip
    several = record | {
        "value": [1.0, 2.0],
        "expected": {"x": [None] * 3, "y": [1, 2, 3]},
        "error": {"x": None, "y": 0.5},
        "one_step": {"x": [1, 2, 3], "y": [4, 5, 6]},
        "multi_step": {"x": fan, "y": fan},
    }
    with broker.producer() as producer:
        documents = [json.dumps(one).encode() for one in (record, several)]
        producer.produce(OUTPUT, 0, [b"a"] * 3, [*documents, b"{}"])
        producer.flush(1.0)
    Archiver(broker, OUTPUT, SmallForecasts(), tmp_path, 60.0).run(Event(), once=True)
    found = rows(tmp_path)
    assert found["target"].to_list() == ["", "x", "y"]
    assert found["offset"].to_list() == [0, 1, 1]
    assert found["multi_step"].to_list() == [fan] * 3
    assert found["one_step"].to_list()[2] == [4, 5, 6]
    assert found["expected"].to_list() == [None, [None] * 3, [1, 2, 3]]
    assert found["error"].to_list() == [None, None, 0.5]
    assert covered_by(files(tmp_path)[0]).unreadable == 1


def test_a_missing_topic_or_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no archive of observations"):
        read_archive(tmp_path, INPUT, (), ReadOptions())
    with pytest.raises(TopicMissing, match="nothing"):
        read_topic(memory_broker(), Settings(), "nothing", (), ReadOptions())
