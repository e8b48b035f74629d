"""Stop signals: SIGTERM, SIGINT and SIGHUP only set a flag;
the polling thread decides what to do."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

#: Signals within this time after the first one count as one, s: `timeout` signals both the process
#: and its group, and a terminal signals every process of a group, some of which forward it.
_SAME_SIGNAL_S = 0.2

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """Context in which the first signal sets `stop` and starts a countdown of `within_s` (None = no
    limit).

    Further signals call `insist` with the reason on the main thread, except those that count as the
    first one and SIGHUP, which shell and kernel may both send. The end of the countdown calls it on
    another thread. Must be entered on the main thread; leaving it stops the countdown and restores
    the previous handlers.
    """

    def __init__(self, insist: Callable[[str], None], within_s: float | None = None) -> None:
        self.stop = threading.Event()
        self._insist = insist
        self._first = 0.0
        self._before: dict[signal.Signals, Any] = {}
        self._countdown: threading.Timer | None = None
        if within_s is not None:
            self._countdown = threading.Timer(
                within_s, insist, (f"not done within {within_s:g} s",)
            )
            self._countdown.daemon = True

    def __enter__(self) -> Self:
        for number in SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup, to outlive the terminal
            self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._countdown is not None:
            self._countdown.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        if self.stop.is_set():
            if number != signal.SIGHUP and time.monotonic() - self._first > _SAME_SIGNAL_S:
                self._insist("a second signal")
            return
        self._first = time.monotonic()
        self.stop.set()
        if self._countdown is not None:
            self._countdown.start()
