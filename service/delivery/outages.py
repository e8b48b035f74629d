"""Errors that pass: counted always, said only when they do not."""

from __future__ import annotations

import time

from service.humanize import in_words
from service.observability.log import get_log
from service.observability.metrics import Metrics
from service.observability.throttle import Throttle

#: Said when it has lasted this long (every rebalance is one, for a moment), and then this often, s.
PATIENCE_S, EVERY_S = 2.0, 5.0
#: Pause before a second attempt, s; twice as long before each one after it, up to the other.
_PAUSE_S, _PAUSE_AT_MOST_S = 0.01, 0.5


class Trouble:
    """From the first error after things went well until they go well again."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._since: float | None = None
        self._times = 0
        self._throttle = Throttle(EVERY_S)
        self._last = ""

    @property
    def is_on(self) -> bool:
        """Whether the last attempt has failed."""
        return self._since is not None

    @property
    def lasting(self) -> str:
        """The last error, if things have gone wrong for a while; else nothing."""
        lasts = self._since is not None and time.monotonic() - self._since >= PATIENCE_S
        return self._last if lasts else ""

    @property
    def pause_s(self) -> float:
        """How long to wait before trying again: not at all after a first error."""
        return min(_PAUSE_S * 2.0 ** min(self._times - 2, 10), _PAUSE_AT_MOST_S) if self._times > 1 else 0.0

    def say(self, error: Exception) -> None:
        """Count an error, and name it if it is time to."""
        self._metrics.retries.labels(type(error).__name__).inc()
        now = time.monotonic()
        self._since = self._since or now
        self._times += 1
        self._last = in_words(error)
        if now - self._since >= PATIENCE_S and self._throttle.is_due():
            get_log().warning("waiting and trying again", reason=self._last)

    def over(self) -> None:
        """Things go well."""
        self._since, self._times = None, 0
