"""Places where a test may kill the process: SIGKILL, as a machine that loses its power. Or hold it there, to see what
a signal does to it just then. Nothing happens unless the settings name a place, and nobody sets them outside tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def kill_this_process() -> None:
    """No handler runs, nothing is flushed or closed."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze_this_process() -> None:
    """Nothing of it runs until somebody sends SIGCONT, no heartbeat either."""
    os.kill(os.getpid(), signal.SIGSTOP)


def pause(seconds: float) -> None:
    """Signals arrive meanwhile."""
    time.sleep(seconds)


class FaultPoint:
    """Called with the name of each place that is passed."""

    def __init__(self, place: str | None = None, after: int = 1, kill: Callable[[], None] = kill_this_process) -> None:
        """`kill` is called when `place` is passed for the `after`-th time."""
        self._place, self._left, self._kill = place, after, kill

    def __call__(self, place: str) -> None:
        """This place is passed now."""
        if place == self._place:
            self._left -= 1
            if self._left == 0:
                self._kill()
