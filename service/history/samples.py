"""`sample:NAME`: real sensor data that pip installs (bokeh-sampledata),
to try the program without data of your own.

buoy      a sea-surface temperature buoy, half-hourly, 2016-02 to 2017-03
sensors   the buoy, and a glucose sensor worn in 2010 (glucose, sensor current) as half-hour means
          with its real gaps
fleet     36 streams: twelve windows of 16 weeks of each of these sensors, moved to the same weeks,
          each a stream of its own; windows of a sensor overlap
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from eddycast.service.errors import DataError
from eddycast.service.history.csv_table import read_csv
from eddycast.service.history.history import History
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.tables import read_table
from eddycast.service.records import Float64, Int64

HALF_HOUR_MS = 30 * 60_000
WEEK_MS = 7 * 24 * 3_600_000
SAMPLES = ("sensors", "buoy", "fleet")
#: Windows of each sensor in the fleet, and weeks of each window.
WINDOWS, WINDOW_WEEKS = 12, 16


def read_sample(name: str) -> History:
    """Read a sample. Raises DataError for an unknown name, and if the package is not installed."""
    if name not in SAMPLES:
        raise DataError(
            f"no sample called {name!r}",
            f"there are {', '.join('sample:' + each for each in SAMPLES)}",
        )
    folder = _folder()
    buoy = _read(folder / "sea_surface_temperature.csv.gz")
    buoy = History(["buoy/water-temperature"], buoy.timestamps, buoy.values, buoy.notes)
    if name == "buoy":
        return buoy
    sensors = _beside(buoy, _read(folder / "CGM.csv.gz"))
    return sensors if name == "sensors" else _fleet(sensors)


def half_hour_means(timestamps: Int64, values: Float64) -> tuple[Int64, Float64]:
    """Means of the readings in each half hour that has some, stamped with its start.
    NaN readings are ignored."""
    observed = ~np.isnan(values)
    slots, index = np.unique(timestamps[observed] // HALF_HOUR_MS, return_inverse=True)
    sums = np.bincount(index, weights=values[observed], minlength=len(slots))
    return slots * HALF_HOUR_MS, sums / np.bincount(index, minlength=len(slots))


def _read(path: Path) -> History:
    return read_table(read_csv(path, ReadOptions())[0], ReadOptions())


def _folder() -> Path:
    spec = find_spec("bokeh_sampledata")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the samples come with bokeh-sampledata, which is not installed",
            "pip install 'eddycast[demo]'",
        )
    return Path(spec.submodule_search_locations[0]) / "_data"


def _beside(buoy: History, glucose: History) -> History:
    """Join both histories on one clock: the older one is moved by whole weeks, so that both end
    together and a hold-out has both."""
    weeks = (buoy.end_ms - glucose.end_ms) // WEEK_MS
    names = {"glucose": "cgm/glucose", "isig": "cgm/sensor-current"}
    moved = [
        half_hour_means(glucose.timestamps[i], glucose.values[i])
        for i in map(glucose.streams.index, names)
    ]
    return History(
        [*buoy.streams, *names.values()],
        [*buoy.timestamps, *(stamps + weeks * WEEK_MS for stamps, _ in moved)],
        [*buoy.values, *(values for _, values in moved)],
        [
            *(f"buoy: {note}" for note in buoy.notes),
            *(f"cgm: {note}" for note in glucose.notes),
            f"cgm: half-hour means, moved by {weeks} whole weeks to end together with the buoy",
        ],
    )


def _fleet(sensors: History) -> History:
    """Windows of each sensor, as far apart as its history is long, all at the time of the last."""
    end_ms = min(int(stamps[-1]) for stamps in sensors.timestamps)
    names, timestamps, values = [], [], []
    for name, stamps, readings in zip(
        sensors.streams, sensors.timestamps, sensors.values, strict=True
    ):
        weeks = (end_ms - int(stamps[0])) // WEEK_MS
        apart_ms = (weeks - WINDOW_WEEKS) // (WINDOWS - 1) * WEEK_MS
        for number in range(WINDOWS):
            moved = stamps + number * apart_ms
            inside = (moved > end_ms - WINDOW_WEEKS * WEEK_MS) & (moved <= end_ms)
            names.append(f"{name}/{number + 1:02}")
            timestamps.append(moved[inside])
            values.append(readings[inside])
    note = f"{WINDOWS} windows of {WINDOW_WEEKS} weeks of each sensor, moved to the same weeks"
    return History(names, timestamps, values, [*sensors.notes, note])
