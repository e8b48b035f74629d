"""Workers as real processes, with the time-outs of a chaos run: killed, frozen, ended.
None outlives the fleet."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from eddycast.service.settings.settings import PREFIX

ROOT = Path(__file__).parents[2]
#: Recovery takes as long as these say: about two seconds, where the defaults take ten and more.
HURRIED = {
    "KAFKA__SESSION_TIMEOUT_MS": "2000",
    "KAFKA__HEARTBEAT_INTERVAL_MS": "500",
    "KAFKA__TRANSACTION_TIMEOUT_MS": "2000",
    "KAFKA__DELIVERY_TIMEOUT_MS": "1500",
    "KAFKA__REQUEST_TIMEOUT_MS": "1400",
}
#: Log events of a worker that begins to serve a partition, and of one that stops serving it.
_RESTORED, _LOST = "partition restored", "partitions lost"
_SWITCHED = "another champion is served"
_GONE = ("partitions handed over", _LOST)


@dataclass(frozen=True, slots=True)
class Build:
    """The program of a worker, and its further settings."""

    command: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)

    def delivering(self, delivery: str) -> Build:
        """The same with `exactly_once` or `at_least_once`."""
        return replace(self, settings={**self.settings, _DELIVERY: delivery})

    @property
    def may_repeat(self) -> bool:
        """True if its outputs may be repeated."""
        return self.settings.get(_DELIVERY) == "at_least_once"


_DELIVERY = "COMMIT__DELIVERY"
WHOLE = Build(("-m", "eddycast.service", "serve"))


class Stuck(Exception):
    """Something that must happen did not, in the time it was given."""


class Worker:
    """One process of the service and its log."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], log: Path) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        variables = {PREFIX + name: value for name, value in settings.items()}
        self.log = log
        self._kills_itself = "FAULTS__KILL_AT" in settings and "FAULTS__FREEZE" not in settings
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                env=inherited | {"OMP_NUM_THREADS": "1"} | variables,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                preexec_fn=_forget_nohup,
            )

    @property
    def name(self) -> str:
        return self.log.stem

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code; None while the process lives."""
        return self._process.poll()

    def holds(self) -> set[int]:
        """The partitions that it serves, by its own log."""
        held: set[int] = set()
        for said in self._events():
            if said["event"] == _RESTORED:
                held.add(said["partition"])
            elif said["event"].startswith(_GONE):
                held -= set(said["partitions"])
        return held

    def generation(self) -> int:
        """Number of the last change of champion that it has switched to; 0 for none."""
        events = self._events()
        return max((e["generation"] for e in events if e["event"] == _SWITCHED), default=0)

    def losses(self) -> int:
        """Number of times its partitions were lost to another worker."""
        return sum(said["event"].startswith(_LOST) for said in self._events())

    @property
    def was_to_die(self) -> bool:
        """True if it ended at the crash point that it was started with."""
        return self._kills_itself and self.code == -signal.SIGKILL

    @property
    def is_frozen(self) -> bool:
        """True between SIGSTOP and SIGCONT."""
        return self.code is None and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; ignored if the process is gone."""
        self._process.send_signal(number)

    def wait(self, within_s: float) -> int:
        """Wait for the exit code. Raises Stuck."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise Stuck(f"{self.name} did not end in {within_s:g} s, see {self.log}") from None

    def _events(self) -> Iterator[dict[str, Any]]:
        """The events in its log, from complete lines."""
        for line in self.log.read_text(errors="replace").splitlines():
            if (
                line.startswith("{")
                and line.endswith("}")
                and "event" in (said := json.loads(line))
            ):
                yield said

    def tail(self, lines: int = 5) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Fleet:
    """The workers of one group. A context manager: at its end all are killed."""

    def __init__(self, settings: Mapping[str, str], logs: Path, build: Build = WHOLE) -> None:
        self._settings, self._logs, self._command = (
            {**settings, **build.settings},
            logs,
            build.command,
        )
        self._started = 0
        self.alive: list[Worker] = []
        #: Workers that ended by themselves, with the last lines of their logs.
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.alive:
            worker.signal(signal.SIGKILL)
            worker.wait(10.0)
        self.alive.clear()

    def start(self, **more: str) -> Worker:
        """A new worker, which takes some seconds to join."""
        self._started += 1
        log = self._logs / f"worker-{self._started}.log"
        self.alive.append(Worker(self._command, self._settings | more, log))
        return self.alive[-1]

    def serving(self) -> list[Worker]:
        """Those that hold partitions."""
        return [worker for worker in self.alive if worker.code is None and worker.holds()]

    def choose(self, draw: random.Random, within_s: float = 60.0) -> Worker:
        """A random worker among those that serve. Raises Stuck."""
        await_true(self.serving, within_s, "no worker serves anything")
        return draw.choice(self.serving())

    def remove(self, worker: Worker) -> None:
        """It is known why this one is gone, or about to go."""
        self.alive.remove(worker)

    def look(self) -> None:
        """Note who ended by itself, and why; it is started again as a supervisor would."""
        for worker in [worker for worker in self.alive if worker.code is not None]:
            self.alive.remove(worker)
            if not worker.was_to_die:
                self.failed.append(f"{worker.name} ended with {worker.code}:\n{worker.tail()}")
                self.start()

    def stop(self, within_s: float = 120.0) -> None:
        """End all as a person would. Raises Stuck; one that ends badly is noted."""
        for worker in self.alive:
            worker.signal(signal.SIGTERM)
        for worker in list(self.alive):
            if worker.wait(within_s):
                self.failed.append(
                    f"{worker.name} ended with {worker.code} after SIGTERM:\n{worker.tail()}"
                )
            self.alive.remove(worker)


def _forget_nohup() -> None:
    """A process ignores SIGHUP if its parent does, as when the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def await_true(
    holds: Callable[[], object], within_s: float, otherwise: str, every_s: float = 0.02
) -> None:
    """Returns when it holds. Raises Stuck."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise Stuck(f"{otherwise} ({within_s:g} s)")
        time.sleep(every_s)
