"""Readings that hold: what `time.hold_s` puts into the steps between two readings of a stream, in
place of missing values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eddycast.service.records import Float64, Int64
from eddycast.service.state.arena import Arena
from eddycast.service.state.own_tensors import HELD


class Held(NamedTuple):
    """Readings [n, channels] that hold for the first `steps` int64 [n] steps of a gap."""

    values: Float64
    steps: Int64

    def of(self, which: Int64) -> Held:
        """Those of some rows."""
        return Held(self.values[which], self.steps[which])

    def at(self, step: int, count: int) -> Float64:
        """Values [count, channels] of the first rows at a step of their gaps; NaN = missing."""
        held = self.steps[:count, None] > step
        return np.where(held, self.values[:count], np.nan)


class Holding:
    """The last reading of each row, of which a part may be missing."""

    def __init__(self, arena: Arena, steps: int) -> None:
        """A reading holds for up to `steps` steps."""
        self._arena, self._steps = arena, steps

    def reach(self, slots: Int64) -> Int64:
        """Number of steps for which the last reading of each row holds, int64 [n]: none if there is
        no reading, or all of it is missing."""
        held = self._arena.gather(slots, [HELD])[HELD]
        known = (held[:, 0] > 0) & ~np.isnan(held[:, 1:]).all(axis=1)
        return np.where(known, self._steps, 0)

    def over(self, slots: Int64, missing: Int64) -> Held:
        """Values to hold over gaps of `missing` int64 [n] steps."""
        values = self._arena.gather(slots, [HELD])[HELD][:, 1:]
        return Held(values, np.minimum(missing, self.reach(slots)))

    def keep(self, slots: Int64, values: Float64) -> None:
        """Store the readings [n, channels] of steps."""
        known = np.ones((len(slots), 1))
        self._arena.scatter(slots, {HELD: np.concatenate([known, values], axis=1)})
