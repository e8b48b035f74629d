"""The last minute of one worker: rates and latencies are differences of its counters."""

from __future__ import annotations

from collections import deque

from eddycast.service.monitor.workers.quantiles import Buckets
from eddycast.service.monitor.workers.scrape import RECORDS, Scrape

#: Interval of scrapes, and the time over which latencies are taken, s.
EVERY_S, WINDOW_S = 3.0, 60.0


class History:
    """Scrapes of one process, oldest first."""

    def __init__(self) -> None:
        self._scrapes: deque[Scrape] = deque()

    @property
    def last(self) -> Scrape | None:
        """The newest scrape."""
        return self._scrapes[-1] if self._scrapes else None

    def add(self, scrape: Scrape) -> None:
        """Add a scrape. Those of a process before a restart are forgotten, and those that are older
        than the window but for the newest of them."""
        held = self._scrapes
        if held and (held[-1].started_s != scrape.started_s or _is_less(scrape, held[-1])):
            held.clear()
        held.append(scrape)
        while len(held) > 2 and held[1].taken_s <= scrape.taken_s - WINDOW_S:
            held.popleft()

    def rate(self, name: str) -> float | None:
        """Increase of a counter per second between the last two scrapes."""
        if len(self._scrapes) < 2:
            return None
        before, last = self._scrapes[-2], self._scrapes[-1]
        gained = last.numbers.get(name, 0.0) - before.numbers.get(name, 0.0)
        return gained / (last.taken_s - before.taken_s)

    def latencies(self) -> dict[tuple[str, str], Buckets]:
        """Values of the window by histogram and stage; empty before there are two scrapes."""
        if len(self._scrapes) < 2:
            return {}
        first, last = self._scrapes[0].histograms, self._scrapes[-1].histograms
        return {key: buckets.since(first.get(key)) for key, buckets in last.items()}


def _is_less(scrape: Scrape, before: Scrape) -> bool:
    """True if a counter fell, as it does when the process has started anew."""
    return scrape.numbers[RECORDS] < before.numbers[RECORDS]
