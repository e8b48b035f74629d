"""The rule for silent streams: no reading for several times the usual gap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Float64, Int64

#: A stream is not called silent before this, ms.
SHORTEST_MS = 10_000


def silence_ms(arrived: Int64, now_ms: int) -> Float64:
    """Time since the last records, which arrived at [n], by the wall clock."""
    return np.maximum(now_ms - arrived, 0).astype(np.float64)


def is_silent(arrived: Int64, rhythms_ms: Float64, now_ms: int, after: float) -> NDArray[np.bool_]:
    """True where nothing has come for `after` times the rhythm, the usual gap [n]."""
    return silence_ms(arrived, now_ms) > np.maximum(after * rhythms_ms, SHORTEST_MS)
