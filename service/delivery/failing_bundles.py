"""When the bundle is to blame: more than one in a hundred of a minute's records fails for what the graph makes of it.

A record that breaks the graph alone, or whose forecast its topic does not take, becomes a dead letter. If that happens
to many, dead letters of good records would be all that the bundle leaves.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from service.errors import BundleError

#: Errors of dead letters that the bundle may be to blame for.
ERRORS = frozenset({"failed", "forecast_too_large"})
_WINDOW_S = 60.0
#: Failed records that are too many: of all in the window, and at least so many, so that one bad record ends nothing.
_SHARE, _LEAST = 0.01, 5


class Failures:
    """Records of the last minute, and those of them that failed. Belongs to the thread that polls."""

    def __init__(self, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`model` is named when it is to blame."""
        self._model, self._clock = model, clock
        self._committed: deque[tuple[float, int, int]] = deque()  # when, records, failed
        self._records = self._failed = 0  # since the last commit

    def served(self, records: int, errors: Iterable[str]) -> None:
        """So many records are to be committed next, with dead letters of these errors among them. Raises BundleError
        when too many have failed: before anything of them is committed."""
        self._records += records
        self._failed += sum(error in ERRORS for error in errors)
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
                "serve another version: the last records are read again; dead letters say how those before failed",
            )

    def committed(self) -> None:
        """What was served is durable."""
        self._committed.append((self._clock(), self._records, self._failed))
        self.undone()

    def undone(self) -> None:
        """What was served since the last commit is served again."""
        self._records = self._failed = 0
