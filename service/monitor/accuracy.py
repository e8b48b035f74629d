"""Accuracy by lead, of one series in its own unit or of all of them in scales of each series."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor.board import Board, Place
from eddycast.service.monitor.panel import Panel
from eddycast.service.monitor.shape import Shape
from eddycast.service.monitor.windows import MEASURES, WINDOWS
from eddycast.service.records import Float64

#: Positions of the measures that have the unit of the readings.
_IN_UNITS = [MEASURES.index(name) for name in ("error", "pinball", "last_error", "season_error")]


def of_series(place: Place) -> dict[str, list[dict[str, Any]]]:
    """Accuracy of one series by window and lead, in the unit of its readings."""
    rows = np.array([place.row])
    stamps = place.panel.last_stamps(rows)
    return {
        window: _by_lead(place.panel.shape, place.panel.windows.totals(window, rows, stamps)[0])
        for window in WINDOWS
    }


def of_all(board: Board) -> list[dict[str, Any]]:
    """Accuracy of all series together, by shape, window and lead; errors are in scales of each
    series. Every series counts by its number of scored forecasts."""
    return [
        {
            "interval_ms": panel.shape.interval_ms,
            "quantiles": panel.shape.quantiles,
            "series": len(panel),
            "windows": {
                window: _by_lead(panel.shape, scaled_totals(panel, window)[1].sum(axis=0))
                for window in WINDOWS
            },
        }
        for panel in board.occupied()
    ]


def scaled_totals(panel: Panel, window: str) -> tuple[NDArray[np.intp], Float64]:
    """Rows of the series that have a scale, and their sums [n, leads, measures], those with a unit
    in scales."""
    rows = panel.rows()
    rows = rows[panel.scales[rows] > 0]
    totals = panel.windows.totals(window, rows, panel.last_stamps(rows))
    totals[..., _IN_UNITS] /= panel.scales[rows][:, None, None]
    return rows, totals


def mean(total: float | None, count: float | None) -> float | None:
    """None where nothing was counted, or nothing is known."""
    return total / count if count and total is not None else None


def _by_lead(shape: Shape, totals: Float64) -> list[dict[str, Any]]:
    lines = []
    for lead, sums in zip(shape.remembered, totals.tolist(), strict=True):
        found = dict(zip(MEASURES, sums, strict=True))
        error = mean(found["error"], found["n"])
        last = mean(found["last_error"], found["last_n"])
        seasonal = mean(found["season_error"], found["season_n"])
        lines.append(
            {
                "lead": lead,
                "lead_ms": lead * shape.interval_ms,
                "scored": int(found["n"]),
                "mae": error,
                "last_value_mae": last,
                "seasonal_naive_mae": seasonal,
                "of_last_value": mean(error, last),
                "of_seasonal_naive": mean(error, seasonal),
                "pinball": mean(found["pinball"], found["n"]),
                "coverage": mean(found["covered"], found["n"]),
                "nominal": shape.nominal,
            }
        )
    return lines
