"""One Kafka node as a process that cannot outlive whoever started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.kafka.jars import KafkaServerError

READY = b"Kafka Server started"
#: Runs its arguments and waits for them. When the writer of standard input is gone, however it went, so is the child.
_GUARD = """
exec 3<&0
"$@" </dev/null &
child=$!
(read -r _ <&3; kill -KILL $child) 2>/dev/null &
watch=$!
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
kill -KILL $watch 2>/dev/null
exit $code
"""


class Node:
    """A JVM, its log file, and how to end or freeze it."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._alive: int | None = None  # read end of a pipe that every process of the group holds open
        self._started_at = 0
        self.log = log

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; `await_ready` waits for it."""
        self._started_at = self.log.stat().st_size if self.log.exists() else 0
        self._alive, held = os.pipe()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "kafka", *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a ctrl-C in the terminal is ours to handle
                pass_fds=[held],
            )
        os.close(held)

    def await_ready(self, deadline: float) -> None:
        """Wait until Kafka says that it has started. Raises KafkaServerError with the end of the log."""
        while READY not in self._output():
            if not self.running:
                raise KafkaServerError(f"Kafka stopped while starting, see {self.log}:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise KafkaServerError(f"Kafka did not start in time, see {self.log}:\n{self._tail()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as when the machine loses power."""
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
        """While the block lasts the JVM is stopped (SIGSTOP): connections stay open, nothing is answered.

        On a busy machine threads run on for a while after the signal, and answer: the block begins when all rest."""
        self.signal(signal.SIGSTOP)
        try:
            while self._process is not None and not _at_rest(self._process.pid):
                time.sleep(0.001)
            yield
        finally:
            self.signal(signal.SIGCONT)

    def _reap(self) -> None:
        """Return when the last process is gone: only then are its port and its data free."""
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


def _at_rest(group: int) -> bool:
    """Whether every thread of a process group is stopped, or gone; where there is no /proc nobody can tell."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(_stat(process)[2]) == group and any(_stat(task)[0] not in "tTZX" for task in process.glob("task/*")):
                return False
    return True


def _stat(folder: Path) -> list[str]:
    """State, parent and group of a process or thread, and all that follows its name (`man 5 proc`)."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
