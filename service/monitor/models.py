"""Accuracy of all series together by model, window and lead, for metrics."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from eddycast.service.monitor.accuracy import mean, scaled_totals
from eddycast.service.monitor.board import Board
from eddycast.service.monitor.windows import MEASURES, WINDOWS
from eddycast.service.records import Float64

#: Models that are told apart, those that appeared last: each has metrics of its own.
MODELS = 8
_N = MEASURES.index("n")


def by_model(board: Board) -> list[dict[str, Any]]:
    """A line for each model, window and lead. A series counts for the model of its latest
    forecast, with all that was scored in the window. The lock of the board is held."""
    sums: dict[tuple[int, str, int], Float64] = defaultdict(lambda: np.zeros(len(MEASURES) + 1))
    for panel in board.occupied():
        for window in WINDOWS:
            rows, totals = scaled_totals(panel, window)
            models = panel.ring.models(rows, panel.ring.counts[rows] - 1)
            for model in np.unique(models).tolist():
                own = totals[models == model].sum(axis=0)
                for lead, measures in zip(panel.shape.remembered, own, strict=True):
                    nominal = panel.shape.nominal * measures[_N]
                    sums[model, window, lead] += np.r_[measures, nominal]
    latest = sorted({model for model, _, _ in sums})[-MODELS:]
    return [
        {"model": board.models[model], "window": window, "lead": lead} | _figures(found)
        for (model, window, lead), found in sums.items()
        if model in latest and found[_N]
    ]


def _figures(sums: Float64) -> dict[str, float | None]:
    *measures, nominal = sums.tolist()
    found = dict(zip(MEASURES, measures, strict=True))
    error = mean(found["error"], found["n"])
    return {
        "scored": found["n"],
        "scaled_error": error,
        "error_of_last_value": mean(error, mean(found["last_error"], found["last_n"])),
        "coverage": mean(found["covered"], found["n"]),
        "nominal_coverage": mean(nominal, found["n"]),
    }
