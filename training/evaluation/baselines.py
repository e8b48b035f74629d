"""The baselines of a backtest, in plain numpy: the last value, and the value one season before.

A missing value is replaced by the last one observed: at any time for `naive`, at the same phase of
the season for `seasonal_naive`, which falls back on `naive` for a phase never seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eddycast.service.records import Float64, Int64

#: Callable (stream [n], origin [n], ahead [leads], in rows of the panel) -> forecast [n, leads].
Baseline = Callable[[Int64, Int64, Int64], Float64]


def naive(values: Float64) -> Baseline:
    """The last value observed at or before the origin. `values` is [streams, T], NaN = missing."""
    filled = _last_observed(values, 1)

    def forecast(stream: Int64, origin: Int64, ahead: Int64) -> Float64:
        return np.repeat(filled[stream, origin][:, None], len(ahead), axis=1)

    return forecast


def seasonal_naive(values: Float64, season: int) -> Baseline:
    """The last value observed a whole number of seasons (of `season` rows) before the target and
    not after the origin."""
    filled, fallback = _last_observed(values, season), naive(values)

    def forecast(stream: Int64, origin: Int64, ahead: Int64) -> Float64:
        row = origin[:, None] + ahead - season * -(-ahead // season)
        found = np.where(row >= 0, filled[stream[:, None], np.maximum(row, 0)], np.nan)
        return np.where(np.isnan(found), fallback(stream, origin, ahead), found)

    return forecast


def _last_observed(values: Float64, season: int) -> Float64:
    """The last value observed at t, t - season, t - 2 season ..., [streams, T];
    NaN where there is none."""
    streams, length = values.shape
    seasons = -(-length // season)
    padded = np.full((streams, seasons * season), np.nan)
    padded[:, :length] = values
    folded = padded.reshape(streams, seasons, season)
    which = np.where(np.isnan(folded), 0, np.arange(seasons)[:, None])
    filled = np.take_along_axis(folded, np.maximum.accumulate(which, axis=1), axis=1)
    return filled.reshape(streams, -1)[:, :length]
