"""Looks at all workers every few seconds, on a thread of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, NamedTuple

from eddycast.service.monitor.clock import now_ms
from eddycast.service.monitor.workers.fetch import Answer, fetch
from eddycast.service.monitor.workers.history import EVERY_S, History
from eddycast.service.monitor.workers.names import Names, Worker
from eddycast.service.monitor.workers.scrape import CHARACTERS, parse_scrape
from eddycast.service.monitor.workers.seen import Seen
from eddycast.service.monitor.workers.view import workers_view
from eddycast.service.settings.host_port import HostPort

#: Part of the time that reading the answers takes at most, because the follower has less of the
#: processor meanwhile.
_PART = 0.05
#: Time-out of each answer, s, its size, and the number of workers that are asked at a time.
_WITHIN_S, _MOST, _AT_ONCE = 2.0, 4 << 20, 8


class Asked(NamedTuple):
    """The answers of one worker, or why there are none."""

    ready: Answer | None
    metrics: Answer | None
    at_s: float  # monotonic
    trouble: str = ""


class WorkerWatch:
    """Keeps the last minute of every worker that is in the setting now."""

    def __init__(self, given: Sequence[HostPort]) -> None:
        self.names = Names(given)
        self._seen: dict[Worker, Seen] = {}
        #: The latest view of the workers, replaced as a whole at every look.
        self.view: dict[str, Any] = workers_view((), None)

    def start(self, stop: threading.Event) -> None:
        """Look until `stop`, on threads that are not waited for, because they only read."""
        for work in (self.names.run, self._run):
            threading.Thread(target=work, args=(stop,), name="workers", daemon=True).start()

    def look(self, pool: ThreadPoolExecutor) -> float:
        """Look at every worker once; returns the time that reading the answers took, s."""
        workers = self.names.workers()
        asked = list(pool.map(_ask, workers))
        began = time.monotonic()
        self._seen = {
            worker: self._next(worker, answers)
            for worker, answers in zip(workers, asked, strict=True)
        }
        self.view = workers_view([*self._seen.values()], now_ms())
        return time.monotonic() - began

    def _run(self, stop: threading.Event) -> None:
        self.names.looked.wait(EVERY_S)
        pool = ThreadPoolExecutor(_AT_ONCE, "ask a worker")
        wait_s = 0.0
        while not stop.wait(wait_s):
            wait_s = max(EVERY_S, self.look(pool) / _PART)
        pool.shutdown(wait=False, cancel_futures=True)

    def _next(self, worker: Worker, asked: Asked) -> Seen:
        """The worker after this look."""
        before = self._seen.get(worker) or Seen(worker, History(), None)
        if asked.ready is None or asked.metrics is None:
            return before._replace(up=False, ready=False, trouble=asked.trouble)
        try:
            text = asked.metrics.body.decode("utf-8", "replace")
            before.history.add(parse_scrape(text, asked.at_s))
        except ValueError as error:
            return before._replace(up=False, ready=False, trouble=str(error)[:CHARACTERS])
        is_ready = asked.ready.status == HTTPStatus.OK
        reason = "" if is_ready else _reason(asked.ready)
        return Seen(worker, before.history, now_ms(), True, is_ready, reason)


def _ask(worker: Worker) -> Asked:
    """Ask a worker whether it is ready, and for its metrics."""
    at_s = time.monotonic()
    if worker.address is None:
        return Asked(None, None, at_s, worker.trouble)
    try:
        ready, metrics = (
            fetch(worker.address, path, _WITHIN_S, _MOST) for path in ("/ready", "/metrics")
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Asked(None, None, at_s, f"no answer: {why}"[:CHARACTERS])
    return Asked(ready, metrics, at_s)


def _reason(ready: Answer) -> str:
    """The reason in a worker's answer that it is not ready."""
    try:
        return str(json.loads(ready.body)["reason"])[:CHARACTERS]
    except (ValueError, LookupError, TypeError):
        return f"/ready answers {ready.status}"
