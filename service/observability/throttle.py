"""A throttle for log lines and updates that recur: the first at once, others no more often than every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable


class Throttle:
    """Allows one action every `every_s`, each kind of action by itself."""

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._last: dict[str, float] = {}

    def is_due(self, kind: str = "") -> bool:
        """True if the action may happen now, which then counts as done."""
        now, last = self._clock(), self._last.get(kind)
        if last is not None and now - last < self._every_s:
            return False
        self._last[kind] = now
        return True

    def put_off(self, kind: str = "") -> None:
        """Count the action as done just now."""
        self._last[kind] = self._clock()

    def reset(self, kind: str = "") -> None:
        """Make the action due at once."""
        self._last.pop(kind, None)
