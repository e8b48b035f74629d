"""The data sets, as panels on their own grid. None of them is part of the repository."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eddycast.service.history import History, ReadOptions, read_history
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.evaluation.protocols.gift import LENGTHS, gift_grid, window_origins

HOUR = 3_600_000
DAY, WEEK = 24 * HOUR, 7 * 24 * HOUR
MAX_GAP = 512


@dataclass(frozen=True)
class Set:
    """Files of a data set and their reading options. Several files are streams side by side."""

    files: tuple[str, ...]
    interval_ms: int
    columns: tuple[str, ...] | None = None
    time_column: str | None = None
    means: bool = False  # onto the grid by means
    second_season_ms: int | None = None  # beside the day, where it is better on the validation part


_BEIJING = tuple(
    f"beijing/PRSA_Data_{station}_20130301-20170228.csv"
    for station in ("Aotizhongxin", "Changping", "Dingling", "Dongsi", "Guanyuan", "Gucheng")
)
SETS = {
    "ETTh1": Set(("ett/ETTh1.csv",), HOUR),
    "ETTm1": Set(("ett/ETTm1.csv",), HOUR // 4),
    "ETTm1 by hour": Set(("ett/ETTm1.csv",), HOUR, means=True),
    "Beijing, PM2.5": Set(_BEIJING, HOUR, ("PM2.5",), "year,month,day,hour"),
    "PJM": Set(("pjm/AEP_hourly.csv", "pjm/PJME_hourly.csv"), HOUR, second_season_ms=WEEK),
    "household": Set(
        ("household/household_power_consumption_hourly.csv",), HOUR, second_season_ms=WEEK
    ),
    "Victoria": Set(
        ("vic_electricity/vic_electricity.csv",),
        HOUR // 2,
        ("Demand", "Temperature"),
        "Time",
        second_season_ms=WEEK,
    ),
    "wind": Set(("hourly/hourly_windpower.csv",), HOUR),
    "solar": Set(("hourly/hourly_solarpower.csv",), HOUR),
    "traffic": Set(
        ("hourly/hourly_traffic_volume.csv",),
        HOUR,
        ("traffic_volume",),
        "date_time",
        second_season_ms=WEEK,
    ),
    "water flow": Set(("water_flow/water-flow.csv",), HOUR),
}


def panel_of(name: str, folder: Path) -> Panel:
    """A set as a panel; streams of several files are named by file and column."""
    chosen = SETS[name]
    options: dict[str, Any] = {"time_column": chosen.time_column, "columns": chosen.columns}
    parts = [read_history(folder / file, ReadOptions(**options)) for file in chosen.files]
    history = parts[0] if len(parts) == 1 else _beside(parts, chosen.files)
    if chosen.means:
        return gift_grid(history, chosen.interval_ms, MAX_GAP)
    return make_panel(history, chosen.interval_ms, MAX_GAP)


def _beside(parts: list[History], files: tuple[str, ...]) -> History:
    names = [
        f"{Path(file).stem} {name}"
        for file, part in zip(files, parts, strict=True)
        for name in part.streams
    ]
    stamps = [column for part in parts for column in part.timestamps]
    values = [column for part in parts for column in part.values]
    return History(names, stamps, values, [note for part in parts for note in part.notes])


def without(panel: Panel, stream: str) -> Panel:
    """The panel's other streams."""
    keep = np.array([name != stream for name in panel.streams])
    names = [name for name in panel.streams if name != stream]
    return Panel(names, panel.timestamps, panel.values[keep], panel.interval_ms)


def only(panel: Panel, stream: str) -> Panel:
    """One stream of the panel."""
    return Panel(
        [stream], panel.timestamps, panel.values[[panel.streams.index(stream)]], panel.interval_ms
    )


def training_rows(rows: int, lengths: Iterable[int] = LENGTHS.values()) -> int:
    """Rows before the first `gift` window of all these lengths:
    the part of a set that training may see."""
    return min(int(window_origins(rows, length)[0]) + 1 for length in lengths)
