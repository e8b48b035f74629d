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
from service.delivery.checkpoint import Checkpoint
from service.delivery.options import Options
from service.delivery.outages import Trouble
from service.errors import AccessRefused, BrokerError, InstanceFenced


class Readiness:
    """Belongs to the thread that polls."""

    def __init__(
        self,
        consumer: Consumer,
        checkpoint: Checkpoint,
        trouble: Trouble,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer, self._checkpoint, self._trouble = consumer, checkpoint, trouble
        self._options, self._clock = options, clock
        self._proven: float | None = None

    def proven(self) -> None:
        """A transaction was committed now."""
        self._proven = self._clock()

    def prove(self, partition: int) -> None:
        """Commit an empty transaction that could write to this partition, if it is time. Raises what waiting does not
        cure: AccessRefused, InstanceFenced."""
        if not self._is_due():
            return
        options = self._options
        outputs = (options.output_topic, options.dead_letter_topic) if self._proven is None else ()
        try:
            self._checkpoint.probe(outputs, partition, options.commit_timeout_s)
        except (InstanceFenced, AccessRefused):
            raise
        except BrokerError as error:
            self._trouble.say(error)
            time.sleep(self._trouble.pause_s)
        else:
            self._trouble.over()
            self.proven()

    def missing(self) -> str:
        """What a forecast waits for; nothing if it could be committed."""
        silence = self._consumer.silence_s()
        if silence > self._options.session_s:
            return f"the group to answer: it has been silent for {silence:.0f} s"
        if lasting := self._trouble.lasting:
            return f"commits to succeed: {lasting}"
        return "a first transaction to be committed" if self._proven is None else ""

    def _is_due(self) -> bool:
        if self._consumer.silence_s() > self._options.session_s:
            return False  # it would only wait
        if self._proven is None or self._trouble.is_on:
            return True
        return self._clock() - self._proven > self._options.session_s
