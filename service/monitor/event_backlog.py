"""Anomalies that wait to be written, with an upper bound on their number."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from eddycast.service.monitor.anomalies import Alarm


class Backlog:
    """The latest `limit` anomalies, and the number of those dropped before them. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._alarms: deque[Alarm] = deque(maxlen=limit)
        self._dropped = 0

    def add(self, alarms: Collection[Alarm]) -> None:
        """Add anomalies; the oldest make room."""
        with self._lock:
            self._dropped += max(0, len(self._alarms) + len(alarms) - self._limit)
            self._alarms.extend(alarms)

    def take(self) -> tuple[list[Alarm], int]:
        """Empty the backlog: its anomalies, and how many were dropped since it was empty last."""
        with self._lock:
            taken = list(self._alarms), self._dropped
            self._alarms.clear()
            self._dropped = 0
        return taken
