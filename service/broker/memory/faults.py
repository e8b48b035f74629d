"""Faults that a test orders from the in-process broker."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from service.errors import (
    BrokerError,
    BrokerUnavailable,
    CommitUnknown,
    MembershipLost,
    ProduceFailed,
    TransactionFailed,
)

#: What may fail, and how if the test does not say.
FAULTS: dict[str, type[BrokerError]] = {
    "poll": BrokerUnavailable,
    "committed": BrokerUnavailable,
    "read": BrokerUnavailable,  # the reader's poll
    "end": BrokerUnavailable,  # the reader's question for the high watermark
    "producer": BrokerUnavailable,  # a new one
    "commit": MembershipLost,  # the consumer's
    "produce": ProduceFailed,  # the column is not stored; `flush` says so
    "flush": ProduceFailed,  # the records are stored all the same
    "begin": TransactionFailed,
    "probe": TransactionFailed,
    "send_offsets": TransactionFailed,
    "transaction": TransactionFailed,  # the producer's commit: aborted
    "answer": CommitUnknown,  # the producer's commit happens, and nobody says so
}


class Faults:
    """What fails next. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ordered: dict[str, list[BrokerError]] = defaultdict(list)
        self._stalled_since: float | None = None
        self._asleep = False

    def add(self, what: str, times: int, error: BrokerError | None) -> None:
        """Order `times` faults. Raises ValueError for something that cannot fail."""
        if what not in FAULTS:
            raise ValueError(f"{what!r} cannot fail, only {', '.join(FAULTS)} can")
        with self._lock:
            self._ordered[what] += [error or FAULTS[what](f"{what} fails on demand")] * times

    def strike(self, what: str) -> None:
        """Raise the next fault ordered for `what`, if there is one."""
        with self._lock:
            error = self._ordered[what].pop(0) if self._ordered[what] and not self._asleep else None
        if error is not None:
            raise error

    @contextmanager
    def sleep(self) -> Iterator[None]:
        """While the block lasts nothing fails: what was ordered waits."""
        self._asleep = True
        try:
            yield
        finally:
            self._asleep = False

    @contextmanager
    def stall(self) -> Iterator[None]:
        """While the block lasts every poll comes back empty, as with a broker that does not answer fetches."""
        self._stalled_since = time.monotonic()
        try:
            yield
        finally:
            self._stalled_since = None

    @property
    def stalled(self) -> bool:
        """Whether fetches are not answered."""
        return self._stalled_since is not None

    def silence_s(self) -> float:
        """For how long that has been so."""
        return 0.0 if self._stalled_since is None else time.monotonic() - self._stalled_since
