"""Lines that come back: the first at once, others no more often than they are worth reading."""

from __future__ import annotations

import time
from collections.abc import Callable


class Throttle:
    """Allows a line once every `every_s`, each kind of line by itself."""

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._last: dict[str, float] = {}

    def is_due(self, kind: str = "") -> bool:
        """Whether to write such a line now; if so, it counts as written."""
        now, last = self._clock(), self._last.get(kind)
        if last is not None and now - last < self._every_s:
            return False
        self._last[kind] = now
        return True

    def put_off(self, kind: str = "") -> None:
        """No such line for the next `every_s`, as if one had just been written."""
        self._last[kind] = self._clock()
