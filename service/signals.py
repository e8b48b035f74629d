"""SIGTERM, ctrl-C and a hang-up of the terminal only set a flag; what to do is decided where the work is done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

#: Signals this soon after the first one are the same wish: `timeout` sends one to the process and one to its group, and
#: a terminal sends one to every process of a group, of which some pass theirs on.
_SAME_WISH_S = 0.2

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """While entered, a first signal sets `stop` and starts a countdown of `within_s` (None = endless).

    Every further signal, unless it comes at once, calls `insist` on the main thread, except a hang-up, which shell and
    kernel may both send; the end of the countdown calls it on a thread of its own, each with the reason. Enter it on
    the main thread; leaving it stops the countdown and restores the old handlers.
    """

    def __init__(self, insist: Callable[[str], None], within_s: float | None = None) -> None:
        self.stop = threading.Event()
        self._insist = insist
        self._first = 0.0
        self._before: dict[signal.Signals, Any] = {}
        self._countdown: threading.Timer | None = None
        if within_s is not None:
            self._countdown = threading.Timer(within_s, insist, (f"not done within {within_s:g} s",))
            self._countdown.daemon = True

    def __enter__(self) -> Self:
        for number in SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup: it is to outlive its terminal
            self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._countdown is not None:
            self._countdown.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        if self.stop.is_set():
            if number != signal.SIGHUP and time.monotonic() - self._first > _SAME_WISH_S:
                self._insist("a second signal")
            return
        self._first = time.monotonic()
        self.stop.set()
        if self._countdown is not None:
            self._countdown.start()
