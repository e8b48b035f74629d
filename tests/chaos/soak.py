"""A long run with one undisturbed worker: python -m tests.chaos.soak --minutes 20 --nodes 1
--seed 1.

Workers beside it are killed, frozen, added and removed, the network stalls, garbage floods in; its
memory, threads and descriptors are measured all the time. Exits with 0 only if none of them grows
and nothing is lost, doubled or altered.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from types import TracebackType
from typing import NamedTuple, Self

import psutil

from tests.chaos.driver import Result, run
from tests.chaos.fleet import WHOLE, Worker
from tests.chaos.proxy import Site, site
from tests.chaos.schedule import Fault, draw_faults, kinds_for
from tests.chaos.table import is_clean, table

#: Maximum growth from the second quarter of a run to the last one:
#: bytes (and the share), threads, descriptors.
_MORE_BYTES, _MORE_SHARE, _MORE_THREADS, _MORE_FILES = 30 << 20, 0.15, 3, 12
#: More than there are ever workers, so that each newcomer has something to die at.
_PARTITIONS = 8


class Sample(NamedTuple):
    """Resources of a process at a moment."""

    at: float  # time.monotonic()
    memory: int  # resident, bytes
    threads: int
    files: int


@dataclass
class Steady:
    """A worker that is left alone, and what it holds. A context manager:
    at its end the worker is stopped."""

    every_s: float
    samples: list[Sample] = field(default_factory=list)
    ended: int | None = None
    _done: threading.Event = field(default_factory=threading.Event)

    def begin(self, settings: Mapping[str, str], logs: Path) -> Self:
        """Start the worker with these settings, and look at it from now on."""
        self._worker = Worker(WHOLE.command, settings, logs / "steady.log")
        self._thread = threading.Thread(target=self._look, name="soak", daemon=True)
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join(10)
        self._worker.signal(signal.SIGTERM)
        self.ended = self._worker.wait(30.0)

    def _look(self) -> None:
        process = psutil.Process(self._worker.pid)
        while not self._done.wait(self.every_s):
            try:
                held = Sample(
                    time.monotonic(),
                    process.memory_info().rss,
                    process.num_threads(),
                    process.num_fds(),
                )
            except psutil.NoSuchProcess:  # its exit code is checked at the end
                return
            self.samples.append(held)


def growth(samples: Sequence[Sample]) -> list[str]:
    """Descriptions of what has grown from the second quarter of the samples to the last;
    the first is the start."""
    quarter = len(samples) // 4
    if not quarter:
        return ["too few samples to say anything"]
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    said = []
    before, after = mean(s.memory for s in early), mean(s.memory for s in late)
    if after > before * (1 + _MORE_SHARE) + _MORE_BYTES:
        said.append(f"memory: {before / 1e6:.0f} MB, then {after / 1e6:.0f} MB")
    for name, more in (("threads", _MORE_THREADS), ("files", _MORE_FILES)):
        most, then = max(getattr(s, name) for s in early), max(getattr(s, name) for s in late)
        if then > most + more:
            said.append(f"{name}: {most}, then {then}")
    return said


def soak(
    place: Site, nodes: int, seconds: float, seed: int, kinds: Sequence[str] = ()
) -> tuple[Result, Steady]:
    """Disturb everything but one worker for so long, then compare with an undisturbed run."""
    steady = Steady(every_s=max(0.2, seconds / 240))
    faults = _until(time.monotonic() + seconds, seed, kinds or kinds_for(nodes))
    return run(place, faults, seed, _PARTITIONS, min(3, nodes), beside=steady.begin), steady


def _until(end: float, seed: int, kinds: Sequence[str]) -> Iterator[Fault]:
    for fault in draw_faults(1 << 30, seed, kinds):
        if time.monotonic() > end:
            return
        yield fault


def main() -> int:
    """Run and print; the exit code is 0 if exactly once holds."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.soak", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with site(asked.nodes) as place:
        result, steady = soak(place, asked.nodes, asked.minutes * 60, asked.seed)
    grown = growth(steady.samples)
    for said in [*result.failed, *grown, *([f"STUCK: {result.stuck}"] if result.stuck else [])]:
        print(said)
    most = [max(column) for column in list(zip(*steady.samples, strict=True))[1:]]
    print(
        f"\n{table([result])}\n"
        f"{len(steady.samples)} samples of the steady worker, which ended with {steady.ended}:"
    )
    print("at most {:.0f} MB, {} threads, {} descriptors".format(most[0] / 1e6, *most[1:]))
    return 0 if is_clean([result]) and not grown and steady.ended == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
