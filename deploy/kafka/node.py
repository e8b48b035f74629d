"""One Kafka node, run as a process that cannot outlive its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.guard import start_guarded
from deploy.kafka.jars import KafkaServerError

READY = b"Kafka Server started"


class Node:
    """A JVM and its log file; can be started, killed and frozen."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._alive: int | None = None  # read end of a pipe held open by all processes of the group
        self._started_at = 0
        self.log = log

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process without waiting; see `await_ready`."""
        self._started_at = self.log.stat().st_size if self.log.exists() else 0
        self._alive, held = os.pipe()
        self._process = start_guarded(self._command, self.log, held=held)
        os.close(held)

    def await_ready(self, deadline: float) -> None:
        """Wait until Kafka logs that it has started.
        Raises KafkaServerError with the end of the log.

        `deadline` is a monotonic time, s.
        """
        while READY not in self._output():
            if not self.running:
                raise KafkaServerError(
                    f"Kafka stopped while starting, see {self.log}:\n{self._tail()}"
                )
            if time.monotonic() > deadline:
                raise KafkaServerError(
                    f"Kafka did not start in time, see {self.log}:\n{self._tail()}"
                )
            time.sleep(0.05)

    def check(self) -> None:
        """Raise KafkaServerError with the end of the log if the node was started and has ended."""
        if self._process is not None and not self.running:
            raise KafkaServerError(f"Kafka ended by itself:\n{self._tail()}")

    def kill(self) -> None:
        """Kill the node with SIGKILL and wait until it is gone."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._reap()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the JVM and its guard."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Context in which the JVM is stopped (SIGSTOP):
        connections stay open, but nothing responds.

        On a busy machine threads continue for a while after the signal;
        the block starts when all are stopped.
        """
        self.signal(signal.SIGSTOP)
        try:
            while self._process is not None and not _is_stopped(self._process.pid):
                time.sleep(0.001)
            yield
        finally:
            self.signal(signal.SIGCONT)

    def _reap(self) -> None:
        """Wait until the last process is gone, because only then are its port and data free."""
        if self._process is None or self._alive is None:
            return
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        while os.read(self._alive, 1):
            pass
        os.close(self._alive)
        self._process = self._alive = None

    def _output(self) -> bytes:
        with self.log.open("rb") as log:
            log.seek(self._started_at)
            return log.read()

    def _tail(self) -> str:
        return self._output()[-3000:].decode(errors="replace")


def _is_stopped(group: int) -> bool:
    """True if every thread of a process group is stopped or gone, or if there is no /proc."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(_stat(process)[2]) == group and any(
                _stat(task)[0] not in "tTZX" for task in process.glob("task/*")
            ):
                return False
    return True


def _stat(folder: Path) -> list[str]:
    """Return the fields of /proc/…/stat after the name: state, parent, group, … (`man 5 proc`)."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
