"""Everything processed since the last commit: it becomes durable as one, or is rolled back as one
and read again. The partitions held, the checkpoint, and whoever has to know the outcome are
connected here.

    produce      a chunk's outputs, which the next commit includes
    commit       outputs, rows and offsets (checkpoint.py); a success for failures.py, outages.py
                 and readiness.py
    take back    after a loss of partitions or of records not read: no record is blamed
    back off     after any other failure: the records may be the cause (failures.py)
"""

from __future__ import annotations

import time

from eddycast.service.broker.port import Broker
from eddycast.service.delivery.assignment import Assignment
from eddycast.service.delivery.connections import Connections
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.delivery.failures import FailureBackoff
from eddycast.service.delivery.handover import Handover
from eddycast.service.delivery.outages import OutageLog
from eddycast.service.delivery.partition import Phase
from eddycast.service.delivery.readiness import Readiness
from eddycast.service.delivery.served_model import ServedModel
from eddycast.service.errors import (
    BrokerError,
    BrokerUnavailable,
    CommitUnknown,
    EddycastError,
    MembershipLost,
    OffsetGone,
    RecordTooLarge,
)
from eddycast.service.observability.log import get_log
from eddycast.service.observability.turn_metrics import TurnMetrics
from eddycast.service.processing.processor import Processed
from eddycast.service.records import next_offset
from eddycast.service.settings.settings import Settings
from eddycast.service.state.store import Store


class Delivery:
    """Used by the polling thread alone, and inside `poll` by the rebalance callbacks, as
    `handover.Work`."""

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        count: int,
        store: Store,
        model: ServedModel,
        turn_metrics: TurnMetrics,
        reached: CrashPoint,
    ) -> None:
        """Join the group of the input, which has `count` partitions.
        Raises BrokerUnavailable, BrokerError."""
        self._store, self._model, self._turn_metrics = store, model, turn_metrics
        self._waits, self._reached = settings.waits, reached
        self._when_deleted = settings.kafka.when_deleted
        topic, metrics = settings.topics.input, turn_metrics.metrics
        handover = Handover(self, topic, count, self._waits.handover_s, reached)
        self.connections = Connections(broker, settings, handover)
        consumer = self.connections.consumer
        self.partitions = self.connections.partitions(store)
        self.checkpoint = self.connections.checkpoint(self.partitions, store, reached)
        restore = self.connections.restore(self.partitions, store, count, reached)
        self.assignment = Assignment(self.partitions, consumer, restore, store, metrics)
        self.outages = OutageLog(metrics)
        self.backoff = FailureBackoff(
            self.partitions, topic, settings.kafka.max_poll_records, settings.commit.give_up_s
        )
        self.readiness = Readiness(
            consumer, self.checkpoint, self.partitions, self.assignment, self.outages, settings
        )

    def restore_slice(self, beside: bool) -> None:
        """Restore pending partitions for a moment, a shorter one `beside` records to process.
        Raises StateError, OffsetGone."""
        if self.partitions.pending:
            self._reached("restoring")
        try:
            self.assignment.restore_slice(beside)
        except BrokerUnavailable as error:
            self.outages.note(error)

    def commit_adopted(self) -> None:
        """Commit changes of model by themselves, before anything is produced under the new
        generation."""
        if self.partitions.in_phase(Phase.ADOPTING):
            self.commit_now()
            self.assignment.serve_adopted()

    def produce(self, processed: Processed, polled: float) -> None:
        """Give a chunk's outputs to the producer. `polled` is the monotonic time of its poll, s."""
        with self._turn_metrics.stage("produce"):
            for output in processed.outputs:
                self.checkpoint.produce(output)
        evicted = 0
        for one in processed.chunk:
            batch = one.batch
            self.partitions[batch.partition].done = next_offset(batch)
            self._store.journal.remove(batch.partition, one.tombstones.streams)
            evicted += self._store.eviction.advance(batch, one.observations.timestamps)
        self.checkpoint.steps += processed.steps
        self._turn_metrics.produced(processed, self._model.manifest, evicted, polled)

    def flush(self) -> None:
        """Wait for acknowledgement of outputs that can be read before the commit."""
        if self.checkpoint.flush(self._waits.commit_s):
            self._turn_metrics.acknowledged()

    def commit_if_due(self, at_once: bool = False, backlog: bool = False) -> None:
        """Commit if it is time to, or `at_once`. `backlog`: more records wait."""
        if at_once or self.checkpoint.due(backlog):
            self.commit_now()

    def commit_now(self) -> None:
        """Commit as a stage of the turn."""
        with self._turn_metrics.stage("commit"):
            self.commit(self._waits.commit_s)

    def commit(self, within_s: float) -> None:
        """Commit all that was processed. Raises BrokerError."""
        began = time.monotonic()
        offsets = self.checkpoint.commit(within_s)
        if offsets:
            self.outages.end()
            self.readiness.proven()
            self.backoff.succeeded(offsets)
            self._model.failures.committed()
            self._turn_metrics.committed(self.checkpoint.written, began)

    @property
    def has_uncommitted(self) -> bool:
        """True if something was processed since the last commit."""
        return self.partitions.has_uncommitted

    def take_back(self, error: Exception) -> None:
        """Roll back everything since the last commit, to be read again; no record is blamed."""
        self._roll_back(error)
        self.backoff.undone()

    def back_off(self, error: Exception) -> None:
        """Roll back everything since the last commit, to be read again after a pause, fewer records
        at a time if it failed before. Raises ProduceFailed to end the process."""
        self._roll_back(error)
        self.backoff.failed(error)
        time.sleep(self.outages.pause_s)

    def skip_deleted(self, error: OffsetGone) -> None:
        """Retention deleted records before they were read: restore again, which finds the new start
        position and counts them. Raises `error` if the settings forbid to skip them."""
        if self._when_deleted == "fail":
            raise error
        self.take_back(error)
        self.assignment.restore_again(self.partitions.serving)

    def drain(self) -> None:
        """Commit for the last time. If that fails nothing is lost:
        the records are read again after the restart."""
        try:
            self.commit(self._waits.drain_s)
        except EddycastError as error:
            self._roll_back(error)
            get_log().warning(
                "stopped without a last commit: the last records are read again", reason=error.what
            )

    def close(self) -> None:
        """Leave the group and close the connections, without a commit."""
        self.checkpoint.close()
        self.connections.close()

    def _roll_back(self, error: Exception) -> None:
        self.outages.note(error)
        touched = list(self.partitions.uncommitted)
        adopting = [partition.number for partition in self.partitions.in_phase(Phase.ADOPTING)]
        keep_producer = isinstance(error, MembershipLost | RecordTooLarge) or not isinstance(
            error, BrokerError
        )
        self.checkpoint.roll_back(self._waits.commit_s, keep_producer)
        self._turn_metrics.rolled_back()
        self._model.failures.undone()
        self.assignment.rewind()
        self._reached("rolled_back")
        self.assignment.restore_again(touched if isinstance(error, CommitUnknown) else adopting)
