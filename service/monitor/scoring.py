"""Scores of forecasts against what came, in columns. Pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Float64


def measures(
    values: Float64,
    quantiles: Float64,
    levels: Float64,
    middle: int,
    last: Float64,
    seasonal: Float64,
) -> NDArray[np.float64]:
    """The `windows.MEASURES` of each forecast, zeros where nothing can be scored.

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
