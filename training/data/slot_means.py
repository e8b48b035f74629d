"""Means of observed values: of the readings in each slot, and of the slots up to each row."""

from __future__ import annotations

import numpy as np

from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.service.records import Float64


def slot_means(history: History, interval_ms: int) -> History:
    """A history of the means of the values in each slot, stamped at its start.
    Raises DataError for several channels."""
    if history.channels:
        raise DataError(
            "readings of several channels are not averaged", "give DATA with the bundle's interval"
        )
    stamps, values = [], []
    for when, what in zip(history.timestamps, history.values, strict=True):
        observed = ~np.isnan(what)
        slots, index = np.unique(when[observed] // interval_ms, return_inverse=True)
        stamps.append(slots * interval_ms)
        values.append(
            np.bincount(index, what[observed], len(slots))
            / np.bincount(index, minlength=len(slots))
        )
    return History(list(history.streams), stamps, values, list(history.notes))


def trailing_means(values: Float64, width: int) -> Float64:
    """Means of the observed values among each row and the `width` - 1 rows before it, [streams, T];
    NaN if there are none."""
    if width == 1:
        return values
    means = np.empty(values.shape)
    for stream, own in zip(values, means, strict=True):  # the windows of all would not fit
        padded = np.concatenate([np.full(width - 1, np.nan), stream])
        windows = np.lib.stride_tricks.sliding_window_view(padded, width)
        observed = np.count_nonzero(~np.isnan(windows), axis=1)
        own[:] = np.where(
            observed > 0, np.nansum(windows, axis=1) / np.maximum(observed, 1), np.nan
        )
    return means
