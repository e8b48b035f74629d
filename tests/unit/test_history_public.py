"""Files of well-known public sources and programs, written by hand in their shape."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history

HOURS = [datetime(2024, 3, 1) + timedelta(hours=i) for i in range(96)]
START, HOUR = 1_709_251_200_000, 3_600_000


def value(i: int, k: int = 0) -> str:
    return f"{i % 24 + i * 7919 % 11 / 20 + 30 * k:.2f}"


def read(folder: Path, lines: list[str], **options: Any) -> History:
    path = folder / "data.txt"
    path.write_text("\n".join(lines) + "\n")
    return read_history(path, ReadOptions(**options))


def hourly(history: History, shift: int = 0) -> bool:
    return bool(history.timestamps[0].tolist() == [START + (i + shift) * HOUR for i in range(96)])


class TestBuoys:
    """Realtime and historical files of buoys: five columns of time, two header lines."""

    def test_realtime(self, tmp_path: Path) -> None:
        rows = [
            f"{t:%Y %m %d %H %M} {i * 37 % 360:3} {value(i):>5}   MM {value(i, 1):>6}"
            for i, t in enumerate(HOURS)
        ][::-1]
        head = ["#YY  MM DD hh mm WDIR WSPD  WVHT  WTMP", "#yr  mo dy hr mn degT m/s     m  degC"]
        history = read(tmp_path, [*head, *rows])
        assert history.streams == ["WDIR", "WSPD", "WTMP"]
        assert hourly(history)
        assert history.values[2][:2].tolist() == [float(value(0, 1)), float(value(1, 1))]

    def test_years_of_two_figures_without_minutes_and_codes(self, tmp_path: Path) -> None:
        rows = [
            f"98 {t:%m %d %H} {value(i) if i % 9 else '99.00'} {1000 + i % 7}.0"
            for i, t in enumerate(HOURS)
        ]
        history = read(tmp_path, ["YY MM DD hh WSPD BAR", *rows])
        assert history.timestamps[0][0] == np.datetime64("1998-03-01", "ms").astype(int)
        assert np.isnan(history.values[0]).sum() == 11

    def test_a_value_of_99_that_occurs_once_is_a_reading(self, tmp_path: Path) -> None:
        rows = [f"{t:%Y %m %d %H 00} {value(i) if i != 7 else 99}" for i, t in enumerate(HOURS)]
        assert read(tmp_path, ["#YY MM DD hh mm WSPD", *rows]).values[0][7] == 99


class TestRivers:
    """Tables of water data: comments, a row of widths, a column of time zones."""

    head = (
        "# ---- WARNING ----\n# Some, of the data, are provisional\n#",
        "agency_cd\tsite_no\tdatetime\ttz_cd\t6_00060\t6_00060_cd",
        "5s\t15s\t20d\t6s\t14n\t10s",
    )

    def rows(self, site: str, zone: str = "EST", k: int = 0) -> list[str]:
        return [
            f"USGS\t{site}\t{t:%Y-%m-%d %H:%M}\t{zone}\t{value(i, k)}\tP"
            for i, t in enumerate(HOURS)
        ]

    def test_one_site(self, tmp_path: Path) -> None:
        history = read(tmp_path, [*self.head, *self.rows("0164")])
        assert history.streams == ["6_00060"]
        assert hourly(history, 5)

    def test_sites(self, tmp_path: Path) -> None:
        rows = [*self.rows("0164"), *self.rows("0165", "CST", 1)]
        history = read(tmp_path, [*self.head, *rows])
        assert history.streams == ["0164", "0165"]
        assert [int(stamps[0] - START) // HOUR for stamps in history.timestamps] == [5, 6]

    def test_tables_of_other_columns_below_each_other(self, tmp_path: Path) -> None:
        other = self.head[1].replace("6_00060\t6_00060_cd", "7_00065")
        rows = [row.removesuffix("\tP") for row in self.rows("0165")]
        with pytest.raises(DataError, match=r"row 97 is a different header.*split the file"):
            read(tmp_path, [*self.head, *self.rows("0164"), other, *rows])


class TestAir:
    header = "Samplingpoint,Pollutant,Start,End,Value,Unit,Validity,Verification,ResultTime"

    def test_flags_and_codes_are_no_streams(self, tmp_path: Path) -> None:
        rows = [
            f"DE/S1,5,{t},{t + timedelta(hours=1)},{value(i) if i % 20 else -999},ug.m-3,"
            f"{1 if i % 20 else -1},{1 + i % 3},2024-09-{1 + i % 20:02} 10:00:00"
            for i, t in enumerate(HOURS)
        ]
        history = read(tmp_path, [self.header, *rows])
        assert history.streams == ["Value"]
        assert hourly(history)
        assert np.isnan(history.values[0]).sum() == 5
        assert any("flags of quality" in note and "Validity" in note for note in history.notes)
        assert read(tmp_path, [self.header, *rows], columns=("Validity",)).streams == ["Validity"]


class TestWeather:
    """Hourly records of NOAA and Deutscher Wetterdienst."""

    def test_cells_of_value_and_quality(self, tmp_path: Path) -> None:
        head = '"STATION","DATE","SOURCE","LATITUDE","NAME","WND","TMP","DEW","SLP"'
        rows = [
            f'"72565003017","{t:%Y-%m-%dT%H:%M:%S}","7","39.8","DENVER, CO US",'
            f'"{i * 10 % 360:03},1,N,0031,1","{i * 7 % 200 - 50:+05},1",'
            f'"{"+9999,9" if i % 9 else "+0012,1"}","10{i % 90:03},{3 if i == 4 else 1}"'
            for i, t in enumerate(HOURS)
        ]
        history = read(tmp_path, [head, *rows])
        columns = dict(zip(history.streams, history.values, strict=True))
        assert list(columns) == ["WND direction", "WND speed", "TMP", "DEW", "SLP"]
        assert columns["TMP"][:3].tolist() == [-5.0, -4.3, -3.6]
        assert columns["SLP"][3] == 1000.3
        assert np.isnan(columns["SLP"][4])
        assert np.isnan(columns["DEW"]).sum() == 85

    def test_a_quality_that_changes_and_an_end_of_row(self, tmp_path: Path) -> None:
        rows = [
            f"       3987;{t:%Y%m%d%H};{3 if i < 40 else 10:5};{value(i):>6};  -999;eor"
            for i, t in enumerate(HOURS)
        ]
        history = read(tmp_path, ["STATIONS_ID;MESS_DATUM;QN_9;TT_TU;RF_TU;eor", *rows])
        assert history.streams == ["TT_TU", "RF_TU"]
        assert hourly(history)


class TestPower:
    """Intervals of grid operators, and the exports of inverters."""

    @pytest.mark.parametrize(
        ("name", "suffix"), [("MTU (CET/CEST)", ""), ("MTU", " (CET/CEST)"), ("Time (CET)", "")]
    )
    def test_intervals_in_a_zone(self, name: str, suffix: str, tmp_path: Path) -> None:
        rows = [
            f'"DE","{t:%d.%m.%Y %H:%M} - {t + timedelta(hours=1):%d.%m.%Y %H:%M}{suffix}",'
            f'"{value(i)}","n/e"'
            for i, t in enumerate(HOURS)
        ]
        history = read(tmp_path, [f'"Area","{name}","Load [MW]","Nuclear [MW]"', *rows])
        assert history.streams == ["Load [MW]"]
        assert hourly(history, -1)

    def test_names_above_the_form_of_stamps_and_units(self, tmp_path: Path) -> None:
        rows = [f"{t:%d.%m.%Y %H:%M},{value(i)},{value(i, 1)}" for i, t in enumerate(HOURS)]
        head = ["Datum und Uhrzeit,Symo 10.0 (1),Symo 10.0 (2)", "[dd.MM.yyyy HH:mm],[Wh],[Wh]"]
        assert read(tmp_path, [*head, *rows]).streams == ["Symo 10.0 (1)", "Symo 10.0 (2)"]


class TestTimes:
    @pytest.mark.parametrize("form", ["%m-%d %H:%M", "%d %b %H:%M", "%d.%m. %H:%M:%S"])
    def test_stamps_without_a_year_are_refused(self, form: str, tmp_path: Path) -> None:
        rows = [f"{t:{form}},{value(i)}" for i, t in enumerate(HOURS)]
        with pytest.raises(DataError, match=r"'time', row 1: .* has no year"):
            read(tmp_path, ["time,load", *rows])

    def test_the_start_of_intervals_though_the_end_comes_first(self, tmp_path: Path) -> None:
        rows = [f"{t + timedelta(hours=1)},{t},{value(i)}" for i, t in enumerate(HOURS)]
        assert hourly(read(tmp_path, ["End,Start,kWh", *rows]))

    def test_intervals_with_fractions_behind_a_commented_header(self, tmp_path: Path) -> None:
        rows = [
            f"{t:%Y-%m-%dT%H:%M:%S}.0/{t + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}.0;{value(i)}"
            for i, t in enumerate(HOURS)
        ]
        history = read(tmp_path, ["# Title: solar", "#", "# Observation period;GHI", *rows])
        assert history.streams == ["GHI"]
        assert hourly(history)

    def test_times_identify_no_streams(self, tmp_path: Path) -> None:
        rows = [
            f"{t},{t + timedelta(hours=lead)},{value(i + lead)}"
            for i, t in list(enumerate(HOURS))[::6]
            for lead in range(1, 25)
        ]
        with pytest.raises(DataError, match=r"repeat a stamp.*--stream-column"):
            read(tmp_path, ["issue_time,valid_time,load", *rows])

    def test_names_in_several_rows(self, tmp_path: Path) -> None:
        rows = [f"{t},{value(i)},{value(i, 1)}" for i, t in enumerate(HOURS)]
        history = read(tmp_path, [",temp,temp", "sensor,a,b", "time,,", *rows])
        assert history.streams == ["temp/a", "temp/b"]


class TestZones:
    def rows(self, zone: str) -> list[str]:
        return [f"{t},{zone},{value(i)}" for i, t in enumerate(HOURS)]

    @pytest.mark.parametrize(
        ("name", "zone", "shift"),
        [
            ("tz", "EST", 5),
            ("timezone", "America/New_York", 5),
            ("utc_offset", "+05:30", None),
            ("tz", "UTC", 0),
        ],
    )
    def test_a_column_of_zones(
        self, name: str, zone: str, shift: int | None, tmp_path: Path
    ) -> None:
        history = read(tmp_path, [f"time,{name},load", *self.rows(zone)])
        if shift is None:
            assert history.timestamps[0][0] == START - 5 * HOUR - HOUR // 2
        else:
            assert hourly(history, shift)

    def test_the_option_comes_first(self, tmp_path: Path) -> None:
        assert hourly(read(tmp_path, ["time,tz,load", *self.rows("EST")], timezone="UTC"))

    def test_standard_and_summer_time_tell_the_hour_that_comes_twice(self, tmp_path: Path) -> None:
        stamps = [("00:00", "EDT"), ("01:00", "EDT"), ("01:00", "EST"), ("02:00", "EST")]
        rows = [f"2024-11-03 {clock},{zone},{i / 8}" for i, (clock, zone) in enumerate(stamps)]
        history = read(tmp_path, ["time,tz,load", *rows])
        assert np.diff(history.timestamps[0]).tolist() == [HOUR] * 3

    def test_zones_of_several_meanings_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"'tz', row 1: CST.*--timezone"):
            read(tmp_path, ["time,tz,load", *self.rows("CST")])

    def test_a_zone_of_a_house_is_no_time_zone(self, tmp_path: Path) -> None:
        rows = [
            f"{t},{zone},{value(i, k)}"
            for i, t in enumerate(HOURS)
            for k, zone in enumerate(("north", "south"))
        ]
        assert read(tmp_path, ["time,zone,load", *rows]).streams == ["north", "south"]

    @pytest.mark.parametrize("name", ["Time [UTC+1]", "time (+01:00)", "Time (MEZ)"])
    def test_a_zone_in_the_name_of_the_time(self, name: str, tmp_path: Path) -> None:
        rows = [f"{t},{value(i)}" for i, t in enumerate(HOURS)]
        assert hourly(read(tmp_path, [f"{name},load", *rows]), -1)

    @pytest.mark.parametrize("name", ["Time (s)", "time (local)", "Time [UTC]", "Time (h)"])
    def test_what_is_no_other_zone(self, name: str, tmp_path: Path) -> None:
        rows = [f"{t},{value(i)}" for i, t in enumerate(HOURS)]
        assert hourly(read(tmp_path, [f"{name},load", *rows]))
