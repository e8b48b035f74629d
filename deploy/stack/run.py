"""Starts the groups of processes in order, watches over them, and stops them in reverse."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from deploy.stack.folder import RunFolder
from deploy.stack.process import Phase, Process, Program
from deploy.stack.screen import Screen

_LOOK_EVERY_S = 0.2


class ProcessDied(Exception):
    """A process ended unasked, or was not ready in time."""

    def __init__(self, process: Process) -> None:
        super().__init__(f"{process.program.name}: {process.why()}")
        self.process = process


class Stack:
    """All processes that were started, oldest group first."""

    def __init__(self, folder: RunFolder, screen: Screen, stop: threading.Event) -> None:
        self._folder, self._screen, self._stop = folder, screen, stop
        self._groups: list[list[Process]] = []

    def start(self, group: Sequence[Program]) -> bool:
        """Start a group and wait until all of it is ready or done; False if asked to stop.
        Raises ProcessDied."""
        started: list[Process] = []
        self._groups.append(started)
        started.extend(Process(program, self._folder) for program in group)
        self._show()
        while any(process.phase is Phase.STARTING for process in started):
            self._look()
            if self._stop.wait(_LOOK_EVERY_S):
                return False
        return True

    def watch(self, seconds: float) -> None:
        """Watch until asked to stop, at most so long. Raises ProcessDied."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stop.wait(_LOOK_EVERY_S):
            self._look()

    def close(self) -> None:
        """Stop every process, the newest group first."""
        for group in reversed(self._groups):
            for process in group:
                process.terminate()
            for process in group:
                process.reap()
            self._show()

    def kill(self) -> None:
        """Kill every process at once; `close` then has nothing to wait for."""
        for process in self._all():
            process.kill()

    def _look(self) -> None:
        for process in self._all():
            process.look()
        self._show()
        for process in self._all():
            if process.phase is Phase.DIED:
                raise ProcessDied(process)

    def _show(self) -> None:
        self._screen.show(list(self._all()))

    def _all(self) -> Iterator[Process]:
        for group in self._groups:
            yield from group
