"""The way of a record, readable aloud:

    poll -> decode -> align -> waves -> gather -> step -> scatter -> forecast -> encode -> produce -> commit

decode to encode are in `work.py` and `engine.py`, the commit in `checkpoint.py`, the way back of rows in
`state/restore.py`; this file says when, and what follows when something fails. What it measures is in `measure.py`.
One thread does everything. The broker calls back inside `poll` only, so a rebalance never meets a turn half done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

from service.broker.port import Broker
from service.delivery.assignment import Serving, check_not_grown
from service.delivery.connections import Connections
from service.delivery.crash_points import FaultPoint
from service.delivery.failing_bundles import Failures
from service.delivery.failures import Attempts
from service.delivery.options import Options
from service.delivery.outages import Trouble
from service.delivery.pace import Pace
from service.delivery.readiness import Readiness
from service.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    BundleError,
    CommitUnknown,
    EddycastError,
    InstanceFenced,
    MembershipLost,
    OffsetGone,
    RecordTooLarge,
    StateError,
)
from service.model.runtime import Runtime
from service.observability.bad_data import BadData
from service.observability.health import Health
from service.observability.log import get_log
from service.observability.metrics import Metrics
from service.observability.recorder import Latencies, Stopwatch, count_dead_letters, count_forecasts
from service.processing.processor import Processed, Processor
from service.records import PartitionBatch, next_offset
from service.state.store import Store

#: Longest poll while there is nothing to serve: partitions that it brings begin to be restored after it.
_JOINING_S = 0.05
_PAUSE_S = 0.5


class Pipeline:
    """Observations in, forecasts out, until told to stop. It is the consumer's rebalance listener."""

    def __init__(
        self,
        broker: Broker,
        runtime: Runtime,
        options: Options,
        metrics: Metrics,
        health: Health,
        passing: FaultPoint | None = None,
    ) -> None:
        """Joins the group. `passing` is told of the places that are passed. Raises BrokerUnavailable, BrokerError."""
        self._options, self._metrics, self._health = options, metrics, health
        self._passing = passing or FaultPoint()
        self._manifest = runtime.manifest
        max_gap = options.max_gap or runtime.manifest.max_gap
        self._store = Store(runtime.manifest, options.state_ttl_ms, max_gap, options.far_future_ms)
        self._stage, self._latencies = Stopwatch(), Latencies(metrics)
        self._work = Processor(runtime, self._store, options.work, self._stage)
        self._attempts = Attempts(options.input_topic, options.max_poll_records, options.give_up_s)
        self._trouble = Trouble(metrics)
        self._bad_data = BadData((options.input_topic, options.dead_letter_topic))
        self._pace = Pace(options.turn_s)
        self._failures = Failures(self._manifest.label)
        self._connections = Connections(broker, options, self)
        self._consumer = self._connections.consumer
        self._checkpoint = self._connections.checkpoint(self._store, self._passing)
        self._readiness = Readiness(self._consumer, self._checkpoint, self._trouble, options)
        restore = self._connections.restore(self._store, self._passing)
        self._serving = Serving(self._consumer, restore, self._checkpoint, self._store, metrics)
        self._in_group = False
        metrics.max_streams.set(options.max_streams or 0)

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set; then commit, leave the group and close.

        A broker that does not answer is waited for, and that is said every few seconds. Raises every other
        EddycastError, the group left and nothing more committed.
        """
        self._health.wait_for("a place in the group")
        try:
            while not stop.is_set():
                try:
                    self.turn()
                except BrokerUnavailable as error:
                    self._health.wait_for("the broker to answer")
                    self._trouble.say(error)
                    stop.wait(_PAUSE_S)
            self._drain()
        finally:
            self.close()

    def turn(self) -> int:
        """One poll and all that follows from it; how many records it has served, or has failed to serve."""
        self._health.beat()
        batches = self._poll()
        records = sum(map(len, batches))
        self._bring_back(beside=bool(batches))
        try:
            self._change_models()
            records = self._serve(batches)
            if not batches:
                self._prove()
        except (StateError, InstanceFenced, AccessRefused):
            raise
        except BundleError as error:
            self._health.wait_for(f"another bundle: {error.what}")
            raise
        except Exception as error:  # noqa: BLE001 - a record may break anything; `Attempts` ends what comes back
            self._undo(error)
            self._attempts.failed(error, self._checkpoint.committed)
            time.sleep(self._trouble.pause_s)
        self._show(records)
        return records

    def _poll(self) -> list[PartitionBatch]:
        """Wait for records, but no longer than until the next commit. Records that follow something that was taken
        back meanwhile, inside a callback, are left for later."""
        idle = self._options.poll_timeout_s if self._serving.served else min(self._options.poll_timeout_s, _JOINING_S)
        wait = 0.0 if self._serving.pending else min(idle, self._checkpoint.remaining())
        with self._stage("poll"):
            self._serving.go_back()
            try:
                batches = self._consumer.poll(wait, self._attempts.limit)
            except OffsetGone as error:
                self._pass_over(error)
                return []
        if pending := self._serving.pending:
            self._health.wait_for(f"the rows of partitions {', '.join(map(str, pending))}")
        elif self._in_group or self._has_its_place():
            self._in_group = True  # joining once more it serves on
            if missing := self._readiness.missing():
                self._health.wait_for(missing)
            else:
                self._health.ready()
        return [] if self._serving.is_behind else [b for b in batches if b.partition in self._serving.served]

    def _has_its_place(self) -> bool:
        """Whether the group has given us our partitions, and all are served: a member may hear of its assignment only
        in the poll after the one in which it joined."""
        return self._consumer.is_member() and self._consumer.assignment() <= set(self._serving.served)

    def _pass_over(self, error: OffsetGone) -> None:
        """Retention was faster than we are. Restoring finds where to go on, and counts."""
        if self._options.when_deleted == "fail":
            raise error
        self._undo(error)
        self._attempts.undone()
        self._serving.again(list(self._serving.served))

    def _bring_back(self, beside: bool) -> None:
        if self._serving.pending:
            self._passing("restoring")
        try:
            self._serving.bring_back(beside)
        except BrokerUnavailable as error:
            self._trouble.say(error)

    def _change_models(self) -> None:
        """A commit of its own, before anything is produced under the new generation."""
        if self._serving.changing:
            with self._stage("commit"):
                self._commit(self._options.commit_timeout_s)
            self._serving.serve_changed()

    def _serve(self, batches: Sequence[PartitionBatch]) -> int:
        """Portion by portion, with a commit whenever one is due. What is left when the turn has taken its time is read
        again in the next one. How many records were served."""
        polled, served, polled_records = time.monotonic(), 0, sum(map(len, batches))
        self._attempts.taken(batches)
        self._step_over({batch.partition for batch in batches})
        if batches:
            self._pace.begin()
            bounds = self._options.max_steps, self._pace.portion
            for portion in self._work.chunks(batches, self._attempts.hopeless, *bounds):
                self._pace.go_on()
                done = self._work.run(portion)
                self._failures.served(sum(len(one.batch) for one in portion), (one.error for one in done.letters))
                self._produce(done, polled)
                self._pace.did(done.cost)
                self._commit_if_due()
                served += sum(len(one.batch) for one in portion)
                if served < polled_records and self._pace.is_over:
                    self._commit_if_due(at_once=True)
                    self._serving.rewind()
                    return served
        self._commit_if_due(at_once=self._attempts.cautious)
        if polled_records < self._attempts.limit:
            self._flush()
        return served

    def _prove(self) -> None:
        """With nothing to commit, see now and then whether it could be."""
        idle = not self._checkpoint.done and not self._serving.pending and not self._serving.is_behind
        if idle and self._in_group:
            self._readiness.prove(min(self._serving.served, default=0))

    def _step_over(self, brought: Collection[int]) -> None:
        """Past what is for nobody - control records, aborted transactions - in partitions that brought no record: else
        the group's lag behind a transactional producer would never be 0."""
        if self._serving.is_behind:
            return
        for partition, position in self._consumer.positions().items():
            is_quiet = partition in self._serving.served and partition not in brought
            if is_quiet and position > self._checkpoint.position(partition):
                self._checkpoint.record(partition, position)

    def _produce(self, done: Processed, polled: float) -> None:
        with self._stage("produce"):
            for output in done.outputs:
                self._checkpoint.produce(output)
        for one in done.chunk:
            batch, observations = one.batch, one.observations
            self._checkpoint.record(batch.partition, next_offset(batch))
            self._store.journal.remove(batch.partition, one.tombstones.streams)
            self._metrics.tombstones.inc(len(one.tombstones))
            self._metrics.evicted.inc(self._store.eviction.advance(batch, observations.timestamps))
        self._checkpoint.steps += done.steps
        for share in done.partition_forecasts:
            self._latencies.produced(share.batch.partition, share.batch.record_times[share.here], polled)
        self._bad_data.add(done.letters, [one.observations for one in done.chunk], done.forecasts.verdicts)
        count_dead_letters(self._metrics, done.letters)
        self._metrics.missing_codes.inc(done.codes)
        count_forecasts(self._metrics, self._manifest, done.forecasts)

    def _commit_if_due(self, at_once: bool = False) -> None:
        if at_once or self._checkpoint.due():
            with self._stage("commit"):
                self._commit(self._options.commit_timeout_s)

    def _flush(self) -> None:
        """Where outputs can be read before they are committed, and there is nothing else to do."""
        if self._checkpoint.flush(self._options.commit_timeout_s):
            self._latencies.acknowledged()

    def _commit(self, within_s: float) -> None:
        start = time.monotonic()
        offsets = self._checkpoint.commit(within_s)
        if offsets:
            self._trouble.over()
            self._readiness.proven()
            self._attempts.succeeded(offsets)
            self._failures.committed()
            self._latencies.acknowledged()
            self._latencies.committed()
            self._metrics.commits.inc()
            self._metrics.changelog_rows.inc(self._checkpoint.written)
            self._metrics.commit_seconds.observe(time.monotonic() - start)

    def _undo(self, error: Exception) -> None:
        """Everything since the last commit is as if it had not been, and is read again."""
        self._trouble.say(error)
        touched, changing = list(self._checkpoint.done), list(self._serving.changing)
        asked_nothing = isinstance(error, MembershipLost | RecordTooLarge) or not isinstance(error, BrokerError)
        self._checkpoint.roll_back(self._options.commit_timeout_s, keep_producer=asked_nothing)
        self._latencies.forget(self._serving.served)
        self._failures.undone()
        self._serving.rewind()
        self._passing("rolled_back")
        self._serving.again(touched if isinstance(error, CommitUnknown) else changing)

    def assigned(self, partitions: Collection[int]) -> None:
        """Held, but not served before their rows are back. Raises StateError for partitions that are new."""
        self._passing("assigned")
        check_not_grown(self._options.input_topic, partitions, self._options.partitions)
        self._serving.begin(partitions)
        get_log().info("partitions assigned", partitions=sorted(partitions))

    def revoked(self, partitions: Collection[int]) -> None:
        """The whole commit, inside the callback: only its return lets the next owner begin."""
        self._passing("revoked")
        try:
            self._commit(self._options.handover_timeout_s)
        except BrokerError as error:
            get_log().warning("handed over without a commit: the last records are read again", reason=error.what)
            self._undo(error)
            self._attempts.undone()
        self._drop(partitions)
        get_log().info("partitions handed over", partitions=sorted(partitions))

    def lost(self, partitions: Collection[int]) -> None:
        """Another member has them already and begins at the last commit."""
        self._passing("lost")
        if self._checkpoint.done:
            self._undo(MembershipLost("the group gave our partitions to another member"))
            self._attempts.undone()
        self._drop(partitions)
        get_log().warning("partitions lost: what was not committed is read again", partitions=sorted(partitions))

    def _drop(self, partitions: Collection[int]) -> None:
        self._serving.drop(partitions)
        self._attempts.forget(partitions)
        self._latencies.forget(partitions)

    def _drain(self) -> None:
        """The last commit. Without it nothing is lost: the records since the one before are read again."""
        try:
            self._commit(self._options.drain_timeout_s)
        except EddycastError as error:
            self._undo(error)
            get_log().warning("stopped without a last commit: the last records are read again", reason=error.what)

    def close(self) -> None:
        """Leave the group and give up the connections. Nothing is committed."""
        self._bad_data.log_due(now=True)
        self._checkpoint.close()
        self._connections.close()

    def _show(self, records: int) -> None:
        self._metrics.records.inc(records)
        self._metrics.streams.set(len(self._store.arena))
        self._metrics.state_bytes.set(self._store.arena.nbytes)
        self._stage.report(self._metrics)
        self._bad_data.log_due()
        self._serving.show()
