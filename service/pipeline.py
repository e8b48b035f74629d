"""The path of a record, readable aloud:

    poll -> decode -> align -> waves -> gather -> step -> scatter -> forecast -> encode ->
    produce -> commit

decode to encode are in `processing/`; the commit, the restore of rows, rebalances and switches of
models in `delivery/`. This file decides when each happens, and handles failures. One thread does
everything. The broker runs the rebalance callbacks inside `poll` only, so a rebalance never
interrupts a turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

from eddycast.service.broker.port import Broker
from eddycast.service.delivery.assignment import Assignment
from eddycast.service.delivery.connections import Connections
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.delivery.failing_bundles import BundleFailures
from eddycast.service.delivery.failures import FailureBackoff
from eddycast.service.delivery.handover import Handover
from eddycast.service.delivery.outages import OutageLog
from eddycast.service.delivery.pace import Pace
from eddycast.service.delivery.partition import Phase
from eddycast.service.delivery.readiness import Readiness
from eddycast.service.delivery.switching import Switching
from eddycast.service.delivery.topic_checks import Topology
from eddycast.service.errors import (
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
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.bad_data import BadData
from eddycast.service.observability.health import Health
from eddycast.service.observability.log import get_log
from eddycast.service.observability.metrics import Metrics
from eddycast.service.observability.recorder import (
    Latencies,
    Stopwatch,
    count_dead_letters,
    count_forecasts,
)
from eddycast.service.observability.throttle import Throttle
from eddycast.service.processing.processor import Processed, Processor
from eddycast.service.records import PartitionBatch, next_offset
from eddycast.service.registry.following import Champion, Follower
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.state import StateSettings
from eddycast.service.state.store import Store

#: Longest poll while no partition is served, s: the restore of newly assigned ones begins after it.
_JOINING_S = 0.05
_PAUSE_S = 0.5
#: Interval of counting the streams that are in their warm-up, s: it reads a number of every row.
_COUNT_S = 10.0


class Pipeline:
    """Reads observations and writes forecasts until stopped."""

    #: Longest poll while partitions are served, s.
    poll_s = 0.5

    def __init__(
        self,
        broker: Broker,
        runtime: Runtime,
        settings: Settings,
        topology: Topology,
        metrics: Metrics,
        health: Health,
        reached: CrashPoint | None = None,
        follower: Follower | None = None,
    ) -> None:
        """Join the group. `reached` is called with the name of each crash point. `follower` loads
        newer models of the registry that `runtime` comes from, if it comes from one.
        Raises BrokerUnavailable, BrokerError."""
        self._settings, self._metrics, self._health = settings, metrics, health
        self._waits = settings.waits
        topics, limits = settings.topics, settings.time
        self._reached = reached or CrashPoint()
        self._output_limits = topology.limits
        generation = follower.generation if follower else 0
        self._store = Store(
            runtime.manifest,
            limits.state_ttl_ms,
            limits.max_gap,
            limits.far_future_ms,
            generation,
        )
        self._stage, self._latencies = Stopwatch(), Latencies(metrics)
        self._counting = Throttle(_COUNT_S)
        self._use(runtime, settings, generation)
        self._outages = OutageLog(metrics)
        self._bad_data = BadData((topics.input, topics.dead_letters))
        self._pace = Pace(self._waits.turn_s)
        waits = self._waits.handover_s
        handover = Handover(self, topics.input, topology.partitions, waits, self._reached)
        self._connections = Connections(broker, settings, handover)
        self._consumer = self._connections.consumer
        self._partitions = self._connections.partitions(self._store)
        self._backoff = FailureBackoff(
            self._partitions,
            topics.input,
            settings.kafka.max_poll_records,
            settings.commit.give_up_s,
        )
        self._checkpoint = self._connections.checkpoint(
            self._partitions, self._store, self._reached
        )
        self._readiness = Readiness(self._consumer, self._checkpoint, self._outages, settings)
        restore = self._connections.restore(
            self._partitions, self._store, topology.partitions, self._reached
        )
        self.assignment = Assignment(
            self._partitions, self._consumer, restore, self._store, metrics
        )
        self._switching = Switching(
            follower, self._partitions, self.assignment, self._store, metrics, self._reached
        )
        self._in_group = False

    def _use(self, runtime: Runtime, settings: Settings, generation: int) -> None:
        """Process records with this model from now on. The store is that of its rows."""
        manifest = self._manifest = runtime.manifest
        self._processor = Processor(
            runtime, self._store, settings, self._output_limits, self._stage
        )
        self._bundle_failures = BundleFailures(manifest.label)
        training = manifest.training
        self._metrics.show_model(
            manifest.label,
            manifest.version,
            manifest.family,
            generation,
            training.end_time_ms if training else None,
        )
        self._metrics.max_streams.set(settings.state.max_streams or 0)

    def run(self, stop: threading.Event) -> None:
        """Run turns until `stop` is set; then commit, leave the group and close.

        While the broker does not answer it is retried and a warning is logged every few seconds.
        Every other EddycastError is raised, after the group was left, without a last commit.
        """
        self._health.wait_for("a place in the group")
        try:
            while not stop.is_set():
                try:
                    self.turn()
                except BrokerUnavailable as error:
                    self._health.wait_for("the broker to answer")
                    self._outages.note(error)
                    stop.wait(_PAUSE_S)
            self._drain()
        finally:
            self.close()

    def turn(self) -> int:
        """One poll and all that follows from it.
        Returns the number of records processed, or polled if that failed."""
        self._health.beat()
        batches = self._poll()
        records = sum(map(len, batches))
        self._restore_slice(beside=bool(batches))
        try:
            self._change_models()
            records = self._serve(batches)
            if not batches:
                self._prove()
            self._follow()
        except (StateError, InstanceFenced, AccessRefused):
            raise
        except BundleError as error:
            self._health.wait_for(f"another bundle: {error.what}")
            raise
        except Exception as error:  # noqa: BLE001 - a record may raise anything; `FailureBackoff` ends what recurs
            self._undo(error)
            self._backoff.failed(error)
            time.sleep(self._outages.pause_s)
        self._show(records)
        return records

    def _poll(self) -> list[PartitionBatch]:
        """Wait for records, but no longer than until the next commit. If a callback rolled back
        meanwhile, the records returned do not follow what was processed: they are discarded and
        read again."""
        longest = self.poll_s
        idle = longest if self._partitions.serving else min(longest, _JOINING_S)
        restoring = self._partitions.pending and self.assignment.outdated is None
        wait = 0.0 if restoring else min(idle, self._checkpoint.remaining())
        with self._stage("poll"):
            self.assignment.seek_to_committed()
            try:
                batches = self._consumer.poll(wait, self._backoff.limit)
            except OffsetGone as error:
                self._skip_deleted(error)
                return []
        if pending := self._partitions.pending:
            self._health.wait_for(f"the rows of partitions {', '.join(map(str, pending))}")
        elif self._in_group or self._has_joined():
            self._in_group = True  # while it joins again it keeps serving
            if missing := self._readiness.missing():
                self._health.wait_for(missing)
            else:
                self._health.ready()
        return (
            []
            if self.assignment.is_behind
            else [b for b in batches if self._partitions.is_serving(b.partition)]
        )

    def _has_joined(self) -> bool:
        """True if the group has assigned partitions and all of them are served. The assignment may
        arrive only in the poll after the one that joined."""
        return self._consumer.is_member() and self._consumer.assignment() <= set(
            self._partitions.serving
        )

    def _skip_deleted(self, error: OffsetGone) -> None:
        """Retention deleted records before they were read.
        The restore finds the new start position and counts them."""
        if self._settings.kafka.when_deleted == "fail":
            raise error
        self.take_back(error)
        self.assignment.restore_again(self._partitions.serving)

    def _restore_slice(self, beside: bool) -> None:
        if self._partitions.pending:
            self._reached("restoring")
        try:
            self.assignment.restore_slice(beside)
        except BrokerUnavailable as error:
            self._outages.note(error)

    def _change_models(self) -> None:
        """Commit a change of model by itself, before anything is produced under the new
        generation."""
        if self._partitions.in_phase(Phase.ADOPTING):
            with self._stage("commit"):
                self.commit(self._waits.commit_s)
            self.assignment.serve_adopted()

    def _follow(self) -> None:
        self._switching.advance(lambda: self.commit(self._waits.commit_s), self._use_champion)

    def _use_champion(self, champion: Champion) -> None:
        rows = StateSettings(max_streams=champion.max_streams)
        settings = self._settings.model_copy(update={"state": rows})
        self._use(champion.runtime, settings, champion.generation)

    def _serve(self, batches: Sequence[PartitionBatch]) -> int:
        """Process chunk by chunk, with a commit whenever one is due. Records left when the turn's
        time is up are read again in the next turn. Returns the number of records processed."""
        polled, served, polled_records = time.monotonic(), 0, sum(map(len, batches))
        self._backoff.taken(batches)
        self._step_over({batch.partition for batch in batches})
        if batches:
            self._pace.begin()
            bounds = self._settings.commit.max_steps, self._pace.chunk
            for chunk in self._processor.chunks(batches, self._backoff.quarantined, *bounds):
                self._pace.go_on()
                processed = self._processor.run(chunk)
                records = sum(len(one.batch) for one in chunk)
                self._bundle_failures.served(
                    records, (letter.error for letter in processed.letters)
                )
                self._produce(processed, polled)
                self._pace.did(processed.cost)
                self._commit_if_due()
                served += records
                if served < polled_records and self._pace.is_over:
                    self._commit_if_due(at_once=True)
                    self.assignment.rewind()
                    return served
        self._commit_if_due(at_once=self._backoff.cautious)
        if polled_records < self._backoff.limit:
            self._flush()
        return served

    def _prove(self) -> None:
        """While there is nothing to commit, test now and then that a commit would succeed."""
        idle = not (
            self._partitions.has_uncommitted
            or self._partitions.pending
            or self.assignment.is_behind
        )
        if idle and self._in_group:
            self._readiness.prove(min(self._partitions.serving, default=0))

    def _step_over(self, brought: Collection[int]) -> None:
        """Advance past control records and aborted transactions in partitions that returned no
        record: otherwise the group's lag behind a transactional producer would never be 0."""
        if self.assignment.is_behind:
            return
        for number, position in self._consumer.positions().items():
            if number in brought or not self._partitions.is_serving(number):
                continue
            partition = self._partitions[number]
            if position > partition.position:
                partition.done = position

    def _produce(self, processed: Processed, polled: float) -> None:
        with self._stage("produce"):
            for output in processed.outputs:
                self._checkpoint.produce(output)
        for one in processed.chunk:
            batch, observations = one.batch, one.observations
            self._partitions[batch.partition].done = next_offset(batch)
            self._store.journal.remove(batch.partition, one.tombstones.streams)
            self._metrics.tombstones.inc(len(one.tombstones))
            self._metrics.evicted.inc(self._store.eviction.advance(batch, observations.timestamps))
        self._checkpoint.steps += processed.steps
        for forecasts in processed.partition_forecasts:
            source = forecasts.batch
            self._latencies.produced(source.partition, source.record_times[forecasts.here], polled)
        readings = [one.observations for one in processed.chunk]
        self._bad_data.add(processed.letters, readings, processed.forecasts.verdicts)
        count_dead_letters(self._metrics, processed.letters)
        self._metrics.missing_codes.inc(processed.codes)
        self._metrics.filtered.inc(processed.filtered)
        count_forecasts(self._metrics, self._manifest, processed.forecasts)

    def _commit_if_due(self, at_once: bool = False) -> None:
        if at_once or self._checkpoint.due():
            with self._stage("commit"):
                self.commit(self._waits.commit_s)

    def _flush(self) -> None:
        """Wait for acknowledgement of outputs that can be read before the commit,
        when there is nothing else to do."""
        if self._checkpoint.flush(self._waits.commit_s):
            self._latencies.acknowledged()

    def commit(self, within_s: float) -> None:
        """Commit all that was processed. Raises BrokerError."""
        start = time.monotonic()
        offsets = self._checkpoint.commit(within_s)
        if offsets:
            self._outages.end()
            self._readiness.proven()
            self._backoff.succeeded(offsets)
            self._bundle_failures.committed()
            self._latencies.acknowledged()
            self._latencies.committed()
            self._metrics.commits.inc()
            self._metrics.changelog_rows.inc(self._checkpoint.written)
            self._metrics.commit_seconds.observe(time.monotonic() - start)

    @property
    def has_uncommitted(self) -> bool:
        """True if something was processed since the last commit."""
        return self._partitions.has_uncommitted

    def take_back(self, error: Exception) -> None:
        """Roll back everything since the last commit, to be read again; no record is blamed."""
        self._undo(error)
        self._backoff.undone()

    def _undo(self, error: Exception) -> None:
        """Roll back everything since the last commit, to be read again."""
        self._outages.note(error)
        touched = list(self._partitions.uncommitted)
        adopting = [partition.number for partition in self._partitions.in_phase(Phase.ADOPTING)]
        keep_producer = isinstance(error, MembershipLost | RecordTooLarge) or not isinstance(
            error, BrokerError
        )
        self._checkpoint.roll_back(self._waits.commit_s, keep_producer)
        self._latencies.discard()
        self._bundle_failures.undone()
        self.assignment.rewind()
        self._reached("rolled_back")
        self.assignment.restore_again(touched if isinstance(error, CommitUnknown) else adopting)

    def _drain(self) -> None:
        """Commit for the last time. If that fails nothing is lost:
        the records are read again after the restart."""
        try:
            self.commit(self._waits.drain_s)
        except EddycastError as error:
            self._undo(error)
            get_log().warning(
                "stopped without a last commit: the last records are read again", reason=error.what
            )

    def close(self) -> None:
        """Leave the group and close the connections, without a commit."""
        self._bad_data.log_due(now=True)
        self._checkpoint.close()
        self._connections.close()

    def _show(self, records: int) -> None:
        self._metrics.records.inc(records)
        self._metrics.streams.set(len(self._store.arena))
        self._metrics.state_bytes.set(self._store.arena.nbytes)
        if self._counting.is_due():
            self._metrics.cold_streams.set(self._store.arena.young(self._manifest.warmup_steps))
        self._stage.report(self._metrics)
        self._bad_data.log_due()
        self.assignment.show()
