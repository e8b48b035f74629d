"""Transient errors: always counted, logged only once they have lasted PATIENCE_S."""

from __future__ import annotations

import time

from eddycast.service.humanize import in_words
from eddycast.service.observability.log import get_log
from eddycast.service.observability.metrics import Metrics
from eddycast.service.observability.throttle import OUTAGE_S, Throttle

#: Errors are logged once they have lasted this long, s: every rebalance causes some for a moment.
PATIENCE_S = 2.0
#: Pause before the second retry, s; doubled for each further one, up to the maximum.
_PAUSE_S, _PAUSE_AT_MOST_S = 0.01, 0.5


class OutageLog:
    """Errors from the first one after a success until the next success."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._since: float | None = None
        self._times = 0
        self._throttle = Throttle(OUTAGE_S)
        self._last = ""

    @property
    def is_on(self) -> bool:
        """True if the last attempt failed."""
        return self._since is not None

    @property
    def lasting(self) -> str:
        """The last error once errors have lasted PATIENCE_S; empty otherwise."""
        lasts = self._since is not None and time.monotonic() - self._since >= PATIENCE_S
        return self._last if lasts else ""

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next attempt: none after a first error."""
        return (
            min(_PAUSE_S * 2.0 ** min(self._times - 2, 10), _PAUSE_AT_MOST_S)
            if self._times > 1
            else 0.0
        )

    def note(self, error: Exception) -> None:
        """Count an error, and log it if it is time to."""
        self._metrics.retries.labels(type(error).__name__).inc()
        now = time.monotonic()
        self._since = self._since or now
        self._times += 1
        self._last = in_words(error)
        if now - self._since >= PATIENCE_S and self._throttle.is_due():
            get_log().warning("waiting and trying again", reason=self._last)

    def end(self) -> None:
        """Note a success."""
        self._since, self._times = None, 0
