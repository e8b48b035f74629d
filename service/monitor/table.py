"""One line for every series, for lists and totals, in columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor.board import Board, Place
from eddycast.service.monitor.decode import Series
from eddycast.service.monitor.panel import Panel
from eddycast.service.monitor.silence import is_silent, silence_ms
from eddycast.service.monitor.windows import WINDOWS
from eddycast.service.records import Float64, Int64

#: Readings whose surprise decides the order by surprise.
SURPRISING = 16


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with an entry for each series, panel by panel."""

    series: list[Series]
    panels: list[Panel]  # of each series
    rows: NDArray[np.intp]
    stamps: Int64
    values: Float64
    one_step: Float64  # [n, 3]: lowest, middle and highest quantile
    counts: Int64
    warm: NDArray[np.bool_]
    surprise: Float64
    anomaly: Float64
    surprising: Float64  # the largest surprise of the last `SURPRISING` readings
    models: NDArray[np.uint16]
    appeared: Int64
    arrived: Int64
    rhythms_ms: Float64
    scales: Float64
    errors: dict[str, Float64]  # by window: scaled mean absolute error of one step

    def __len__(self) -> int:
        return len(self.series)

    def place(self, i: int) -> Place:
        """Panel and row of a series."""
        return Place(self.panels[i], int(self.rows[i]))

    def silent_ms(self, now_ms: int) -> Float64:
        """`silence_ms` of every series."""
        return silence_ms(self.arrived, now_ms)

    def silent(self, now_ms: int, after: float) -> NDArray[np.bool_]:
        """`is_silent` of every series."""
        return is_silent(self.arrived, self.rhythms_ms, now_ms, after)


def table(board: Board) -> Table:
    """The table of a board, whose lock is held."""
    panels = list(board.occupied())
    parts = [_part(panel) for panel in panels]
    if not parts:
        return _part(None)
    joined: dict[str, Any] = {}
    for name in Table.__slots__:
        columns = [getattr(part, name) for part in parts]
        if isinstance(columns[0], list):
            joined[name] = [item for column in columns for item in column]
        elif isinstance(columns[0], dict):
            joined[name] = {
                key: np.concatenate([column[key] for column in columns]) for key in columns[0]
            }
        else:
            joined[name] = np.concatenate(columns)
    return Table(**joined)


def _part(panel: Panel | None) -> Table:
    if panel is None:
        none, whole = np.zeros(0), np.zeros(0, np.int64)
        return Table(
            [], [], np.zeros(0, np.intp), whole, none, np.zeros((0, 3)), whole,
            np.zeros(0, np.bool_), none, none, none, np.zeros(0, np.uint16), whole, whole, none,
            none, dict.fromkeys(WINDOWS, none),
        )  # fmt: skip
    rows = panel.rows()
    ring, newest = panel.ring, panel.ring.counts[rows] - 1
    one_step = panel.one_step.latest[rows]
    back = np.maximum(newest[:, None] - np.arange(SURPRISING), ring.first(rows)[:, None])
    surprise = ring.surprise(rows[:, None], back)
    stamps = ring.stamps(rows, newest)
    series = [panel.series[row] for row in rows.tolist()]
    return Table(
        [one for one in series if one is not None],
        [panel] * len(rows),
        rows,
        stamps,
        ring.values(rows, newest),
        one_step[:, [0, panel.shape.middle, -1]],
        ring.counts[rows],
        ring.warm(rows, newest),
        surprise[:, 0],
        ring.anomaly(rows, newest),
        np.where(np.isnan(surprise), -np.inf, surprise).max(axis=1),
        ring.models(rows, newest),
        panel.appeared[rows],
        panel.arrived[rows],
        panel.rhythms_ms(rows),
        panel.scales[rows],
        {window: _scaled_error(panel, rows, stamps, window) for window in WINDOWS},
    )


def _scaled_error(panel: Panel, rows: NDArray[np.intp], stamps: Int64, window: str) -> Float64:
    """Mean absolute error of one step in scales of each series; NaN where nothing was scored."""
    count, error = panel.windows.one_step(window, rows, stamps)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = error / count / panel.scales[rows]
    return np.where(np.isfinite(scaled), scaled, np.nan)
