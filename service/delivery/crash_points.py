"""Testing only: named points at which this process is killed with SIGKILL, as by a power failure,
or frozen or delayed to test a signal at that moment. Without a setting that names a point nothing
happens."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def kill_this_process() -> None:
    """Send SIGKILL: no handler runs, nothing is flushed or closed."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze_this_process() -> None:
    """Send SIGSTOP: every thread stops, heartbeats included, until SIGCONT arrives."""
    os.kill(os.getpid(), signal.SIGSTOP)


def pause(seconds: float) -> None:
    """Delay this thread; signals still arrive."""
    time.sleep(seconds)


class CrashPoint:
    """Called with the name of each point that the service reaches."""

    def __init__(
        self, place: str | None = None, after: int = 1, kill: Callable[[], None] = kill_this_process
    ) -> None:
        """`kill` is called when `place` is reached for the `after`-th time."""
        self._place, self._left, self._kill = place, after, kill

    def __call__(self, place: str) -> None:
        """Note that `place` was reached."""
        if place == self._place:
            self._left -= 1
            if self._left == 0:
                self._kill()
