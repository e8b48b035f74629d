"""Several files, folders, globs, and records: what the topics hold and what `replay` writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eddycast.service.__main__ import run
from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history
from tests.support.bundles import Walk, write_bundle

START, HOUR = 1_709_251_200_000, 3_600_000


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def table(start: int, stop: int, level: float = 0, name: str = "load") -> str:
    rows = "".join(f"{START + i * HOUR},{level + i % 24 + 0.25}\n" for i in range(start, stop))
    return f"timestamp,{name}\n{rows}"


def same(one: History, other: History) -> bool:
    return one.streams == other.streams and all(
        np.array_equal(a, b) and np.array_equal(u, v, equal_nan=True)
        for a, b, u, v in zip(
            one.timestamps, other.timestamps, one.values, other.values, strict=True
        )
    )


class TestSeveral:
    def test_files_that_follow_each_other_are_one_table(self, tmp_path: Path) -> None:
        whole = read_history(write(tmp_path / "whole.csv", table(0, 90)))
        parts = [
            write(tmp_path / "parts" / f"{i}.csv", table(30 * i, 30 * i + 30)) for i in range(3)
        ]
        assert same(read_history(parts[::-1]), whole)
        assert same(read_history(tmp_path / "parts"), whole)
        assert same(read_history(str(tmp_path / "parts" / "*.csv")), whole)
        assert same(read_history(str(tmp_path / "**" / "[0-2].csv")), whole)

    def test_files_of_the_same_stamps_are_streams_called_by_them(self, tmp_path: Path) -> None:
        write(tmp_path / "kew.csv", table(0, 60))
        write(tmp_path / "york.csv", table(0, 60, 5))
        history = read_history(tmp_path)
        assert history.streams == ["kew", "york"]
        assert history.values[1][0] == 5.25

    def test_files_of_other_columns_stand_beside_each_other(self, tmp_path: Path) -> None:
        write(tmp_path / "a.csv", table(0, 60, 0, "load"))
        write(tmp_path / "b.csv", table(0, 40, 0, "flow"))
        assert [(name, len(stamps)) for name, stamps in _sizes(read_history(tmp_path))] == [
            ("load", 60),
            ("flow", 40),
        ]

    def test_what_folders_say_is_a_column(self, tmp_path: Path) -> None:
        for device in ("d1", "d2"):
            for day in range(2):
                write(
                    tmp_path / f"device={device}" / f"day={day}" / "p.csv",
                    table(24 * day, 24 * day + 24),
                )
        history = read_history(tmp_path, ReadOptions(stream_column="device"))
        assert [(name, len(stamps)) for name, stamps in _sizes(history)] == [("d1", 48), ("d2", 48)]

    def test_folders_may_name_the_day(self, tmp_path: Path) -> None:
        for day in (1, 2, 3):
            rows = "".join(f"{hour},{hour / 4}\n" for hour in range(24))
            write(tmp_path / f"date=2024-03-0{day}" / "p.csv", "hour,load\n" + rows)
        history = read_history(tmp_path)
        assert history.streams == ["load"]
        assert history.timestamps[0].tolist() == [START + i * HOUR for i in range(72)]

    def test_nothing_there(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="empty: "):
            read_history(tmp_path / "empty")
        with pytest.raises(DataError, match="no such file"):
            read_history(str(tmp_path / "*.csv"))

    def test_the_commands_take_several(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_bundle(tmp_path / "bundle", Walk(interval_ms=HOUR))
        files = [write(tmp_path / f"{i}.csv", table(30 * i, 30 * i + 30)) for i in range(2)]
        out = tmp_path / "out.parquet"
        assert run(["replay", str(tmp_path / "bundle"), *map(str, files), "--out", str(out)]) == 0
        assert len(pl.read_parquet(out)) == 60


class TestRecords:
    def test_the_records_of_the_input_topic(self, tmp_path: Path) -> None:
        lines = [
            {"timestamp": START + i * HOUR, "value": None if i == 3 else i / 4} for i in range(60)
        ]
        plain = read_history(
            write(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        )
        assert (plain.streams, len(plain)) == (["value"], 60)
        keyed = "".join(f"k{k}\t{json.dumps(line)}\n" for line in lines for k in range(2))
        assert read_history(write(tmp_path / "b.txt", keyed)).streams == ["k0", "k1"]
        around = "".join(
            json.dumps({"topic": "t", "key": f"k{k}", "payload": json.dumps(line)}) + "\n"
            for line in lines
            for k in range(2)
        )
        assert read_history(write(tmp_path / "c.json", around)).streams == ["k0", "k1"]
        listed = read_history(write(tmp_path / "d.json", json.dumps(lines, indent=1)))
        assert same(listed, plain)

    def test_fields_inside_others_and_channels(self, tmp_path: Path) -> None:
        lines = [
            {"ts": START + i * HOUR, "id": f"d{i % 2}", "data": {"a": i % 7, "b": -i % 5}}
            for i in range(60)
        ]
        nested = read_history(
            write(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        )
        assert nested.streams == ["d0/data.a", "d0/data.b", "d1/data.a", "d1/data.b"]
        several = [
            {"timestamp": START + i * HOUR, "value": [i, None if i == 2 else -i]} for i in range(60)
        ]
        path = write(tmp_path / "b.jsonl", "".join(json.dumps(line) + "\n" for line in several))
        history = read_history(
            path,
            ReadOptions(
                channels=(
                    "a",
                    "b",
                ),
                stream="pump",
            ),
        )
        assert (history.streams, history.channels, history.values[0].shape) == (
            ["pump"],
            ("a", "b"),
            (60, 2),
        )

    @pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
    def test_what_replay_writes_is_read_as_the_readings_it_was_made_for(
        self, suffix: str, tmp_path: Path
    ) -> None:
        write_bundle(tmp_path / "bundle", Walk(interval_ms=HOUR))
        rows = "".join(
            f"{START + i * HOUR},{name},{i % 24 + level}\n"
            for i in range(48)
            for name, level in (("a", 0), ("b", 7))
        )
        source = write(tmp_path / "in.csv", "timestamp,stream,value\n" + rows)
        out = tmp_path / f"out.{suffix}"
        assert run(["replay", str(tmp_path / "bundle"), str(source), "--out", str(out)]) == 0
        assert same(read_history(out), read_history(source))

    def test_a_line_that_is_no_record_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"line 2: .*JSON"):
            read_history(
                write(tmp_path / "a.jsonl", '{"timestamp": 1, "value": 2}\n{"timestamp": 1,\n')
            )

    def test_an_array_of_anything_else_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is not an object"):
            read_history(write(tmp_path / "a.json", '[["time", "a"], ["2024-03-01", 1]]'))


def _sizes(history: History) -> list[tuple[str, list[int]]]:
    return [
        (name, stamps.tolist())
        for name, stamps in zip(history.streams, history.timestamps, strict=True)
    ]
