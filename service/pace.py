"""How much work fits into a turn, by how long the latest took. Decides where a poll is cut, never what comes out.

A turn that is too long is a member that the group throws out, a probe that fails, and a transaction that the broker
aborts, after which the same work begins anew. So a turn ends once its time is over, with a commit, and what is left of
its records is read again in the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Cost that was measured is forgotten by this share with each measurement.
_FADE = 0.5
#: Taken for granted before anything was measured: so many units, s each. A large graph on a slow machine takes as long.
_UNITS, _UNIT_S = 64.0, 0.01
#: A clock that did not move has measured this, s.
_LEAST_S = 1e-6
#: Share of a turn that a portion is to take.
_PORTION = 0.5


class Pace:
    """Seconds for a unit of cost (`demand.cost`), and the end of the turn. Belongs to the thread that polls."""

    def __init__(self, turn_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A turn is to take about `turn_s`, at most half as long again."""
        self._turn_s, self._clock = turn_s, clock
        self._units, self._seconds = _UNITS, _UNITS * _UNIT_S
        self._worked, self._at = 0.0, clock()

    @property
    def portion(self) -> float:
        """Cost of the work after which to look at the time again."""
        return _PORTION * self._turn_s * self._units / max(self._seconds, _LEAST_S)

    def begin(self) -> None:
        """A turn's work begins now."""
        self._worked, self._at = 0.0, self._clock()

    def go_on(self) -> None:
        """A portion begins now. What passed since the one before, as a commit that waits for its broker, is not work: a
        slow broker does not make portions smaller."""
        self._at = self._clock()

    def did(self, cost: float) -> None:
        """Work that cost this much was done since `begin` or `go_on`."""
        took = self._clock() - self._at
        self._worked += took
        self._units = _FADE * self._units + cost
        self._seconds = _FADE * self._seconds + took

    @property
    def is_over(self) -> bool:
        """Whether the turn has taken its time."""
        return self._worked >= self._turn_s
