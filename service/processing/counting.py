"""The number of readings of a step as a channel, of a model with `count_channel`: each reading
brings 1 in its last channel, which is added up where the others are aggregated."""

from __future__ import annotations

import numpy as np

from eddycast.service.records import Float64


def with_counts(values: Float64) -> Float64:
    """Values [n, channels] with one channel more: 1, or 0 where a reading has no value at all."""
    seen = ~np.isnan(values).all(axis=1, keepdims=True)
    return np.concatenate([values, seen.astype(np.float64)], axis=1)
