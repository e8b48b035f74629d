"""Amount of work per turn, estimated from the latest work.
Decides where a poll is cut, never what is computed.

A turn that is too long makes the group expel this member, a liveness probe fail, and the broker
abort the transaction; the same work then starts over. So a turn ends with a commit once its time is
up, and the rest of its records is read again in the next turn. Polls then take little more than a
turn can process: otherwise a backlog is read as a whole, and thrown away, for each part of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Weight of earlier measurements after each new one.
_FADE = 0.5
#: Estimate before the first measurement: units of cost, and s each.
#: A large graph on a slow machine takes that long.
_UNITS, _UNIT_S = 64.0, 0.01
#: Seconds assumed where the clock did not advance.
_LEAST_S = 1e-6
#: Fraction of a turn that a chunk should take.
_CHUNK = 0.5
#: Records of a poll before any turn was too long: no limit.
_ALL = 1 << 40


class Pace:
    """Seconds per unit of cost (`demand.cost`), the end of the turn, and the size of the next poll.
    Used by the polling thread alone."""

    def __init__(self, turn_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A turn should take about `turn_s`, at most half as long again."""
        self._turn_s, self._clock = turn_s, clock
        self._units, self._seconds = _UNITS, _UNITS * _UNIT_S
        self._worked, self._at = 0.0, clock()
        #: Maximum number of records of the next poll.
        self.limit = _ALL

    @property
    def chunk(self) -> float:
        """Cost of one chunk of work; the time is checked after each."""
        return _CHUNK * self._turn_s * self._units / max(self._seconds, _LEAST_S)

    def begin(self) -> None:
        """Start the work of a turn."""
        self._worked, self._at = 0.0, self._clock()

    def go_on(self) -> None:
        """Start a chunk. Time since the one before, such as a commit, is not work:
        a slow broker must not make chunks smaller."""
        self._at = self._clock()

    def did(self, cost: float) -> None:
        """Note work of this cost, done since `begin` or `go_on`."""
        took = self._clock() - self._at
        self._worked += took
        self._units = _FADE * self._units + cost
        self._seconds = _FADE * self._seconds + took

    @property
    def is_over(self) -> bool:
        """True once the work of the turn has taken `turn_s`."""
        return self._worked >= self._turn_s

    def end(self, served: int, fetched: int) -> None:
        """End a turn that processed `served` of `fetched` records. If some are left, the next poll
        takes at most twice those; after each turn that leaves none, twice as many as before. Empty
        polls, which follow while records are fetched again, change nothing."""
        if served < fetched:
            self.limit = 2 * served
        elif fetched:
            self.limit = min(2 * self.limit, _ALL)
