"""Stops a bundle that fails: more than one in a hundred of a minute's records failed in the graph
or at the output.

A record that makes the graph fail by itself, or whose forecast is too large for its topic, becomes
a dead letter. If that happened to many records, a faulty bundle would turn good records into dead
letters.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from eddycast.service.dead_letters.codes import CAUSED_BY_BUNDLE
from eddycast.service.errors import BundleError

_WINDOW_S = 60.0
#: Limits on failed records in the window: a fraction of all, and a number,
#: so that one bad record stops nothing.
_SHARE, _LEAST = 0.01, 5


class BundleFailures:
    """Records of the last minute, and how many of them failed. Used by the polling thread alone."""

    def __init__(self, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`model` is named in the error."""
        self._model, self._clock = model, clock
        # time of the commit, records, failed
        self._committed: deque[tuple[float, int, int]] = deque()
        self._records = self._failed = 0  # since the last commit

    def served(self, records: int, errors: Iterable[str]) -> None:
        """Count records of the next commit and the errors of their dead letters. Raises BundleError
        when too many failed, before any of them is committed."""
        self._records += records
        self._failed += sum(error in CAUSED_BY_BUNDLE for error in errors)
        oldest = self._clock() - _WINDOW_S
        while self._committed and self._committed[0][0] < oldest:
            self._committed.popleft()
        failed = self._failed + sum(entry[2] for entry in self._committed)
        if failed < _LEAST:
            return
        seen = self._records + sum(entry[1] for entry in self._committed)
        if failed > _SHARE * seen:
            raise BundleError(
                f"bundle {self._model}",
                "forecasts for good records",
                f"{failed} of {seen} records that failed within {_WINDOW_S:g} s",
                "serve another version: the latest records are read "
                "again; earlier failures are in the dead letters",
            )

    def committed(self) -> None:
        """Note a commit of everything counted so far."""
        self._committed.append((self._clock(), self._records, self._failed))
        self.undone()

    def undone(self) -> None:
        """Uncount the records since the last commit: they are read again."""
        self._records = self._failed = 0
