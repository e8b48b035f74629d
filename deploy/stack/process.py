"""One process of the stack: how it is started, when it is ready, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from deploy.guard import start_guarded
from deploy.stack.commands import PREFIX
from deploy.stack.folder import RunFolder

#: Address that everything listens on.
HOST = "127.0.0.1"
#: Lines of its log that are shown of a process that ended unasked.
LAST_LINES = 12
#: Limit for becoming ready, s; for ending after SIGTERM, s, which is longer than the service's own.
START_S, STOP_S = 300.0, 20.0

#: Callable (log) -> True if the process is ready.
Probe = Callable[[Path], bool]


class Phase(StrEnum):
    """Life of a process: starting, ready, and then one of the last three."""

    STARTING = "starting"
    READY = "ready"
    DONE = "done"  # ended by itself with code 0, as it should
    STOPPED = "stopped"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class Program:
    """A process before it is started. `ends` is True if it may end by itself with code 0."""

    name: str
    command: list[str]
    ready: Probe
    address: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    ends: bool = False
    within_s: float = START_S


def answers(url: str) -> Probe:
    """Probe that is true once a GET of `url` succeeds."""

    def probe(_log: Path) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    return probe


def never(_log: Path) -> bool:
    """Probe of a job, which is done or not."""
    return False


def logged(text: str) -> Probe:
    """Probe that is true once the log contains `text`."""
    return lambda log: text.encode() in log.read_bytes()


class Process:
    """A started program; none outlives this process."""

    def __init__(self, program: Program, folder: RunFolder) -> None:
        self.program = program
        self.phase = Phase.STARTING
        self.code: int | None = None
        self._log = folder.path / f"{program.name}.log"
        self._since = time.monotonic()
        self._guard = self._start(folder)

    def look(self) -> None:
        """Update the phase."""
        if self.phase not in (Phase.STARTING, Phase.READY):
            return
        self.code = self._guard.poll()
        if self.code is not None:
            done = self.program.ends and self.code == 0
            self.phase = Phase.DONE if done else Phase.DIED
        elif self.phase is Phase.STARTING:
            if self.program.ready(self._log):
                self.phase = Phase.READY
            elif time.monotonic() - self._since > self.program.within_s:
                self.phase = Phase.DIED

    def terminate(self) -> None:
        """Send SIGTERM unless it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL unless it has ended."""
        self._signal(signal.SIGKILL)

    def reap(self) -> None:
        """Wait until it has ended; SIGKILL after the limit."""
        try:
            self._guard.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        if self.phase in (Phase.STARTING, Phase.READY):
            self.code, self.phase = self._guard.returncode, Phase.STOPPED

    def why(self) -> str:
        """Its exit code, or the wait that was too long, for people."""
        if self.code is None:
            return f"not ready within {self.program.within_s:g} s"
        if self.code > 128 and self.code - 128 in set(signal.Signals):
            return f"exit code {self.code} ({signal.Signals(self.code - 128).name})"
        return f"exit code {self.code}"

    def last_lines(self) -> list[str]:
        """The end of its output."""
        return self._log.read_text(errors="replace").splitlines()[-LAST_LINES:]

    def _start(self, folder: RunFolder) -> subprocess.Popen[bytes]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        temporary = {"TMPDIR": str(folder.path)}
        environment = own | temporary | dict(self.program.variables)
        return start_guarded(
            self.program.command, self._log, held=folder.held, environment=environment
        )

    def _signal(self, number: Literal[signal.Signals.SIGTERM, signal.Signals.SIGKILL]) -> None:
        if self._guard.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._guard.pid, number)
