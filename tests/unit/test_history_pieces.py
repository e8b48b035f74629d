"""Several files with the same columns: pieces of one series, series of their own, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history

START, HOUR, MINUTE = 1_709_251_200_000, 3_600_000, 60_000


def level(i: int, level: float = 0) -> float:
    return level + i % 24 + i * 7919 % 11 / 20


def write(path: Path, rows: dict[int, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{stamp},{value}\n" for stamp, value in rows.items())
    path.write_text("timestamp,load\n" + lines)


def rows(start: int, stop: int, base: float = 0, late: int = 0, step: int = HOUR) -> Any:
    return {START + i * step + late: level(i, base) for i in range(start, stop)}


def read(folder: Path, **options: Any) -> History:
    return read_history(folder, ReadOptions(**options))


def noted(history: History, words: str) -> bool:
    return any(words in note for note in history.notes)


@pytest.mark.parametrize("late", [7 * MINUTE, 30 * MINUTE])
def test_sensors_that_take_turns_are_refused(late: int, tmp_path: Path) -> None:
    write(tmp_path / "kew.csv", rows(0, 60))
    write(tmp_path / "york.csv", rows(0, 60, 5, late))
    with pytest.raises(
        DataError, match=r"'kew' and 'york' take turns.*--stream-column file.*--duplicates first"
    ):
        read(tmp_path)
    assert read(tmp_path, stream_column="file").streams == ["kew", "york"]
    one = read(tmp_path, duplicates="first")
    assert (one.streams, len(one)) == (["load"], 120)


def test_readings_of_one_sensor_may_be_spread_over_files(tmp_path: Path) -> None:
    for part in range(3):
        mine = {START + i * HOUR: level(i) for i in range(300) if i * i * 7 // 5 % 3 == part}
        write(tmp_path / f"part-{part}.csv", mine)
    history = read(tmp_path)
    assert (history.streams, len(history)) == (["load"], 300)
    assert noted(history, "spread over the files")


def test_overlapping_exports_are_one_series(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", rows(0, 100))
    write(tmp_path / "b.csv", rows(60, 200))
    assert len(read(tmp_path)) == 200


def test_late_readings_in_the_next_file_are_no_other_sensor(tmp_path: Path) -> None:
    late = START + 98 * HOUR
    write(tmp_path / "a.csv", {t: value for t, value in rows(0, 100).items() if t != late})
    write(tmp_path / "b.csv", {late: level(98), **rows(100, 400)})
    assert len(read(tmp_path)) == 400


def test_revised_values_are_refused_unless_told_which_wins(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", rows(0, 60))
    revised = {t: value + (i % 5 == 0) for i, (t, value) in enumerate(rows(0, 60).items())}
    write(tmp_path / "2.csv", revised)
    with pytest.raises(DataError, match=r"2024-03-01T00:00:00 is 0 in '1' and 1 in '2'.*revised"):
        read(tmp_path)
    first, last = (read(tmp_path, duplicates=which).values[0][0] for which in ("first", "last"))
    assert (first, last) == (0, 1)
    assert read(tmp_path, stream_column="file").streams == ["1", "2"]


def test_exports_that_overlap_with_other_values_are_refused(tmp_path: Path) -> None:
    for day in range(10):  # each with the midnight after it, whose value is preliminary
        mine = rows(24 * day, 24 * day + 25)
        write(tmp_path / f"{day}.csv", {**mine, START + (24 * day + 24) * HOUR: 40.0})
    with pytest.raises(DataError, match=r"2024-03-02T00:00:00 is 40 in '0'.*--duplicates first"):
        read(tmp_path)
    last = read(tmp_path, duplicates="last")
    assert (last.values[0] == 40).sum() == 1


def test_values_that_differ_little_may_be_revised(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", rows(0, 60))
    write(tmp_path / "2.csv", rows(0, 60, 0.02))
    with pytest.raises(DataError, match="revised"):
        read(tmp_path)


def test_other_values_for_all_stamps_are_other_sensors(tmp_path: Path) -> None:
    write(tmp_path / "kew" / "data.csv", rows(0, 60))
    write(tmp_path / "york" / "data.csv", rows(10, 60, 5))
    history = read(tmp_path)
    assert history.streams == ["kew/data", "york/data"]
    assert noted(history, "a stream of each file")


def test_the_same_devices_in_files_of_several_sites(tmp_path: Path) -> None:
    for base, site in enumerate(("kew", "york")):
        lines = [
            f"{START + i * HOUR},{device},{level(i, 3 * base + 10 * k)}"
            for i in range(60)
            for k, device in enumerate(("a", "b"))
        ]
        (tmp_path / f"{site}.csv").write_text("\n".join(["ts,device,load", *lines]))
    assert read(tmp_path).streams == ["a/kew", "b/kew", "a/york", "b/york"]


def test_columns_that_all_files_have_are_read_as_one_table(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", rows(0, 60))
    lines = "".join(f"{t},{value},1\n" for t, value in rows(60, 120).items())
    (tmp_path / "b.csv").write_text("timestamp,load,door\n" + lines)
    with pytest.raises(DataError, match=r"'load' is in files of different columns.*--columns"):
        read(tmp_path)
    assert len(read(tmp_path, columns=("load",))) == 120


def test_decimal_commas_in_one_file_and_points_in_another_are_refused(tmp_path: Path) -> None:
    for name, mark, delimiter in (("a", ",", ";"), ("b", ".", ",")):
        lines = [
            f"{START + i * HOUR}{delimiter}{f'{level(i) + 1.375:.3f}'.replace('.', mark)}"
            for i in range(60 * (name == "b"), 60 + 60 * (name == "b"))
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join([f"timestamp{delimiter}load", *lines]))
    with pytest.raises(DataError, match="'load' has commas in 'a' and points in 'b'"):
        read(tmp_path)


def test_seconds_in_one_file_and_milliseconds_in_another_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", {t // 1000: value for t, value in rows(0, 60).items()})
    write(tmp_path / "b.csv", rows(60, 120))
    with pytest.raises(DataError, match=r"mixes seconds \(row 1.*milliseconds \(row 61"):
        read(tmp_path)


def test_files_at_other_intervals_that_follow_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "taxi.csv", rows(0, 60))
    write(tmp_path / "oven.csv", rows(1000, 1500, 50, step=10 * MINUTE))
    with pytest.raises(DataError, match=r"'oven' every 10 minutes, of 'taxi' every 1 hour"):
        read(tmp_path)
    assert read(tmp_path, stream_column="file").streams == ["oven", "taxi"]
    assert len(read(tmp_path, duplicates="first")) == 560


def test_the_same_series_at_two_intervals_is_one(tmp_path: Path) -> None:
    fine = rows(0, 240, step=15 * MINUTE)
    write(tmp_path / "fine.csv", fine)
    write(tmp_path / "hourly.csv", dict(list(fine.items())[::4]))
    assert len(read(tmp_path)) == 240
