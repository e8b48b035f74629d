"""Liveness and readiness of the service, served by `http_port.py`.

Live: the polling thread has completed a turn recently. A supervisor restarts a service that is not
live. Ready: a forecast could be committed now (`delivery/readiness.py`); otherwise the answer
holds the reason.
"""

from __future__ import annotations

import time


class Health:
    """Written by the polling thread, read by the HTTP threads."""

    def __init__(self, stalled_after_s: float) -> None:
        self._stalled_after_s = stalled_after_s
        self._last_beat = time.monotonic()
        self._waiting_for = "starting"

    def beat(self) -> None:
        """Record a completed turn of the polling thread."""
        self._last_beat = time.monotonic()

    def ready(self) -> None:
        """Report that forecasts are being served."""
        self._waiting_for = ""

    def wait_for(self, what: str) -> None:
        """Report that the service is waiting for `what`, a text for people."""
        self._waiting_for = what

    def live_answer(self) -> tuple[bool, str]:
        """(live, reason): False when the polling thread has been silent for too long."""
        silent = time.monotonic() - self._last_beat
        return silent < self._stalled_after_s, f"no turn for {silent:.1f} s"

    def ready_answer(self) -> tuple[bool, str]:
        """(ready, reason): False, with the thing waited for,
        while no forecasts are being served."""
        return not self._waiting_for, self._waiting_for
