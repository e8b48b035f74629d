"""SIGTERM and ctrl-C only set a flag; what to do about it is decided where the work is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While entered, a first signal sets `stop`, and every further one calls `insist` (on the main thread).

    Enter it on the main thread; the earlier handlers come back at the end.
    """

    def __init__(self, insist: Callable[[], None]) -> None:
        self.stop = threading.Event()
        self._insist = insist
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        if self.stop.is_set():
            self._insist()
        self.stop.set()
