"""Dead letters by kind of error, with the latest examples of each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from eddycast.service.dead_letters.headers import OWN
from eddycast.service.dead_letters.letter import is_mark
from eddycast.service.records import Headers, PartitionBatch

#: Examples of each kind, kinds of errors, and characters of a text that are kept.
EXAMPLES, KINDS, CHARACTERS = 10, 100, 300
#: Headers that an example shows, without their prefix.
_SHOWN = ("reason", "topic", "partition", "offset")


class Letters:
    """Counts and examples; written by the follower of the dead letters, read by HTTP threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._examples: dict[str, deque[dict[str, Any]]] = {}

    @property
    def total(self) -> int:
        """Dead letters so far."""
        with self._lock:
            return sum(self._counts.values())

    def add(self, batches: Iterable[PartitionBatch]) -> None:
        """Count dead letters, and keep the latest ones."""
        with self._lock:
            for batch in batches:
                headers = batch.headers or [[]] * len(batch)
                for key, given, time in zip(
                    batch.keys, headers, batch.timestamps.tolist(), strict=True
                ):
                    if not is_mark(given):
                        self._add(key, _own(given), time)

    def _add(self, key: bytes | None, facts: dict[str, str], time: int) -> None:
        error = facts.get("error", "unknown")
        if error not in self._counts and len(self._counts) >= KINDS:
            error = "other"
        self._counts[error] = self._counts.get(error, 0) + 1
        example = {name: facts.get(name, "") for name in _SHOWN}
        shown = None if key is None else key[:CHARACTERS].decode(errors="replace")
        self._examples.setdefault(error, deque(maxlen=EXAMPLES)).append(
            {"time": time, "key": shown} | example
        )

    def view(self) -> dict[str, Any]:
        """Kinds of errors by number, with the latest examples first."""
        with self._lock:
            kinds = sorted(self._counts.items(), key=lambda kind: -kind[1])
            return {
                "total": sum(self._counts.values()),
                "errors": [
                    {"error": error, "count": count, "latest": [*reversed(self._examples[error])]}
                    for error, count in kinds
                ],
            }


def _own(headers: Headers) -> dict[str, str]:
    """Texts of the service's own headers, by name without prefix, cut."""
    return {
        name.removeprefix(OWN): value[:CHARACTERS].decode(errors="replace")
        for name, value in headers
        if name.startswith(OWN)
    }
