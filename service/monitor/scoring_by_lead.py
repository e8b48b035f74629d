"""Scores of the forecasts that had been made for a reading, by lead: each is compared with the
reading, and so are the last value and the seasonal naive forecast of the same moment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor.decode import Forecasts
from eddycast.service.monitor.ring import Ring, Rows
from eddycast.service.monitor.shape import Shape
from eddycast.service.monitor.windows import MEASURES
from eddycast.service.records import Float64, Int64


def score_by_lead(
    shape: Shape, ring: Ring, rows: Rows, indexes: Int64, new: Forecasts, season_ms: int | None
) -> NDArray[np.float64]:
    """Return `windows.MEASURES` [n, leads, measures] of what was forecast for the readings of
    `new`, which are in `ring` at `indexes`; zeros where nothing can be scored."""
    half, levels = shape.interval_ms // 2, np.array(shape.quantiles)
    found = np.zeros((len(rows), len(shape.remembered), len(MEASURES)))
    for column, lead in enumerate(shape.remembered):
        lead_ms = lead * shape.interval_ms
        if lead == 1:
            made, exists, quantiles = indexes - 1, indexes > ring.begins[rows], new.expected
        else:
            made, exists = ring.near(rows, new.stamps - lead_ms, half, indexes)
            quantiles = np.where(exists[:, None], ring.quantiles_at(rows, made, column), np.nan)
        last = np.where(exists, ring.last_values(rows, made), np.nan)
        seasonal = _seasonal(ring, rows, indexes, new.stamps, lead_ms, season_ms, half)
        found[:, column] = _measures(new.values, quantiles, levels, shape.middle, last, seasonal)
    return found


def _seasonal(
    ring: Ring,
    rows: Rows,
    indexes: Int64,
    stamps: Int64,
    lead_ms: int,
    season_ms: int | None,
    tolerance_ms: int,
) -> Float64:
    """Values one or more whole seasons before `stamps`, known when the forecast was made;
    NaN where the ring does not reach that far."""
    if season_ms is None:
        return np.full(len(rows), np.nan)
    back_ms = -(-lead_ms // season_ms) * season_ms
    found, exists = ring.near(rows, stamps - back_ms, tolerance_ms, indexes)
    return np.where(exists, ring.values(rows, found), np.nan)


def _measures(
    values: Float64,
    quantiles: Float64,
    levels: Float64,
    middle: int,
    last: Float64,
    seasonal: Float64,
) -> NDArray[np.float64]:
    """Return the `windows.MEASURES` of each forecast; zeros where nothing can be scored.

    `values` [n] are the readings, `quantiles` [n, levels] what was forecast for them, `last` [n]
    the last value when the forecast was made, `seasonal` [n] that of the seasonal naive forecast;
    NaN where there is none.
    """
    difference = values[:, None] - quantiles
    error = np.abs(difference[:, middle])
    scored = np.isfinite(error)
    pinball = np.maximum(levels * difference, (levels - 1) * difference).mean(axis=1)
    covered = (quantiles[:, 0] <= values) & (values <= quantiles[:, -1])
    columns = [scored.astype(np.float64), error, pinball, covered.astype(np.float64)]
    for naive in (last, seasonal):
        naive_error = np.abs(values - naive)
        known = scored & np.isfinite(naive_error)
        columns += [known.astype(np.float64), np.where(known, naive_error, 0.0)]
    return np.where(scored[:, None], np.stack(columns, axis=1), 0.0)
