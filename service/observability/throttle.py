"""Throttle repeated log lines: the first at once, then at most one per period."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Periods of the lines that the service repeats, s: about each kind of bad data, about a broker
#: that does not answer, about a bundle that is waited for.
BAD_DATA_S, OUTAGE_S, WAITING_S = 60.0, 5.0, 5.0


class Throttle:
    """Allows one line per kind every `every_s` seconds."""

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._last: dict[str, float] = {}

    def is_due(self, kind: str = "") -> bool:
        """True if a line of this kind may be written now, which then counts as written."""
        now, last = self._clock(), self._last.get(kind)
        if last is not None and now - last < self._every_s:
            return False
        self._last[kind] = now
        return True

    def put_off(self, kind: str = "") -> None:
        """Suppress lines of this kind for a period, as if one had just been written."""
        self._last[kind] = self._clock()

    def reset(self, kind: str = "") -> None:
        """Allow the next line of this kind at once."""
        self._last.pop(kind, None)
