"""Evidence that a forecast could be committed now:
the latest answers of the group and the latest transactions.

    no answer from the group for a session  not ready; detected without a request, from the
                                            client's heartbeats
    errors have lasted                      not ready, with the last error
    idle, and no commit for a session       an empty transaction is committed, which tests the
                                            transactional id, its coordinator and the right to
                                            write to the topics

So a service whose commits would fail becomes unready within two sessions, with or without records.
While it commits records, this costs nothing. Only the first empty transaction includes the output
topics: it leaves a control record, and the end of a topic without forecasts should not move.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from eddycast.service.broker.port import Consumer
from eddycast.service.delivery.assignment import Assignment
from eddycast.service.delivery.checkpoint import Checkpoint
from eddycast.service.delivery.outages import OutageLog
from eddycast.service.delivery.partition import Partitions
from eddycast.service.errors import AccessRefused, BrokerError, InstanceFenced
from eddycast.service.observability.health import Health
from eddycast.service.settings.settings import Settings


class Readiness:
    """Used by the polling thread alone."""

    def __init__(
        self,
        consumer: Consumer,
        checkpoint: Checkpoint,
        partitions: Partitions,
        assignment: Assignment,
        outages: OutageLog,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer, self._checkpoint, self._outages = consumer, checkpoint, outages
        self._partitions, self._assignment = partitions, assignment
        self._topics, self._clock = settings.topics, clock
        self._commit_s, self._session_s = (
            settings.waits.commit_s,
            settings.kafka.session_timeout_ms / 1000,
        )
        self._proven: float | None = None
        self._in_group = False

    def show(self, health: Health) -> None:
        """Report ready, or what is missing."""
        if pending := self._partitions.pending:
            health.wait_for(f"the rows of partitions {', '.join(map(str, pending))}")
        elif self._in_group or self._has_joined():
            self._in_group = True  # while it joins again it keeps serving
            if missing := self.missing():
                health.wait_for(missing)
            else:
                health.ready()

    def proven(self) -> None:
        """Note a committed transaction."""
        self._proven = self._clock()

    def prove(self) -> None:
        """While there is nothing to commit, commit an empty transaction that covers a partition,
        if it is time. Raises AccessRefused, InstanceFenced, which no retry cures."""
        if not (self._in_group and self._is_idle() and self._is_due()):
            return
        partition = min(self._partitions.serving, default=0)
        outputs = (self._topics.output, self._topics.dead_letters) if self._proven is None else ()
        try:
            self._checkpoint.probe(outputs, partition, self._commit_s)
        except (InstanceFenced, AccessRefused):
            raise
        except BrokerError as error:
            self._outages.note(error)
            time.sleep(self._outages.pause_s)
        else:
            self._outages.end()
            self.proven()

    def missing(self) -> str:
        """Reason why no forecast can be committed; empty if one can."""
        silence = self._consumer.silence_s()
        if silence > self._session_s:
            return f"the group to answer: it has been silent for {silence:.0f} s"
        if lasting := self._outages.lasting:
            return f"commits to succeed: {lasting}"
        return "a first transaction to be committed" if self._proven is None else ""

    def _has_joined(self) -> bool:
        """True if the group has assigned partitions and all of them are served. The assignment may
        arrive only in the poll after the one that joined."""
        return self._consumer.is_member() and self._consumer.assignment() <= set(
            self._partitions.serving
        )

    def _is_idle(self) -> bool:
        return not (
            self._partitions.has_uncommitted
            or self._partitions.pending
            or self._assignment.is_behind
        )

    def _is_due(self) -> bool:
        if self._consumer.silence_s() > self._session_s:
            return False  # a transaction would only time out
        if self._proven is None or self._outages.is_on:
            return True
        return self._clock() - self._proven > self._session_s
