"""`python -m tests.bench.metering`: the part of a service's run that is spent on its metrics.

Every function that counts or observes is timed from outside, over the in-process broker, so that
nothing else waits. Scrapes are measured by themselves.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from prometheus_client import generate_latest

from eddycast.service import pipeline
from eddycast.service.delivery.assignment import Assignment
from eddycast.service.model.loading import load_runtime
from eddycast.service.observability.recorder import Latencies, Stopwatch
from eddycast.service.state.arena import Arena
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.running import AT_ONCE, Worker, memory_broker, send, worker

STREAMS, MINUTES, MINUTE = 2_000, 60, 60_000
#: Whose functions are timed, and their names.
TIMED: tuple[tuple[Any, str], ...] = (
    (pipeline, "count_forecasts"),
    (pipeline, "count_dead_letters"),
    (Latencies, "produced"),
    (Latencies, "acknowledged"),
    (Latencies, "committed"),
    (Stopwatch, "report"),
    (Assignment, "show"),
    (Arena, "young"),
)


class Meter:
    """Adds up the time inside of functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def call(*arguments: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - begin

        return call


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        write_bundle(Path(folder), Walk())
        broker = memory_broker(4)
        for minute in range(MINUTES):
            value = {"timestamp": START_MS + minute * MINUTE, "value": minute % 7}
            send(broker, [(s % 4, b"stream-%d" % s, value) for s in range(STREAMS)])
        subject, meter = worker(broker, load_runtime(Path(folder)), AT_ONCE), Meter()
        for owner, name in TIMED:
            timed = meter.timed(getattr(owner, name))
            stack.enter_context(patch.object(owner, name, timed))
        _report(subject, meter, _run(subject))


def _run(subject: Worker) -> float:
    begin = time.perf_counter()
    while subject.value("records_total") < STREAMS * MINUTES:
        subject.turn()
    return time.perf_counter() - begin


def _report(subject: Worker, meter: Meter, seconds: float) -> None:
    records = int(subject.value("records_total"))
    begin = time.perf_counter()
    text = generate_latest(subject.metrics.registry)
    scrape = time.perf_counter() - begin
    print(f"{records:,} records in {seconds:.2f} s, {records / seconds:,.0f} a second")
    print(
        f"metrics: {meter.seconds / seconds:.2%} of it, {meter.seconds / records * 1e6:.2f} us each"
    )
    print(f"a scrape: {scrape * 1e3:.1f} ms, {len(text):,} bytes")


if __name__ == "__main__":
    main()
