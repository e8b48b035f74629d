"""Grids: a row a day with a column for each hour, and stamps as the names of columns."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history

START, DAY = 1_709_251_200_000, 86_400_000  # 2024-03-01
DAYS = [date(2024, 3, 1) + timedelta(days=i) for i in range(30)]
HOURS = [f"{hour:02}:00" for hour in range(24)]


def value(i: int, k: int = 0) -> float:
    return i % 24 + i * 7919 % 11 / 20 + 30 * k + 0.25


def cells(day: int, parts: int = 24, k: int = 0) -> str:
    return ",".join(str(value(day * parts + part, k)) for part in range(parts))


def read(folder: Path, header: str, rows: list[str], **options: Any) -> History:
    path = folder / "grid.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return read_history(path, ReadOptions(**options))


def by_day(parts: int = 24, form: str = "%Y-%m-%d") -> list[str]:
    return [f"{day:{form}},{cells(i, parts)}" for i, day in enumerate(DAYS)]


@pytest.mark.parametrize(
    "names",
    [
        HOURS,
        [f"{hour}:00" for hour in range(24)],
        [f"{hour:02}:00-{hour + 1:02}:00" for hour in range(24)],
        [f"H{hour:02}" for hour in range(1, 25)],
        [f"Hour {hour}" for hour in range(24)],
        [f"HE{hour}" for hour in range(1, 25)],
        [f"{hour // 2:02}:{hour % 2 * 30:02}" for hour in range(48)],
        [f"period_{period}" for period in range(1, 49)],
        [f"hh_{half}" for half in range(48)],
        [f"{hour // 4}.{hour % 4 * 15:02}" for hour in range(96)],
    ],
)
def test_a_row_a_day_is_one_series(names: list[str], tmp_path: Path) -> None:
    history = read(tmp_path, ",".join(["date", *names]), by_day(len(names)))
    assert history.streams == ["value"]
    step = DAY // len(names)
    assert history.timestamps[0].tolist() == [START + i * step for i in range(30 * len(names))]
    assert history.values[0].tolist() == [value(i) for i in range(30 * len(names))]
    assert any(f"columns {names[0]!r} to {names[-1]!r}" in note for note in history.notes)


def test_hours_that_are_stamped_at_their_end(tmp_path: Path) -> None:
    for last in ("24:00", "00:00"):
        names = [*HOURS[1:], last]
        history = read(tmp_path, ",".join(["Datum", *names]), by_day(form="%d.%m.%Y"))
        assert history.timestamps[0][[0, 23, 24]].tolist() == [
            START + hour * DAY // 24 for hour in (1, 24, 25)
        ]


def test_plain_numbers_are_hours_or_streams(tmp_path: Path) -> None:
    header = ",".join(["date", *map(str, range(1, 25))])
    with pytest.raises(DataError, match=r"'1' to '24'.*hours, or 24 streams.*--grid or --no-grid"):
        read(tmp_path, header, by_day())
    assert len(read(tmp_path, header, by_day(), grid=True)) == 30 * 24
    assert len(read(tmp_path, header, by_day(), grid=False).streams) == 24
    assert read(tmp_path, header, by_day(), columns=("3",)).streams == ["3"]


def test_streams_flags_and_a_total_beside_the_hours(tmp_path: Path) -> None:
    names = [name for hour in range(1, 25) for name in (f"H{hour:02}", f"V{hour:02}")]
    rows = [
        f"{day.year},{day.month},{day.day},{site},{cells(i, k=k).replace(',', ',V,')},V,{i / 8}"
        for i, day in enumerate(DAYS)
        for k, site in enumerate((4, 8))
    ]
    history = read(tmp_path, ",".join(["year", "month", "day", "site", *names, "Sum"]), rows)
    assert history.streams == ["4", "8"]
    assert history.values[1][:3].tolist() == [value(i, 1) for i in range(3)]


def test_the_hour_that_comes_twice_in_autumn_is_left_out(tmp_path: Path) -> None:
    rows = [f"{row},{1.5 if i == 20 else ''}" for i, row in enumerate(by_day())]
    history = read(tmp_path, ",".join(["date", *(f"h{i}" for i in range(1, 26))]), rows)
    assert len(history) == 30 * 24
    assert any("left out" in note and "h25" in note for note in history.notes)


def test_a_format_of_the_day_and_empty_cells(tmp_path: Path) -> None:
    rows = [f"{day:%d%b%y},{cells(i)}" for i, day in enumerate(DAYS)]
    rows[-1] = f"{DAYS[-1]:%d%b%y},1,2" + "," * 22
    history = read(
        tmp_path, ",".join(["day", *HOURS]), rows, time_column="day", time_format="%d%b%y"
    )
    assert (history.timestamps[0][0], len(history)) == (START, 30 * 24)
    assert history.values[0][-22:].tolist() == pytest.approx([float("nan")] * 22, nan_ok=True)


def test_a_row_an_hour_is_no_grid(tmp_path: Path) -> None:
    rows = [f"2024-03-01T{hour:02}:00,{cells(hour)}" for hour in range(24)]
    assert len(read(tmp_path, ",".join(["time", *HOURS]), rows).streams) == 24
    with pytest.raises(DataError, match="no columns for the hours"):
        read(tmp_path, "date,load", [f"{day},{i}" for i, day in enumerate(DAYS)], grid=True)


def test_stamps_as_the_names_of_columns(tmp_path: Path) -> None:
    stamps = [f"2024-03-01 {clock}" for clock in HOURS]
    rows = [f"sensor.{name},mean,{cells(0, k=k)}" for k, name in enumerate("ab")]
    history = read(tmp_path, ",".join(["entity_id", "type", *stamps]), rows)
    assert history.streams == ["sensor.a", "sensor.b"]
    assert history.values[1].tolist() == [value(i, 1) for i in range(24)]
    days = ",".join(str(day) for day in DAYS)
    by_hour = [
        f"{clock}," + ",".join(str(value(24 * i + hour)) for i in range(30))
        for hour, clock in enumerate(HOURS)
    ]
    turned = read(tmp_path, f"time,{days}", by_hour)
    assert turned.values[0].tolist() == [value(i) for i in range(30 * 24)]


def test_calendar_grids_are_refused_by_name(tmp_path: Path) -> None:
    months = "Year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec"
    rows = [f"{year}," + ",".join(str(month) for month in range(12)) for year in range(1990, 2020)]
    with pytest.raises(DataError, match="a column for each month"):
        read(tmp_path, months, rows)
    week = "week,Mon,Tue,Wed,Thu,Fri,Sat,Sun"
    rows = [f"{day},1,2,3,4,5,6,{i / 8}" for i, day in enumerate(DAYS)]
    with pytest.raises(DataError, match="a column for each day of the week"):
        read(tmp_path, week, rows)
    assert len(read(tmp_path, week, rows, grid=False).streams) == 7
    days = ",".join(["year", "month", *map(str, range(1, 32))])
    rows = [f"2023,{month}," + ",".join(["1.5"] * 31) for month in range(1, 13)]
    with pytest.raises(DataError, match="a column for each day"):
        read(tmp_path, days, rows)
