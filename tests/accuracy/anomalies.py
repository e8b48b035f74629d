"""Quality of the anomaly: the NAB score on its public files,
and how often an anomaly is rare where nobody looked."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eddycast.service.history import read_history
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.replay import replay
from eddycast.service.records import Float64
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.data.split import Split
from eddycast.training.recipe import Recipe
from tests.accuracy.bundles import trained
from tests.accuracy.nab import Scored, best, probation
from tests.accuracy.sets import DAY, HOUR

Record = dict[str, Any]
WANTED = (0.01, 0.001)
#: Seasons of a stream that come before its alarms are counted.
SETTLED = 30
FINE = HOUR // 12
GRIDS = {"nyc_taxi.csv": HOUR // 2}  # of the files of NAB that are not on the fine one
FIT = 0.8  # of the rows on probation; the others validate


def served(runtime: Runtime, panel: Panel) -> dict[str, Float64]:
    """`anomaly` and `surprise` of every reading, [streams, rows] each, as the service gives them;
    NaN = none."""
    stream, row = np.nonzero(~np.isnan(panel.fed))
    values, names = panel.fed[stream, row][:, None], [name.encode() for name in panel.streams]
    found = {name: np.full(panel.fed.shape, np.nan) for name in ("anomaly", "surprise")}
    nowhere = np.zeros(len(row), np.bool_)
    for chunk in replay(runtime, names, panel.timestamps[row], values, stream, forecast_at=nowhere):
        at = stream[chunk.index], row[chunk.index]
        for name, column in found.items():
            column[at] = getattr(chunk.forecasts, name)
    return found


def alarms(bundle: Path, panel: Panel, split: Split) -> list[Record]:
    """Rate of alarms relative to the wanted one, on the hold-out and on all that comes after a
    stream's first seasons."""
    anomaly = served(load_runtime(bundle), panel)["anomaly"]
    spans = {"hold-out": split.validation_end, "all": SETTLED * DAY // panel.interval_ms}
    found = []
    for name, first in spans.items():
        known = anomaly[:, first : split.end]
        for wanted in WANTED:
            rates = [float((own[~np.isnan(own)] >= 1 - wanted).mean()) for own in known]
            rate = float((known[~np.isnan(known)] >= 1 - wanted).mean())
            readings = int(np.count_nonzero(~np.isnan(known)))
            found.append(
                {
                    "span": name,
                    "readings": readings,
                    "wanted": wanted,
                    "rate": rate,
                    "streams": rates,
                }
            )
    return found


def nab(folder: Path, store: Path) -> list[Record]:
    """The score of anomalies, and of surprises as they are.

    The artificial files teach one bundle together, by their rows on probation; it serves every file
    on their grid, also the one that it never saw. The file on another grid teaches its own.
    """
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    paths = {name: folder / "data" / name for name in windows}
    panels = {
        name: make_panel(read_history(path), GRIDS.get(path.name, FINE))
        for name, path in paths.items()
    }
    artificial = [name for name in panels if name.startswith("artificial")]
    together = replace(
        panels[artificial[0]],
        streams=artificial,
        values=np.concatenate([panels[name].values for name in artificial]),
    )
    fine = _on_probation(together, store)
    scored: dict[str, list[Scored]] = {"anomaly": [], "surprise": []}
    for name, panel in panels.items():
        found = served(fine if panel.interval_ms == FINE else _on_probation(panel, store), panel)
        for measure, column in found.items():
            scored[measure].append(_of_file(paths[name], panel, column, windows[name]))
    return [
        {"task": name, "score": best(files).score, "files": len(files)}
        for name, files in scored.items()
    ]


def _on_probation(panel: Panel, store: Path) -> Runtime:
    """A bundle fitted on the probationary rows of a panel."""
    rows = len(panel)
    learned = probation(rows)
    split = Split(int(FIT * learned), learned, rows)
    return load_runtime(trained(panel, Recipe("ar", 12, seasons_ms=(DAY,)), split, store))


def _of_file(
    path: Path, panel: Panel, column: Float64, marked: Sequence[tuple[str, str]]
) -> Scored:
    """Scores by row of the file, which may lack rows of the grid, and the rows of the windows."""
    with path.open(newline="") as file:
        stamps = [row[0] for row in csv.reader(file)][1:]
    times = np.array(stamps, "M8[ms]").astype(np.int64)
    at = np.searchsorted(panel.timestamps, times, side="right") - 1
    return Scored(
        column[0, at],
        [(stamps.index(first[:19]), stamps.index(last[:19])) for first, last in marked],
    )
