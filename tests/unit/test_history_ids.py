"""Detection of the columns that name the streams of a table,
and of columns that are no measurement."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history

HOURS = [datetime(2024, 3, 1) + timedelta(hours=i) for i in range(120)]


def value(i: int, k: int = 0) -> str:
    return f"{12 + 5 * math.sin(i * math.pi / 12 + k) + (i * 7919 + k * 31) % 11 / 20 + 10 * k:.2f}"


def read(folder: Path, header: str, rows: list[str], **options: Any) -> History:
    path = folder / "data.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return read_history(path, ReadOptions(**options))


def long_rows(names: list[str], row: Callable[[int, int, str], str] | None = None) -> list[str]:
    """Rows of all streams by time: stamp, name, value."""
    make = row or (lambda i, k, name: f"{HOURS[i]},{name},{value(i, k)}")
    return [make(i, k, name) for i in range(len(HOURS)) for k, name in enumerate(names)]


def noted(history: History, *words: str) -> bool:
    return any(all(word in note for word in words) for note in history.notes)


@pytest.mark.parametrize("column", ["entity_id", "LCLid", "where", "Gerät", "apt"])
def test_the_column_that_makes_stamps_unique_names_the_streams(column: str, tmp_path: Path) -> None:
    names = ["11", "12", "13"] if column == "apt" else ["roof", "shed", "well"]
    history = read(tmp_path, f"time,{column},reading of it", long_rows(names))
    assert history.streams == names
    assert [len(stamps) for stamps in history.timestamps] == [len(HOURS)] * 3
    assert history.values[1][:2].tolist() == [float(value(0, 1)), float(value(1, 1))]
    assert noted(history, "identified by", column)


def test_several_columns_where_one_is_not_enough(tmp_path: Path) -> None:
    rows = long_rows(["d1,temp", "d1,hum", "d2,temp", "d2,hum"])
    history = read(tmp_path, "time,device,metric,value", rows)
    assert history.streams == ["d1/temp", "d1/hum", "d2/temp", "d2/hum"]
    assert (
        read(tmp_path, "time,device,metric,value", rows, stream_column="device,metric").streams
        == history.streams
    )
    with pytest.raises(
        DataError, match=r"under 'device' 50%.*--stream-column device,metric.*--duplicates"
    ):
        read(tmp_path, "time,device,metric,value", rows, stream_column="device")


def test_a_number_that_was_measured_names_no_stream(tmp_path: Path) -> None:
    def row(i: int, k: int, name: str) -> str:
        return f"{HOURS[i]},{name},{value(i, k)},{int(float(value(i, k)))},1"

    rows = long_rows(["S1,OZONE", "S1,PM2.5", "S2,OZONE", "S2,PM2.5"], row)
    history = read(tmp_path, "UTC,SiteName,Parameter,Value,AQI,Category", rows)
    assert history.streams == ["S1/OZONE", "S1/PM2.5", "S2/OZONE", "S2/PM2.5"]
    alone = [
        f"{time},{value(i, k)},{int(float(value(i, k)))}"
        for i, time in enumerate(HOURS)
        for k in range(2)
    ]
    with pytest.raises(DataError, match=r"50% of the readings.*--stream-column.*--duplicates"):
        read(tmp_path, "time,Value,AQI", alone)


@pytest.mark.parametrize("name", ["Stunde", "HourEnding", "h"])
def test_the_hour_beside_a_day_names_no_stream(name: str, tmp_path: Path) -> None:
    rows = [f"{time:%Y-%m-%d},{time.hour},{value(i)}" for i, time in enumerate(HOURS)]
    history = read(tmp_path, f"date,{name},kw", rows)
    assert (history.streams, len(history)) == (["kw"], len(HOURS))
    halves = [f"{HOURS[i // 2]:%Y-%m-%d},{i % 48 + 1},{value(i)}" for i in range(240)]
    with pytest.raises(DataError, match=r"of the readings.*--stream-column"):
        read(tmp_path, "date,settlement period,kw", halves)


def test_several_columns_of_values_are_streams_of_each_name(tmp_path: Path) -> None:
    rows = long_rows(
        ["a", "b"], lambda i, k, name: f"{HOURS[i]},{name},{value(i, k)},{value(i, k + 2)},off"
    )
    header = "time,device,temp,hum,mode"
    assert read(tmp_path, header, rows).streams == ["a/temp", "a/hum", "b/temp", "b/hum"]
    assert read(tmp_path, header, rows, columns=["hum"]).streams == ["a", "b"]
    assert read(tmp_path, header, rows, columns=["hum", "temp"]).streams == [
        "a/hum",
        "a/temp",
        "b/hum",
        "b/temp",
    ]
    assert read(tmp_path, header, rows, columns=["b/temp"]).streams == ["b/temp"]


def test_devices_that_take_turns_are_told_apart_though_no_stamp_repeats(tmp_path: Path) -> None:
    def row(i: int, k: int, name: str) -> str:
        return f"{(HOURS[i] + timedelta(seconds=1.3 * k)).timestamp():.1f},{name},{value(i, k)}"

    for column in ("device", "box"):
        history = read(tmp_path, f"ts,{column},temp", long_rows(["x", "y", "z"], row))
        assert history.streams == ["x", "y", "z"]
        assert set(np.diff(history.timestamps[2]).tolist()) == {3_600_000}


def test_a_column_of_states_splits_nothing(tmp_path: Path) -> None:
    rows = [f"{time},{'NESW'[i * 7 % 4]},{value(i)}" for i, time in enumerate(HOURS)]
    assert read(tmp_path, "time,wind,speed", rows).streams == ["speed"]


def test_rows_that_come_again_with_the_same_values_are_no_streams(tmp_path: Path) -> None:
    rows = [
        f"{time},{value(i)},{word}" for i, time in enumerate(HOURS) for word in ("rain", "mist")
    ]
    history = read(tmp_path, "time,load,weather", rows)
    assert history.streams == ["load"]
    assert noted(history, "120 duplicate stamps")


def test_stamps_that_repeat_and_nothing_tells_them_apart(tmp_path: Path) -> None:
    rows = [f"{time},{value(i, k)}" for i, time in enumerate(HOURS) for k in range(2)]
    with pytest.raises(
        DataError, match=r"50% of the readings.*--stream-column.*--duplicates first \(or last\)"
    ):
        read(tmp_path, "time,load", rows)
    assert read(tmp_path, "time,load", rows, duplicates="first").values[0][0] == float(value(0, 0))
    assert read(tmp_path, "time,load", rows, duplicates="last").values[0][0] == float(value(0, 1))
    with pytest.raises(DataError, match="choose first or last"):
        read(tmp_path, "time,load", rows, duplicates="mean")


def test_one_reading_in_a_hundred_may_go(tmp_path: Path) -> None:
    rows = [f"{time},{value(i)}" for i, time in enumerate(HOURS)] + [f"{HOURS[7]},99"]
    history = read(tmp_path, "time,load", rows)
    assert history.values[0][7] == float(value(7))
    assert noted(history, "1 duplicate stamp")


def test_two_columns_that_tell_rows_apart_in_other_ways_are_named(tmp_path: Path) -> None:
    rows = long_rows(
        ["0", "1"], lambda i, k, name: f"{HOURS[i]},b{(k + i // 60) % 2},c{k},{value(i, k)}"
    )
    with pytest.raises(
        DataError, match=r"'box' and 'cell' both.*--stream-column box or --stream-column cell"
    ):
        read(tmp_path, "time,box,cell,load", rows)
    assert read(tmp_path, "time,box,cell,load", rows, stream_column="cell").streams == ["c0", "c1"]


def test_of_columns_that_make_the_same_streams_the_readable_one_names_them(tmp_path: Path) -> None:
    def row(i: int, k: int, name: str) -> str:
        place = f"8118,{23534 + k},Riverside,{HOURS[i]}+01:00,51.5,-0.1"
        return f"{place},{name},{'µg' if k else 'ppm'},{value(i, k)}"

    header = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"
    history = read(tmp_path, header, long_rows(["pm25", "o3"], row))
    assert history.streams == ["pm25", "o3"]
    wide = read(
        tmp_path,
        "time,station_id,lat,lon,qn,pm10",
        [f"{t},7,51.5,-.1,3,{value(i)}" for i, t in enumerate(HOURS)],
    )
    assert wide.streams == ["pm10"]
    assert noted(wide, "constant", "station_id, lat, lon, qn")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("Unix", lambda i: int(HOURS[i].timestamp())),
        ("unix_ms", lambda i: int(HOURS[i].timestamp() * 1000)),
        ("serial day", lambda i: 45352 + i / 24),
        ("elapsed_s", lambda i: i * 3600),
        ("since start", lambda i: round(i * 60.0, 1)),
        ("RECORD", lambda i: 1000 + i + (i > 50)),
        ("whatever", lambda i: 7 + i),
        ("RECORD", lambda i: i if i < 70 else i - 70),
        ("seq", lambda i: i % 64),
        ("stamp", lambda i: f"{HOURS[i]:%Y%m%d%H%M%S}"),
        ("day key", lambda i: f"{HOURS[i]:%Y%m%d}"),
        ("key", lambda i: f"{HOURS[i]:%Y%m%d}"),
        ("ym", lambda i: f"{HOURS[i]:%Y%m}"),
        ("hhmm", lambda i: f"{HOURS[i]:%H%M}"),
        ("JD", lambda i: int(HOURS[i].timestamp() / 86400 + 2440587.5)),
        ("decyear", lambda i: f"{2024 + (60 + i / 24) / 366:.7f}"),
        ("uptime_s", lambda i: 100 + i * 3600 + i * 7919 % 5),
        ("millis", lambda i: (77 + i * 3_600_000) % 172_800_000),
        ("RECORD", lambda i: 10 * i + 3),
        ("period", lambda i: HOURS[i].hour + 1),
        ("dayfrac", lambda i: f"{HOURS[i].hour / 24:.6f}"),
        ("week", lambda i: HOURS[i].isocalendar()[1]),
        ("is_weekend", lambda i: int(HOURS[i].weekday() > 4)),
        ("hour", lambda i: HOURS[i].hour),
        ("month", lambda i: HOURS[i].month),
        ("doy", lambda i: HOURS[i].timetuple().tm_yday),
        ("weekday", lambda i: HOURS[i].weekday()),
        ("day_of_week", lambda i: HOURS[i].isoweekday() % 7 + 1),
    ],
)
def test_a_second_clock_and_a_counter_of_rows_are_no_streams(
    column: str, cell: Callable[[int], object], tmp_path: Path
) -> None:
    rows = [f"{time},{cell(i)},{value(i)}" for i, time in enumerate(HOURS)]
    history = read(tmp_path, f"time,{column},load", rows)
    assert history.streams == ["load"]
    assert noted(history, "left out", column)
    assert read(tmp_path, f"time,{column},load", rows, columns=[column]).streams == [column], (
        "unless asked for"
    )


def test_a_meter_and_a_slow_ramp_are_streams(tmp_path: Path) -> None:
    rows = [f"{time},{1000 + i * 3 + i % 2},{i * 0.041:.3f}" for i, time in enumerate(HOURS)]
    assert read(tmp_path, "time,meter,ramp", rows).streams == ["meter", "ramp"]


def test_words_for_no_reading_and_streams_of_words(tmp_path: Path) -> None:
    def row(i: int, k: int, name: str) -> str:
        state = "on" if name == "light" else "unavailable" if i % 30 == 4 else value(i, k)
        return f"{name},{state},{HOURS[i].isoformat()}Z"

    history = read(
        tmp_path, "entity_id,state,last_changed", long_rows(["light", "temp", "hum"], row)
    )
    assert history.streams == ["temp", "hum"]
    assert np.isnan(history.values[0]).sum() == 4
    assert noted(history, "streams", "not numbers", "light")


def test_readings_of_a_stream_in_several_units_are_refused(tmp_path: Path) -> None:
    def row(i: int, k: int, name: str) -> str:
        return f"{HOURS[i]},{name},{value(i, k)},{'kWh' if k == 0 or i < 40 else 'Wh'}"

    rows = long_rows(["a", "b"], row)
    with pytest.raises(DataError, match=r"'unit': readings of 'b' are in 'Wh' and 'kWh'.*unit"):
        read(tmp_path, "time,meter,value,unit", rows)
    asked = read(tmp_path, "time,meter,value,unit", rows, stream_column="meter,unit")
    assert asked.streams == ["a/kWh", "b/kWh", "b/Wh"]
    alone = [f"{time},{value(i)},{('ppm', 'ppb')[i % 2]}" for i, time in enumerate(HOURS)]
    with pytest.raises(DataError, match=r"'ppm' and 'ppb'"):
        read(tmp_path, "time,value,unit", alone)
    once = [f"{time},{value(i)},{'F' if i == 9 else 'C'}" for i, time in enumerate(HOURS)]
    assert read(tmp_path, "time,value,unit", once).streams == ["value"]
