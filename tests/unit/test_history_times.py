"""Stamps in every form that archives and loggers have, and those that may be read in two ways."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history

FIRST = datetime(2024, 3, 1)
HOURS = [FIRST + timedelta(hours=i) for i in range(240)]
DAYS = [FIRST + timedelta(days=i) for i in range(12)]
SHEET, JULIAN = datetime(1899, 12, 30), 2_440_587.5


def days_since(zero: datetime, time: datetime) -> float:
    return (time - zero) / timedelta(days=1)


def seconds(time: datetime) -> int:
    return int((time - datetime(1970, 1, 1)).total_seconds())


def read(folder: Path, stamps: list[str], header: str = "time;value", **options: Any) -> History:
    path = folder / "data.csv"
    path.write_text(
        "\n".join([header, *(f"{stamp};{i % 24 + 0.5}" for i, stamp in enumerate(stamps))]) + "\n"
    )
    return read_history(path, ReadOptions(**options))


def expected(times: list[datetime], hours: int = 0) -> list[int]:
    return [(seconds(time) - hours * 3600) * 1000 for time in times]


FORMS: dict[str, Callable[[datetime], str]] = {
    "minutes": lambda t: f"{t:%Y-%m-%d %H:%M}",
    "fractions": lambda t: f"{t:%Y-%m-%d %H:%M:%S}.0000000",
    "comma before the fraction": lambda t: f"{t:%Y-%m-%d %H:%M:%S},000",
    "day first": lambda t: f"{t:%d/%m/%Y %H:%M}",
    "month first": lambda t: f"{t:%m/%d/%Y %H:%M:%S}",
    "day first, dashes": lambda t: f"{t:%d-%m-%Y %H:%M}",
    "day first, blanks": lambda t: f"{t:%d %m %Y %H:%M}",
    "month first, half days": lambda t: f"{t:%m/%d/%Y %I:%M:%S %p}",
    "half days with dots": lambda t: f"{t:%d.%m.%Y %I:%M} {'a.m.' if t.hour < 12 else 'p.m.'}",
    "comma before the clock": lambda t: f"{t:%d/%m/%Y, %H:%M:%S}",
    "dots, two figures of the year": lambda t: f"{t:%d.%m.%y %H:%M}",
    "year first, two figures": lambda t: f"{t:%y-%m-%d %H:%M}",
    "slashes, two figures": lambda t: f"{t:%d/%m/%y %H:%M}",
    "month first, two figures": lambda t: f"{t:%m/%d/%y %I:%M:%S %p}",
    "name of the month": lambda t: f"{t:%d-%b-%Y %H:%M}",
    "capital name, two figures": lambda t: f"{t:%d-%b-%y %H.%M.%S}".upper(),
    "American name": lambda t: f"{t:%b} {t.day}, {t:%Y %I:%M %p}",
    "whole name": lambda t: f"{t:%d %B %Y %H:%M}",
    "German name": lambda t: f"{t.day}. März {t:%Y %H:%M} Uhr",
    "French name": lambda t: f"{t.day} mars {t:%Y %H:%M}",
    "day of the week": lambda t: f"{t:%a %d %b %Y %H:%M:%S}",
    "figures to the hour": lambda t: f"{t:%Y%m%d%H}",
    "figures to the minute": lambda t: f"{t:%Y%m%d%H%M}",
    "figures to the second": lambda t: f"{t:%Y%m%d%H%M%S}",
    "figures and a clock": lambda t: f"{t:%Y%m%d %H:%M}",
    "basic": lambda t: f"{t:%Y%m%dT%H%M%S}Z",
    "24:00": lambda t: (
        f"{t - timedelta(minutes=1):%Y-%m-%d} {(t - timedelta(minutes=1)).hour + 1:02}:00"
    ),
    "year first, two figures, seconds": lambda t: f"{t:%y-%m-%d %H:%M:%S}",
    "year first, two figures, dots": lambda t: f"{t:%y.%m.%d %H:%M}",
    "half days in one letter": lambda t: f"{t:%m/%d/%y %I:%M}{'a' if t.hour < 12 else 'p'}",
    "the year at the end": lambda t: f"{t:%a %b %d %H:%M:%S} UTC {t:%Y}",
    "JavaScript": lambda t: f"{t:%a %b %d %Y %H:%M:%S} GMT+0000 (Coordinated Universal Time)",
    "Go": lambda t: f"{t:%Y-%m-%d %H:%M:%S} +0000 UTC",
    "mail": lambda t: f"{t:%a, %d %b %Y %H:%M:%S} GMT",
    "SAS": lambda t: f"{t:%d%b%Y:%H:%M:%S}".upper(),
    ".NET": lambda t: f"/Date({seconds(t) * 1000})/",
    "the clock first": lambda t: f"{t:%H:%M:%S %d.%m.%Y}",
    "Japanese": lambda t: f"{t.year}年{t.month}月{t.day}日 {t.hour}時",
    "blanks between all": lambda t: f"{t:%Y %m %d %H %M}",
    "French day of the week": lambda t: f"{'lmmjvsd'[t.weekday()]}en. {t:%d/%m/%Y %H:%M}",
    "zone after an interval": lambda t: f"{t:%d.%m.%Y %H:%M} - {t:%d.%m.%Y %H:%M} (UTC)",
    "ISO interval": lambda t: f"{t:%Y-%m-%dT%H:%M}Z/{t:%Y-%m-%dT%H:%M}Z",
    "seconds": lambda t: f"{seconds(t)}",
    "seconds with a power": lambda t: f"{seconds(t):.16E}",
    "milliseconds with a power": lambda t: f"{seconds(t) * 1000:.12E}",
    "nanoseconds": lambda t: f"{seconds(t)}000000000",
    "days of a spreadsheet": lambda t: f"{days_since(SHEET, t):.10f}",
    "days with a comma": lambda t: f"{days_since(SHEET, t):.6f}".replace(".", ","),
    "days with four figures": lambda t: f"{days_since(SHEET, t):.4f}",
    "days of MATLAB": lambda t: f"{t.toordinal() + 366 + t.hour / 24:.8f}",
    "Julian days": lambda t: f"{seconds(t) / 86400 + JULIAN:.7f}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_column_is_read_in_one_way_from_end_to_end(form: str, tmp_path: Path) -> None:
    history = read(tmp_path, [FORMS[form](time) for time in HOURS])
    assert history.timestamps[0].tolist() == expected(HOURS)
    assert history.streams == ["value"]


def test_zones_that_stamps_name(tmp_path: Path) -> None:
    for zone, hours in (
        ("+01:00", 1),
        ("-0330", -3.5),
        (" CEST", 2),
        ("Z", 0),
        (" UTC", 0),
        (" +02", 2),
    ):
        stamps = [f"{time:%Y-%m-%dT%H:%M:%S}{zone}" for time in HOURS[:3]]
        assert read(tmp_path, stamps).timestamps[0].tolist() == [
            int((seconds(time) - hours * 3600) * 1000) for time in HOURS[:3]
        ]
    apache = [f"{time:%d/%b/%Y:%H:%M:%S} +0100" for time in HOURS]
    assert read(tmp_path, apache).timestamps[0].tolist() == expected(HOURS, 1)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("date;time;value", lambda t: f"{t:%d.%m.%Y;%H:%M:%S}"),
        ("Datum;Uhrzeit;value", lambda t: f"{t:%d.%m.%Y;%H.%M}"),
        (
            "YYYYMMDD;HH;value",
            lambda t: f"{t - timedelta(hours=1):%Y%m%d};{(t - timedelta(hours=1)).hour + 1}",
        ),
        ("Date;Time;value", lambda t: f"{t:%Y-%m-%d;%H%M}"),
        ("year;month;day;hour;value", lambda t: f"{t.year};{t.month};{t.day};{t.hour}"),
        ("YY;MO;DD;HH;value", lambda t: f"{t:%y;%m;%d;%H}"),
        ("Year;Month;Day;Time;value", lambda t: f"{t.year};{t.month};{t.day};{t:%H:%M}"),
        ("Year;Month;Day;Time;value", lambda t: f"{t.year};{t.month};{t.day};{t:%H%M}"),
        ("YEAR;DOY;HR;value", lambda t: f"{t.year};{t:%j};{t.hour}"),
        ("Datum;von;bis;value", lambda t: f"{t:%d.%m.%Y;%H:%M};{(t.hour + 1) % 24:02}:00"),
        (
            "DeliveryDate;HourEnding;value",
            lambda t: (
                f"{t - timedelta(hours=1):%m/%d/%Y};{(t - timedelta(hours=1)).hour + 1:02}:00"
            ),
        ),
        ("Date;Time;value", lambda t: f"{t:%Y-%m-%d};{t.hour / 24:.6f}"),
        ("Date;Time;value", lambda t: f"{(t - SHEET).days};{t.hour / 24:.6f}"),
    ],
)
def test_a_day_and_a_clock_in_columns_of_their_own(
    header: str, cells: Callable[[datetime], str], tmp_path: Path
) -> None:
    history = read(tmp_path, [cells(time) for time in HOURS], header)
    assert history.timestamps[0].tolist() == expected(HOURS)
    assert history.streams == ["value"]


def test_twelve_days_whose_order_only_the_distances_tell(tmp_path: Path) -> None:
    for form, order in (("%d/%m/%Y %H:%M", "day/month/year"), ("%m-%d-%Y %H:%M", "month/day/year")):
        history = read(tmp_path, [f"{time:{form}}" for time in HOURS])
        assert history.timestamps[0].tolist() == expected(HOURS)
        assert f"dates are {order}" in history.notes
    holed = [time for i, time in enumerate(HOURS) if i not in (20, 70)]
    assert read(tmp_path, [f"{time:%d/%m/%Y %H:%M}" for time in holed]).timestamps[
        0
    ].tolist() == expected(holed)


def test_an_order_that_nothing_tells_is_refused_with_both_readings(tmp_path: Path) -> None:
    stamps = [f"{time:%d/%m/%Y}" for time in DAYS]
    with pytest.raises(DataError) as refused:
        read(tmp_path, stamps)
    line = str(refused.value)
    for word in (
        "'time', row 1: '01/03/2024'",
        "2024-03-01 as day/month/year",
        "2024-01-03 as month/day/year",
    ):
        assert word in line
    assert "--day-first" in line
    assert "--month-first" in line
    assert read(tmp_path, stamps, day_first=True).timestamps[0].tolist() == expected(DAYS)
    months = [datetime(2024, month, 3) for month in range(1, 13)]
    assert read(tmp_path, stamps, day_first=False).timestamps[0].tolist() == expected(months)
    assert read(tmp_path, stamps, time_format="%d/%m/%Y").timestamps[0].tolist() == expected(DAYS)


def test_dots_are_day_first_and_a_year_in_front_is_what_it_is(tmp_path: Path) -> None:
    assert read(tmp_path, [f"{time:%d.%m.%Y}" for time in DAYS]).timestamps[0].tolist() == expected(
        DAYS
    )
    assert read(tmp_path, [f"{time:%Y/%m/%d}" for time in DAYS], day_first=True).timestamps[
        0
    ].tolist() == expected(DAYS)


@pytest.mark.parametrize(
    "form",
    [
        "%Y%m%d:%H",
        "%Y%m%d:%H%M",
        "%Y%m%d_%H:%M",
        "%y%m%d%H",
        "%y%m%d%H%M",
        "[%Y-%m-%d %H:%M]",
        "%Y%j%H",
    ],
)
def test_hours_are_no_minutes(form: str, tmp_path: Path) -> None:
    stamps = [f"{time:{form}}" for time in HOURS]
    assert read(tmp_path, stamps, time_format=form).timestamps[0].tolist() == expected(HOURS), (
        "told"
    )
    if "[" not in form and "%j" not in form:
        assert read(tmp_path, stamps).timestamps[0].tolist() == expected(HOURS), "found"


@pytest.mark.parametrize(
    ("ends", "mark"), [("%H:%M", " - "), ("%d.%m.%Y %H:%M", " - "), ("%H:%M", "–")]
)
def test_of_a_beginning_and_an_end_the_beginning_counts(
    ends: str, mark: str, tmp_path: Path
) -> None:
    stamps = [f"{time:%d.%m.%Y %H:%M}{mark}{time + timedelta(hours=1):{ends}}" for time in HOURS]
    history = read(tmp_path, stamps, "MTU (UTC);load")
    assert history.timestamps[0].tolist() == expected(HOURS)
    assert "stamps are intervals: read their start" in history.notes


@pytest.mark.parametrize("zero", [datetime(1, 1, 1), datetime(1601, 1, 1)])
def test_ticks_since_other_years(zero: datetime, tmp_path: Path) -> None:
    stamps = [str((time - zero) // timedelta(microseconds=1) * 10) for time in HOURS]
    assert read(tmp_path, stamps).timestamps[0].tolist() == expected(HOURS)


@pytest.mark.parametrize("first", ["0", "24061", "2024.16", "202406100", "28487520"])
def test_small_figures_are_no_times_unless_told(first: str, tmp_path: Path) -> None:
    """A day of the year, a year, seconds since the start:
    as seconds since the epoch they would be of 1970."""
    stamps = [first if i == 0 else str(int(float(first)) + i) for i in range(100)]
    with pytest.raises(
        DataError,
        match=rf"'time', row 1: {first} would be 19.*seconds since the epoch.*--time-format",
    ):
        read(tmp_path, stamps)
    if "." not in first:
        told = read(tmp_path, stamps, time_format="%s")
        assert told.timestamps[0].tolist() == [(int(first) + i) * 1000 for i in range(100)]
        assert told.streams == ["value"], "small values are no clock beside small times"


def test_several_columns_in_a_form_that_is_told(tmp_path: Path) -> None:
    rows = [f"{time:%Y;%j;%H%M}" for time in HOURS]
    history = read(
        tmp_path, rows, "year;day;hour;v", time_column="year,day,hour", time_format="%Y %j %H%M"
    )
    assert history.timestamps[0].tolist() == expected(HOURS)


def test_blanks_round_a_day_and_an_hour(tmp_path: Path) -> None:
    rows = [
        f"  {time - timedelta(hours=1):%Y%m%d};   {(time - timedelta(hours=1)).hour + 1}"
        for time in HOURS
    ]
    history = read(tmp_path, rows, "YYYYMMDD;   HH; T")
    assert (history.streams, history.timestamps[0].tolist()) == (["T"], expected(HOURS))


def test_a_form_that_is_told(tmp_path: Path) -> None:
    stamps = [f"{time:%Y.%j.%H%M}" for time in HOURS]
    assert read(tmp_path, stamps, time_format="%Y.%j.%H%M").timestamps[0].tolist() == expected(
        HOURS
    )
    with pytest.raises(DataError, match=r"row 1: '2024.061.0000' does not have the --time-format"):
        read(tmp_path, stamps, time_format="%d/%m/%Y")


def test_figures_that_are_epochs_in_spite_of_their_length(tmp_path: Path) -> None:
    """2,024,030,100 to 2,024,030,159 are seconds of 2034 that no calendar has."""
    stamps = [2_024_030_100 + 60 * i for i in range(100)]
    history = read(tmp_path, [str(stamp) for stamp in stamps])
    assert history.timestamps[0].tolist() == [stamp * 1000 for stamp in stamps]


def test_lines_below_the_table_are_left_out_and_others_refused(tmp_path: Path) -> None:
    stamps = [f"{time:%Y-%m-%d %H:%M}" for time in HOURS]
    for words in (["Total"], ["Summe"], ["Average", "Maximum", "", "End of report"]):
        history = read(tmp_path, [*stamps, *words])
        assert history.timestamps[0].tolist() == expected(HOURS)
        assert any(
            "without a valid time skipped; the first is row 241" in note for note in history.notes
        )
    stamps[5] = "reboot"
    assert any("row 6, 'reboot'" in note for note in read(tmp_path, stamps).notes)
    with pytest.raises(
        DataError, match=r"row 3: 'reboot' is not a time like the others.*--time-format"
    ):
        read(tmp_path, ["reboot" if i % 20 == 2 else stamp for i, stamp in enumerate(stamps)])


def test_of_several_columns_of_times_the_one_called_so_counts(tmp_path: Path) -> None:
    rows = [f"2024-01-01;{time:%Y-%m-%d %H:%M}" for time in HOURS]
    history = read(tmp_path, rows, "_start;_time;value")
    assert history.timestamps[0].tolist() == expected(HOURS)
    assert np.isfinite(history.values[0]).all()
    named = [f"{i};{time:%Y-%m-%d %H:%M}" for i, time in enumerate(HOURS)]
    assert read(tmp_path, named, "data;logged;value").timestamps[0].tolist() == expected(HOURS)


@pytest.mark.parametrize("form", ["%d%m%Y%H%M", "%Y%j%H%M"])
def test_figures_that_would_be_stamps_beyond_2100_are_refused(form: str, tmp_path: Path) -> None:
    stamps = [f"{time:{form}}" for time in HOURS]
    with pytest.raises(DataError, match=r"row 1: .* would be 2\d\d\d-.*--time-format"):
        read(tmp_path, stamps)
    assert read(tmp_path, stamps, time_format=form).timestamps[0].tolist() == expected(HOURS)


@pytest.mark.parametrize("name", ["start_ts", "time_s", "t", "sent"])
def test_the_only_column_of_epochs_is_the_time(name: str, tmp_path: Path) -> None:
    history = read(tmp_path, [f"{seconds(time)}" for time in HOURS], f"{name};value")
    assert history.timestamps[0].tolist() == expected(HOURS)
