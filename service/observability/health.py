"""What a service tells a supervisor of itself; `service.observability.http_port` serves it.

Live: the polling thread has been heard from lately; a supervisor restarts a service that is not.
Ready: a forecast could be committed now (`readiness.py`); the reason stands in the answer while it could not.
"""

from __future__ import annotations

import time


class Health:
    """What the service says of itself. Written by the polling thread, read by the HTTP threads."""

    def __init__(self, stalled_after_s: float) -> None:
        self._stalled_after_s = stalled_after_s
        self._heard = time.monotonic()
        self._waiting_for = "starting"

    def beat(self) -> None:
        """Say that the polling thread is alive; once a turn."""
        self._heard = time.monotonic()

    def ready(self) -> None:
        """Forecasts are being served from now on."""
        self._waiting_for = ""

    def wait_for(self, what: str) -> None:
        """Forecasts are not being served until `what`, for people to read."""
        self._waiting_for = what

    def live_answer(self) -> tuple[bool, str]:
        """Whether to let it live, and why not."""
        silent = time.monotonic() - self._heard
        return silent < self._stalled_after_s, f"no turn for {silent:.1f} s"

    def ready_answer(self) -> tuple[bool, str]:
        """Whether forecasts are being served, and what is waited for if not."""
        return not self._waiting_for, self._waiting_for
