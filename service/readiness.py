"""Whether a forecast could be committed now, by evidence: what the group and the last transactions have answered.

    the group has not answered for a session     not ready; found without a request, by the client's own heartbeats
    errors have lasted                           not ready, with the last of them
    nothing was committed for a session, idle    an empty transaction is committed: the transactional id is usable, its
                                                 coordinator answers, and the topics may be written

So a service whose commits would fail is not ready within two sessions, with records or without. While it commits, this
costs nothing. Outputs are part of the first empty transaction only: it leaves a control record, and readers of a topic
that gets no forecasts should not see its end move.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from service.broker.port import Consumer
from service.trouble import Trouble


class Readiness:
    """Belongs to the thread that polls."""

    def __init__(
        self, consumer: Consumer, trouble: Trouble, session_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`session_s` is how long evidence counts."""
        self._consumer, self._trouble = consumer, trouble
        self._session_s, self._clock = session_s, clock
        self._proven: float | None = None

    @property
    def is_first(self) -> bool:
        """Whether nothing was ever committed."""
        return self._proven is None

    @property
    def is_due(self) -> bool:
        """Whether it is time for an empty transaction, if there is nothing else to commit."""
        if self._consumer.silence_s() > self._session_s:
            return False  # it would only wait
        return self._proven is None or self._trouble.is_on or self._clock() - self._proven > self._session_s

    def proven(self) -> None:
        """A transaction was committed now."""
        self._proven = self._clock()

    def missing(self) -> str:
        """What a forecast waits for; nothing if it could be committed."""
        silence = self._consumer.silence_s()
        if silence > self._session_s:
            return f"the group to answer: it has been silent for {silence:.0f} s"
        if lasting := self._trouble.lasting:
            return f"commits to succeed: {lasting}"
        return "a first transaction to be committed" if self._proven is None else ""
