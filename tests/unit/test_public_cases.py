"""Files as people have them, which lie beside the repository:
each with the value that it has to be read with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.history import ReadOptions, read_history
from tests.support.shared import CASES, needs_shared_cases

HOUR, MINUTE = 3_600_000, 60_000
MARCH = 1_709_251_200_000  # 2024-03-01, ms


def streams(file: str, **options: Any) -> dict[str, tuple[list[int], list[float]]]:
    history = read_history(CASES / file, ReadOptions(**options))
    columns = zip(history.streams, history.timestamps, history.values, strict=True)
    return {name: (stamps.tolist(), values.tolist()) for name, stamps, values in columns}


def hourly(count: int, step: int = HOUR, start: int = MARCH) -> list[int]:
    return [start + i * step for i in range(count)]


@needs_shared_cases
class TestFiles:
    def test_ids(self) -> None:
        shed = streams("C01.csv")
        assert {name: len(stamps) for name, (stamps, _) in shed.items()} == {
            "sensor.shed_temperature": 960,
            "sensor.shed_humidity": 960,
        }
        assert np.isnan(shed["sensor.shed_temperature"][1]).sum() == 18
        assert [len(stamps) for stamps, _ in streams("C02.csv.gz").values()] == [1440] * 3
        air = streams("C04.csv.gz")
        assert list(air) == ["pm25", "o3"]
        assert (air["pm25"][1][0], air["o3"][1][0]) == (11.894, 0.0432)
        assert list(streams("R01.csv")) == ["A1", "A2"]

    @pytest.mark.parametrize("file", ["C03.csv.gz", "C03b.csv.gz"])
    def test_devices_that_take_turns(self, file: str) -> None:
        found = streams(file)
        assert len(found) == 15
        for name, (stamps, values) in found.items():
            assert set(np.diff(stamps).tolist()) == {MINUTE}
            assert not name.endswith("/temp") or np.abs(np.diff(values)).max() < 2
        asked = streams(file, stream_column="device", columns=["temp", "humidity"])
        assert sorted(asked) == sorted(
            name for name in found if name.endswith(("/temp", "/humidity"))
        )

    @pytest.mark.parametrize(
        ("file", "options", "stamps"),
        [
            ("C06.csv", {}, hourly(960)),
            ("C08.txt", {}, hourly(960)),
            ("C08.txt", {"time_column": "MESS_DATUM"}, hourly(960)),
            ("C08b.txt", {"time_column": "MESS_DATUM"}, hourly(2016, 10 * MINUTE)),
            ("C09.csv", {}, hourly(960)),
            ("C11.csv", {}, hourly(288)),
            ("R02.dat", {}, hourly(960)),
            ("R02b.csv", {}, hourly(960)),
            ("R03.csv", {}, hourly(960)),
            ("R10.csv", {}, hourly(960)),
            ("R12.csv", {}, hourly(2880, 10 * MINUTE)),
            ("R12b.csv", {}, hourly(960)),
            ("R12c.csv", {}, hourly(960)),
            ("R14.csv", {}, hourly(960)),
            ("R15.csv", {}, hourly(960)),
        ],
    )
    def test_stamps(self, file: str, options: dict[str, Any], stamps: list[int]) -> None:
        for read, _ in streams(file, **options).values():
            assert read == stamps

    def test_numbers(self) -> None:
        grid = streams("C06.csv")
        assert grid["Frequenz [Hz]"][1][:2] == [50.01, 49.99]
        assert grid["Leistung [kW]"][1][:2] == [0.01, 0.98]
        assert streams("R05.csv")["bytes"][1][:2] == [1963, 2227]

    def test_columns(self) -> None:
        assert list(streams("C13.csv.gz")) == ["Aggregate", "Appliance1"]
        assert list(streams("R02.dat")) == ["BattV_Min", "AirTC_Avg", "RH"]
        assert list(streams("R02b.csv")) == ["BattV_Min", "AirTC_Avg", "RH"]
        assert list(streams("R03.csv")) == ["shed"]

    def test_months_are_refused_by_name(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert (
            run(["train", str(CASES / "R07.csv"), "--family", "ar", "--out", str(tmp_path / "b")])
            == 2
        )
        assert "months are of no fixed length" in capsys.readouterr().err
