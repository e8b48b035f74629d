from __future__ import annotations

import builtins
import gzip
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history, stream_history
from eddycast.service.history.samples import half_hour_means
from tests.support.shared import SHARED, needs_shared_data

HOUR = 3_600_000


def ms(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0
) -> int:
    return int(
        datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC).timestamp() * 1000
    )


def write(folder: Path, text: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def read(folder: Path, text: str, **options: Any) -> History:
    return read_history(write(folder, text), ReadOptions(**options))


def column(history: History, name: str) -> tuple[list[int], list[float]]:
    i = history.streams.index(name)
    return history.timestamps[i].tolist(), history.values[i].tolist()


def noted(history: History, *words: str) -> bool:
    return any(all(word in note for word in words) for note in history.notes)


class TestWide:
    def test_one_stream_a_numeric_column(self, tmp_path: Path) -> None:
        history = read(
            tmp_path, "date,a,b\n2024-01-01 00:00:00,1,2\n2024-01-01 01:00:00,1.5,-3e2\n"
        )
        assert history.streams == ["a", "b"]
        assert column(history, "b") == ([ms(2024, 1, 1), ms(2024, 1, 1, 1)], [2.0, -300.0])
        assert history.timestamps[0].dtype == np.int64
        assert history.values[0].dtype == np.float64
        assert len(history) == 4

    def test_columns_that_are_not_numbers_are_left_out_and_said(self, tmp_path: Path) -> None:
        text = "No,date,a,wind,empty\n1,2024-01-01,1,N,\n2,2024-01-02,2,SE,\n3,2024-01-03,3,W,\n"
        history = read(tmp_path, text)
        assert history.streams == ["a"]
        assert noted(history, "not numbers", "wind")
        assert noted(history, "row counter", "No")
        assert noted(history, "empty")

    def test_only_the_columns_asked_for_in_their_order(self, tmp_path: Path) -> None:
        text = "date,a,b,c\n2024-01-01,1,2,x\n"
        assert read(tmp_path, text, columns=["b", "a"]).streams == ["b", "a"]
        with pytest.raises(DataError, match=r"'c'.*not numbers"):
            read(tmp_path, text, columns=["c"])
        with pytest.raises(DataError, match=r"'d'.*a, b, c"):
            read(tmp_path, text, columns=["d"])

    def test_unsorted_rows_and_duplicates_are_repaired_and_counted(self, tmp_path: Path) -> None:
        text = "date,a\n2024-01-03,3\n2024-01-01,1\n2024-01-02,2\n2024-01-01,9\n"
        history = read(tmp_path, text)
        assert column(history, "a")[1] == [1.0, 2.0, 3.0]
        assert noted(history, "2 rows earlier")
        assert noted(history, "1 duplicate")

    def test_of_duplicates_a_reading_beats_a_missing_one_in_each_stream(
        self, tmp_path: Path
    ) -> None:
        history = read(tmp_path, "date,a,b\n2024-01-01,,5\n2024-01-01,7,\n")
        assert column(history, "a")[1] == [7.0]
        assert column(history, "b")[1] == [5.0]

    def test_missing_cells_stay_as_missing_readings(self, tmp_path: Path) -> None:
        text = (
            "date,a\n"
            "2024-01-01,\n"
            "2024-01-02,NA\n"
            "2024-01-03,NaN\n"
            "2024-01-04,null\n"
            "2024-01-05,4\n"
            "2024-01-06,-200\n"
        )
        history = read(tmp_path, text, missing=["-200"])
        assert np.isnan(history.values[0][[0, 1, 2, 3, 5]]).all()
        assert history.values[0][4] == 4.0
        assert noted(history, "5 missing cells")

    def test_a_missing_code_is_meant_as_a_number(self, tmp_path: Path) -> None:
        history = read(tmp_path, "date,a\n2024-01-01,-200.0\n2024-01-02,-20\n", missing=["-200"])
        assert np.isnan(history.values[0][0])
        assert history.values[0][1] == -20.0

    def test_cells_that_are_not_numbers_are_named(self, tmp_path: Path) -> None:
        text = "date,a\n2024-01-01,1\n2024-01-02,oops\n2024-01-03,inf\n2024-01-04,2\n2024-01-05,3\n"
        history = read(tmp_path, text)
        assert np.isnan(history.values[0][[1, 2]]).all()
        assert noted(history, "2 cells", "'a'", "row 2", "oops")

    def test_rows_without_a_time_are_left_out(self, tmp_path: Path) -> None:
        history = read(tmp_path, "date,a\n2024-01-01,1\n,\n2024-01-02,2\n,\n")
        assert column(history, "a")[1] == [1.0, 2.0]
        assert noted(history, "2 rows without a time")

    def test_semicolons_and_decimal_commas(self, tmp_path: Path) -> None:
        history = read(
            tmp_path, "Date;Time;T\n31/03/2004;18.00.00;13,6\n31/03/2004;19.00.00;1.013,5\n"
        )
        assert column(history, "T") == ([ms(2004, 3, 31, 18), ms(2004, 3, 31, 19)], [13.6, 1013.5])

    def test_a_quoted_header_may_hold_the_delimiter(self, tmp_path: Path) -> None:
        assert read(tmp_path, 'date;"a;b,c,d"\n2024-01-01;1,5\n').streams == ["a;b,c,d"]

    def test_byte_order_mark_carriage_returns_and_blanks_round_names(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_bytes(b"\xef\xbb\xbf date , a \r\n2024-01-01, 1\r\n")
        assert column(read_history(path), "a") == ([ms(2024, 1, 1)], [1.0])

    def test_gzip(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv.gz"
        path.write_bytes(gzip.compress(b"date;a\n2024-01-01;1\n"))
        assert read_history(path).values[0].tolist() == [1.0]


class TestStamps:
    @pytest.mark.parametrize(
        ("stamp", "expected"),
        [
            ("2024-01-31 08:05", ms(2024, 1, 31, 8, 5)),
            ("2024-01-31 08:05:10", ms(2024, 1, 31, 8, 5, 10)),
            ("2024-01-31T08:05:10.250", ms(2024, 1, 31, 8, 5, 10) + 250),
            ("2024-01-31T08:05:10Z", ms(2024, 1, 31, 8, 5, 10)),
            ("2024-01-31T08:05+01:00", ms(2024, 1, 31, 7, 5)),
            ("2024-01-31 08:05:00-0330", ms(2024, 1, 31, 11, 35)),
            ("2024-01-31 08:05:00 UTC", ms(2024, 1, 31, 8, 5)),
            ("2024/1/31 8:05", ms(2024, 1, 31, 8, 5)),
            ("1/31/2024 8:05", ms(2024, 1, 31, 8, 5)),
            ("31.01.2024 08:05", ms(2024, 1, 31, 8, 5)),
            ("1/31/2024 8:05 PM", ms(2024, 1, 31, 20, 5)),
            ("20240131", ms(2024, 1, 31)),
            ("2024-01-31", ms(2024, 1, 31)),
            ("1706688300", ms(2024, 1, 31, 8, 5)),
            ("1706688300000", ms(2024, 1, 31, 8, 5)),
            ("1706688300.5", ms(2024, 1, 31, 8, 5) + 500),
        ],
    )
    def test_formats(self, tmp_path: Path, stamp: str, expected: int) -> None:
        assert read(tmp_path, f"time,a\n{stamp},1\n").timestamps[0].tolist() == [expected]

    def test_day_before_month_where_the_column_proves_it(self, tmp_path: Path) -> None:
        history = read(tmp_path, "time,a\n1/2/2024 0:00,1\n13/2/2024 0:00,2\n")
        assert history.timestamps[0].tolist() == [ms(2024, 2, 1), ms(2024, 2, 13)]
        assert noted(history, "day/month/year")

    def test_separate_columns(self, tmp_path: Path) -> None:
        history = read(tmp_path, "year,month,day,hour,a\n2024,1,31,8,1\n2024,2,1,0,2\n")
        assert history.timestamps[0].tolist() == [ms(2024, 1, 31, 8), ms(2024, 2, 1)]
        assert history.streams == ["a"]

    def test_the_time_zone_asked_for(self, tmp_path: Path) -> None:
        text = "time,a\n2024-03-31 01:30,1\n2024-03-31 02:30,2\n2024-03-31 03:30,3\n"
        history = read(tmp_path, text, timezone="Europe/Berlin")
        assert column(history, "a") == (
            [ms(2024, 3, 31, 0, 30), ms(2024, 3, 31, 1, 30)],
            [1.0, 3.0],
        )
        assert noted(
            history,
            "Europe/Berlin",
            "1 stamp in the hour skipped by the clock change: dropped",
        )
        with pytest.raises(DataError, match="Mars/Base"):
            read(tmp_path, text, timezone="Mars/Base")

    def test_a_skipped_hour_is_read_by_the_clock_before(self, tmp_path: Path) -> None:
        """The file is of a logger that names the end of its hours."""
        text = "time,a\n2024-03-31 01:00,1\n2024-03-31 02:00,2\n2024-03-31 04:00,3\n"
        history = read(tmp_path, text, timezone="Europe/Berlin")
        assert column(history, "a")[0] == [ms(2024, 3, 31), ms(2024, 3, 31, 1), ms(2024, 3, 31, 2)]
        assert noted(history, "1 stamp in the hour skipped by the clock change: read")

    def test_the_hour_that_the_clock_goes_back_is_read_twice_in_each_stream(
        self, tmp_path: Path
    ) -> None:
        text = "time,stream,value\n" + "".join(
            f"2024-10-27 {clock},{name},1\n"
            for clock in ("01:30", "02:30", "02:30", "03:30")
            for name in ("a", "b")
        )
        history = read(tmp_path, text, timezone="Europe/Berlin")
        expected = [ms(2024, 10, 26, 23, 30), *(ms(2024, 10, 27, hour, 30) for hour in (0, 1, 2))]
        assert [stamps.tolist() for stamps in history.timestamps] == [expected, expected]
        assert not noted(history, "duplicate")

    def test_a_stamp_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"'time', row 2: 'soon'"):
            read(tmp_path, "time,a\n2024-01-01,1\nsoon,2\n")
        with pytest.raises(DataError, match=r"row 2.*no time zone"):
            read(tmp_path, "time,a\n2024-01-01T00:00Z,1\n2024-01-01T00:00,2\n")

    def test_the_time_column_is_found_by_its_content(self, tmp_path: Path) -> None:
        assert read(tmp_path, "a,when\n1,2024-01-01 08:00\n").timestamps[0].tolist() == [
            ms(2024, 1, 1, 8)
        ]
        with pytest.raises(DataError, match=r"no time column.* a, b.*--time-column"):
            read(tmp_path, "a,b\n1,2\n")

    def test_the_time_column_may_be_named(self, tmp_path: Path) -> None:
        text = "date,logged,a\n2024-01-01,2025-01-01,1\n"
        assert read(tmp_path, text, time_column="logged").timestamps[0].tolist() == [ms(2025, 1, 1)]
        with pytest.raises(DataError, match="'nope'"):
            read(tmp_path, text, time_column="nope")


class TestLong:
    def test_told_by_the_names(self, tmp_path: Path) -> None:
        text = (
            "stream,timestamp,value\n"
            "b,2024-01-01,1\n"
            "a,2024-01-01,10\n"
            "b,2024-01-02,2\n"
            "a,2023-12-31,9\n"
        )
        history = read(tmp_path, text)
        assert history.streams == ["b", "a"]
        assert column(history, "a") == ([ms(2023, 12, 31), ms(2024, 1, 1)], [9.0, 10.0])
        assert noted(history, "1 row earlier")
        assert read(tmp_path, text, columns=["a"]).streams == ["a"]
        with pytest.raises(DataError, match="no stream 'c'"):
            read(tmp_path, text, columns=["c"])

    def test_other_names(self, tmp_path: Path) -> None:
        text = "room,t,degrees\nkitchen,2024-01-01,20\nhall,2024-01-01,18\n"
        history = read(
            tmp_path, text, stream_column="room", time_column="t", value_column="degrees"
        )
        assert history.streams == ["kitchen", "hall"]
        assert read(tmp_path, "unique_id,ds,y\nx,2024-01-01,1\n").streams == ["x"]
        assert read(tmp_path, "sensor_id,time,temperature\n7,2024-01-01,1\n").streams == ["7"]

    def test_a_row_counter_is_no_stream(self, tmp_path: Path) -> None:
        text = "id,timestamp,value\n1,2024-01-01,1\n2,2024-01-02,2\n3,2024-01-03,3.5\n"
        assert read(tmp_path, text).streams == ["value"]

    def test_half_named_tables_are_refused(self, tmp_path: Path) -> None:
        text = "room,t,x,z\nkitchen,2024-01-01,20,1\n"
        assert read(tmp_path, text, stream_column="room", time_column="t").streams == [
            "kitchen/x",
            "kitchen/z",
        ]
        with pytest.raises(DataError, match="--stream-column"):
            read(tmp_path, text, value_column="x", time_column="t")

    def test_rows_without_a_stream_and_values_that_are_text(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"row 2: .*stream"):
            read(tmp_path, "stream,timestamp,value\na,2024-01-01,1\n,2024-01-02,2\n")
        with pytest.raises(DataError, match=r"'value' cannot be the value: not numbers"):
            read(tmp_path, "stream,timestamp,value\na,2024-01-01,on\n")


class TestParquet:
    def test_typed_columns(self, tmp_path: Path) -> None:
        times = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in (0, 1, 2)]
        frame = pl.DataFrame(
            {"when": times, "a": [1, None, 3], "b": [1.5, float("nan"), 2.5], "c": ["x", "y", "z"]}
        )
        frame.write_parquet(tmp_path / "data.parquet")
        history = read_history(tmp_path / "data.parquet")
        assert history.streams == ["a", "b"]
        assert history.timestamps[0].tolist() == [ms(2024, 1, 1, hour) for hour in (0, 1, 2)]
        assert np.isnan(history.values[0][1])
        assert np.isnan(history.values[1][1])
        assert noted(history, "2 missing cells")

    def test_long_with_epochs(self, tmp_path: Path) -> None:
        frame = pl.DataFrame(
            {"stream": ["a", "b"], "timestamp": [1706688300000, 1706688300000], "value": [1.0, 2.0]}
        )
        frame.write_parquet(tmp_path / "data.parquet")
        assert read_history(tmp_path / "data.parquet").timestamps[1].tolist() == [1706688300000]


class TestErrors:
    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such file"):
            read_history(tmp_path / "nope.csv")

    @pytest.mark.parametrize("text", ["", "date,a\n", "date,a\n,1\n", "date,a\n2024-01-01,1,2,3\n"])
    def test_files_without_observations(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(DataError):
            read(tmp_path, text)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (bytes(range(256)) * 9, "not a text file"),
            (b"2024-01-01 00:00,1\n2024-01-01 01:00,2\n", "first line"),
            (b"date;a\n2024-01-01;1\n2024-01-02;1;5\n", "row 2 has 3 cells, the header 2"),
        ],
    )
    def test_what_is_no_csv_is_told_apart(self, tmp_path: Path, content: bytes, said: str) -> None:
        (tmp_path / "data.csv").write_bytes(content)
        with pytest.raises(DataError, match=said):
            read_history(tmp_path / "data.csv")

    def test_a_file_that_is_no_table(self, tmp_path: Path) -> None:
        (tmp_path / "data.parquet").write_bytes(b"not parquet")
        with pytest.raises(DataError, match="cannot be read"):
            read_history(tmp_path / "data.parquet")

    def test_without_polars_the_extra_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def refuse(name: str, *args: object, **kwargs: object) -> object:
            if name.split(".")[0] == "polars":
                raise ImportError(name)
            return real(name, *args, **kwargs)  # type: ignore[arg-type]

        for name in ("samples", "sources"):
            monkeypatch.delitem(sys.modules, f"eddycast.service.history.{name}", raising=False)
            monkeypatch.delattr(f"eddycast.service.history.{name}", raising=False)
        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(DataError, match=r"eddycast\[data\]"):
            read_history(tmp_path / "any.csv")


class TestSamples:
    def test_sensors_stand_on_one_grid_and_end_together(self) -> None:
        history = read_history("sample:sensors")
        assert history.streams == ["buoy/water-temperature", "cgm/glucose", "cgm/sensor-current"]
        for stamps, values in zip(history.timestamps, history.values, strict=True):
            assert (stamps % (30 * 60_000) == 0).all()
            assert (np.diff(stamps) > 0).all()
            assert np.isfinite(values).mean() > 0.95
        ends = [int(stamps[-1]) for stamps in history.timestamps]
        assert max(ends) - min(ends) < 7 * 24 * HOUR
        assert (np.diff(history.timestamps[1]) > HOUR).any(), "the sensor's real gaps are kept"
        assert noted(history, "moved by", "weeks")

    def test_buoy_alone(self) -> None:
        history = read_history("sample:buoy")
        assert history.streams == ["buoy/water-temperature"]
        assert history.start_ms == ms(2016, 2, 15)

    def test_the_fleet_is_windows_of_the_sensors_in_the_same_weeks(self) -> None:
        sensors, fleet = read_history("sample:sensors"), read_history("sample:fleet")
        assert len(set(fleet.streams)) == len(fleet.streams) == 36
        week = 7 * 24 * HOUR
        first, last = fleet.end_ms - 16 * week, fleet.end_ms
        for name, stamps, values in zip(fleet.streams, fleet.timestamps, fleet.values, strict=True):
            assert first < stamps[0] < first + 2 * 24 * HOUR
            assert last - 2 * 24 * HOUR < stamps[-1] <= last
            at = sensors.streams.index(name[:-3])
            found = [
                i
                for i in np.flatnonzero(sensors.values[at] == values[0])
                if np.array_equal(sensors.values[at][i : i + len(values)], values)
            ]
            assert found
            moved = stamps[0] - sensors.timestamps[at][found[0]]
            assert moved % week == 0
        firsts = [values[:100].tolist() for values in fleet.values]
        assert len({tuple(one) for one in firsts}) == 36, "each stream has readings of its own"

    def test_unknown_name_and_missing_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(DataError, match="sample:sensors"):
            read_history("sample:nope")
        monkeypatch.setattr("eddycast.service.history.samples.find_spec", lambda name: None)
        with pytest.raises(DataError, match=r"eddycast\[demo\]"):
            read_history("sample:buoy")

    def test_half_hour_means(self) -> None:
        stamps, values = half_hour_means(
            np.array([0, 10, 29, 30, 90, 119]) * 60_000, np.array([1.0, 2.0, 3.0, np.nan, 4.0, 6.0])
        )
        assert stamps.tolist() == [0, 90 * 60_000]
        assert values.tolist() == [2.0, 5.0]


class TestHistory:
    def test_between_is_half_open_and_drops_empty_streams(self) -> None:
        history = History(
            ["a", "b"],
            [np.array([1, 2, 3]), np.array([9])],
            [np.array([1.0, 2.0, 3.0]), np.array([9.0])],
            [],
        )
        cut = history.between(2, 9)
        assert cut.streams == ["a"]
        assert cut.timestamps[0].tolist() == [2, 3]
        assert (history.start_ms, history.end_ms) == (1, 9)

    @given(st.lists(st.tuples(st.integers(0, 20), st.one_of(st.none(), st.integers(-9, 9)))))
    def test_any_rows_become_increasing_stamps_with_the_first_reading_of_each(
        self, rows: list[tuple[int, int | None]]
    ) -> None:
        stamps = np.array([stamp for stamp, _ in rows], dtype=np.int64)
        values = np.array(
            [np.nan if value is None else value for _, value in rows], dtype=np.float64
        )
        history, _, dropped = stream_history("a", stamps, values)
        expected: dict[int, float] = {}
        for stamp, value in rows:
            if expected.get(stamp) is None:
                expected[stamp] = value  # type: ignore[assignment]
        assert history.timestamps[0].tolist() == sorted(expected)
        assert [None if np.isnan(value) else value for value in history.values[0]] == [
            expected[stamp] for stamp in sorted(expected)
        ]
        assert dropped == len(rows) - len(expected)


@needs_shared_data
class TestSharedData:
    @pytest.mark.parametrize(
        "name", [str(path.relative_to(SHARED)) for path in sorted(SHARED.rglob("*.csv"))]
    )
    def test_every_file_is_read(self, name: str) -> None:
        history = read_history(SHARED / name)
        assert len(history) > 1000
        for stamps, values in zip(history.timestamps, history.values, strict=True):
            assert (np.diff(stamps) > 0).all()
            assert np.isfinite(values).mean() > 0.09, "one of the gas sensors has no more"
        assert datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000 < history.start_ms
        assert history.end_ms < datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000

    @pytest.mark.parametrize("name", ["AEP", "PJME"])
    def test_local_time_of_a_place(self, name: str) -> None:
        """The file ends hours where the clock begins them: what it has twice is not the hour that
        comes twice, and 02:00 in spring, no time in New York, is 07:00 UTC there. Read so, spring
        has no gap."""
        history = read_history(
            SHARED / "pjm" / f"{name}_hourly.csv", ReadOptions(timezone="America/New_York")
        )
        assert noted(
            history, "read as America/New_York", "in the hour skipped by the clock change: read"
        )
        assert noted(history, "4 duplicate stamps")
        stamps = history.timestamps[0]
        assert int(np.diff(stamps).max()) <= 3 * HOUR
        for year in range(2007, 2018):
            day = ms(year, 3, 8 + (6 - datetime(year, 3, 8, tzinfo=UTC).weekday()) % 7)
            assert (np.diff(stamps[(stamps >= day) & (stamps < day + 12 * HOUR)]) == HOUR).all(), (
                year
            )

    def test_nothing_but_the_gas_sensors_has_codes(self) -> None:
        holding = {
            path.name
            for path in SHARED.rglob("*.csv")
            if noted(read_history(path), "stands for a missing value")
        }
        assert holding == {"AirQualityUCI.csv"}

    def test_known_oddities_are_counted(self) -> None:
        traffic = read_history(SHARED / "hourly" / "hourly_traffic_volume.csv")
        assert noted(traffic, "7,629 duplicate stamps")
        assert noted(read_history(SHARED / "pjm" / "PJME_hourly.csv"), "earlier than")
        air = read_history(SHARED / "air_quality" / "AirQualityUCI.csv")
        assert noted(air, "-200 stands for a missing value 16,701 times in 13 of 13 streams")
        assert min(np.nanmin(values) for values in air.values) > -200
        water = read_history(SHARED / "water_flow" / "water-flow.csv")
        assert noted(water, "time zone")
        assert not noted(water, "duplicate"), "no hour comes twice once its zone is read"
        beijing = read_history(next((SHARED / "beijing").glob("*.csv")))
        assert noted(beijing, "not numbers", "wd", "station")
        assert "No" not in beijing.streams
