"""The way of a record, readable aloud:

    poll -> decode -> align -> waves -> gather -> step -> scatter -> forecast -> encode -> produce -> commit

decode to encode are in `work.py` and `engine.py`, the commit in `checkpoint.py`, the way back of rows in
`state/restore.py`; this file says when, and what follows when something fails. It is the only one that measures.
One thread does everything. The broker calls back inside `poll` only, so a rebalance never meets a turn half done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

from service.attempts import Attempts
from service.broker.port import Broker
from service.checkpoint import Checkpoint, Limits, Producers
from service.errors import (
    BrokerError,
    BrokerUnavailable,
    CommitUnknown,
    EddycastError,
    InstanceFenced,
    MembershipLost,
    OffsetGone,
    StateError,
)
from service.faults import FaultPoint
from service.health import Health
from service.log import get_log
from service.measure import Latencies, Stopwatch, count_dead_letters, count_forecasts
from service.metrics import Metrics
from service.model.runtime import Runtime
from service.options import Options
from service.positions import Positions
from service.records import PartitionBatch, next_offset
from service.state.restore import Restore, Restored
from service.state.store import Store
from service.work import Done, Work

#: A trouble is said when it has lasted this long (every rebalance is one, for a moment), and then this often.
_PATIENCE_S, _SAY_S = 2.0, 5.0
_LAG_S = 1.0
_PAUSE_S = 0.5
#: Longest slice of restoring between two polls, s: alone, and beside partitions that are served.
_SLICE_S, _SLICE_BESIDE_S = 0.1, 0.02


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
        self._store = Store(runtime.manifest, options.state_ttl_ms, max_gap)
        self._stage, self._latencies = Stopwatch(), Latencies(metrics)
        self._work = Work(runtime, self._store, options.work, self._stage)
        self._attempts = Attempts(options.input_topic, options.max_poll_records, options.give_up_s)
        self._said = self._lag_shown = self._progress_said = 0.0
        self._troubled_since: float | None = None
        self._assigned_at: dict[int, float] = {}
        self._rewind = False
        self._readers = [broker.reader(options.changelog_topic)]
        try:
            self._readers.append(broker.reader(options.input_topic))
            self._consumer = broker.consumer(options.input_topic, options.group, self, "none")
        except BrokerError:
            for reader in self._readers:
                reader.close()
            raise
        changelog, source = self._readers
        positions = Positions(source, options.input_topic, options.start_at, options.when_deleted)
        self._restore = Restore(self._consumer, changelog, positions, self._store.arena, self._store.codec)
        self._checkpoint = Checkpoint(
            Producers(
                lambda: broker.producer(options.transactional_id, options.commit_timeout_s),
                broker.producer if options.delivery == "at_least_once" else None,
            ),
            self._consumer,
            self._store,
            (options.input_topic, options.changelog_topic),
            Limits(options.commit_interval_s, options.max_steps),
            self._passing,
        )

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set; then commit, leave the group and close.

        A broker that does not answer is waited for, and that is said every few seconds. Raises every other
        EddycastError, the group left and nothing more committed.
        """
        try:
            while not stop.is_set():
                try:
                    self.turn()
                except BrokerUnavailable as error:
                    self._health.wait_for("the broker to answer")
                    self._say(error)
                    stop.wait(_PAUSE_S)
            self._drain()
        finally:
            self.close()

    def turn(self) -> int:
        """One poll and all that follows from it; how many records it brought."""
        self._health.beat()
        batches = self._poll()
        self._bring_back(_SLICE_BESIDE_S if batches else _SLICE_S)
        try:
            self._serve(batches)
        except (StateError, InstanceFenced):
            raise
        except Exception as error:  # noqa: BLE001 - a record may break anything; `Attempts` ends what comes back
            self._undo(error)
            self._attempts.failed(error, self._checkpoint.committed)
        records = sum(map(len, batches))
        self._show(records)
        return records

    def _poll(self) -> list[PartitionBatch]:
        """Wait for records, but no longer than until the next commit."""
        timeout = min(self._options.poll_timeout_s, self._checkpoint.remaining())
        with self._stage("poll"):
            self._go_back()
            try:
                batches = self._consumer.poll(0.0 if self._restore.pending else timeout, self._attempts.limit)
            except OffsetGone as error:
                if self._options.when_deleted == "fail":
                    raise
                get_log().error("unread records were deleted", reason=error.what)
                self._anew(self._checkpoint.committed)
                return []
        if self._restore.pending:
            self._health.wait_for(f"the rows of partitions {', '.join(map(str, self._restore.pending))}")
        else:
            self._health.ready()
        if self._rewind:  # a callback took back what these records would follow
            return []
        return [batch for batch in batches if batch.partition in self._checkpoint.committed]

    def _serve(self, batches: Sequence[PartitionBatch]) -> None:
        """Portion by portion, with a commit whenever one is due."""
        polled = time.monotonic()
        self._attempts.taken(batches)
        if batches:
            for portion in self._work.portions(batches, self._attempts.hopeless, self._options.max_steps):
                self._produce(self._work.run(portion), polled)
                self._commit_if_due()
        self._commit_if_due(at_once=self._attempts.cautious)
        if sum(map(len, batches)) < self._attempts.limit:
            self._flush()

    def _produce(self, done: Done, polled: float) -> None:
        with self._stage("produce"):
            for output in done.outputs:
                self._checkpoint.produce(output)
        for one in done.portion:
            batch, observations = one.batch, one.observations
            self._checkpoint.record(batch.partition, next_offset(batch))
            self._metrics.evicted.inc(self._store.eviction.advance(batch.partition, observations.timestamps))
        self._checkpoint.steps += done.steps
        for share in done.shares:
            self._latencies.produced(share.batch.partition, share.batch.record_times[share.here], polled)
        count_dead_letters(self._metrics, done.letters)
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
            self._troubled_since = None
            self._attempts.succeeded(offsets)
            self._latencies.acknowledged()
            self._latencies.committed()
            self._metrics.commits.inc()
            self._metrics.commit_seconds.observe(time.monotonic() - start)

    def _undo(self, error: Exception) -> None:
        """Everything since the last commit is as if it had not been, and is read again."""
        touched = list(self._checkpoint.done)
        keep = isinstance(error, MembershipLost) or not isinstance(error, BrokerError)
        self._checkpoint.roll_back(self._options.commit_timeout_s, keep)
        self._latencies.forget(self._checkpoint.committed)
        self._passing("rolled_back")
        self._rewind = True
        self._say(error)
        if isinstance(error, CommitUnknown):
            self._anew(touched)

    def _anew(self, partitions: Collection[int]) -> None:
        """Only the changelog knows the rows of these partitions."""
        again = list(partitions)
        self._drop(again)
        self._begin(again)
        self._rewind = True

    def _go_back(self) -> None:
        """Read again from the last commit, and nothing of what is restored."""
        if not self._rewind:
            return
        held = self._consumer.assignment()
        self._consumer.pause(held.intersection(self._restore.pending))
        self._consumer.seek({p: offset for p, offset in self._checkpoint.committed.items() if p in held})
        self._rewind = False

    def assigned(self, partitions: Collection[int]) -> None:
        """Held, but not served before their rows are restored. The position is found then; this one asks nobody."""
        self._passing("assigned")
        known = self._options.partitions
        if known is not None and (new := [p for p in partitions if p >= known]):
            what = f"topic {self._options.input_topic} has grown: partition {min(new)} is new, it had {known}"
            raise StateError(what, "streams have moved between partitions; stop all services, move their rows")
        self._consumer.pause(partitions)
        self._consumer.seek(dict.fromkeys(partitions, 0))
        self._begin(partitions)
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
        get_log().warning(
            "partitions lost: the records since the last commit are read again", partitions=sorted(partitions)
        )

    def _begin(self, partitions: Collection[int]) -> None:
        self._restore.add(partitions)
        self._assigned_at |= dict.fromkeys(partitions, time.monotonic())

    def _drop(self, partitions: Collection[int]) -> None:
        self._restore.forget(partitions)
        self._checkpoint.forget(partitions)
        self._attempts.forget(partitions)
        self._latencies.forget(partitions)
        self._lag_shown = 0.0  # other partitions, another lag

    def _bring_back(self, within_s: float) -> None:
        """A slice of restoring; what is restored is served from now on."""
        if not self._restore.pending:
            return
        self._passing("restoring")
        try:
            for restored in self._restore.advance(within_s):
                self._begin_to_serve(restored)
        except BrokerUnavailable as error:
            self._say(error)

    def _begin_to_serve(self, restored: Restored) -> None:
        partition, start = restored.partition, restored.start
        self._store.eviction.start(partition, restored.newest)
        self._checkpoint.start(partition, start.offset)
        self._consumer.seek({partition: start.offset})
        self._consumer.resume([partition])
        seconds = time.monotonic() - self._assigned_at.pop(partition)
        self._metrics.restored.inc(restored.rows)
        self._metrics.restore_seconds.observe(seconds)
        get_log().info(
            "partition restored",
            partition=partition,
            offset=start.offset,
            streams=restored.streams,
            records=restored.rows,
            seconds=round(seconds, 3),
        )
        if start.deleted:
            self._metrics.deleted_unread.inc(start.deleted)
            get_log().error(
                "records were deleted unread", partition=partition, offsets=start.deleted, next=start.offset
            )

    def _drain(self) -> None:
        """The last commit. Without it nothing is lost: the records since the one before are read again."""
        try:
            self._commit(self._options.drain_timeout_s)
        except EddycastError as error:
            self._undo(error)
            get_log().warning("stopped without a last commit: the last records are read again", reason=error.what)

    def close(self) -> None:
        """Leave the group and give up the connections. Nothing is committed."""
        self._checkpoint.close()
        for close in (self._consumer.close, *(reader.close for reader in self._readers)):
            try:
                close()
            except BrokerError as error:
                get_log().warning("not closed in order", reason=error.what)

    def _say(self, error: Exception) -> None:
        """Count a trouble that passes, and name it if it does not, though not at every attempt."""
        self._metrics.retries.labels(type(error).__name__).inc()
        now = time.monotonic()
        self._troubled_since = self._troubled_since or now
        if now - self._troubled_since >= _PATIENCE_S and now - self._said >= _SAY_S:
            self._said = now
            get_log().warning("waiting and trying again", reason=str(error))

    def _show(self, records: int) -> None:
        self._metrics.records.inc(records)
        self._metrics.streams.set(len(self._store.arena))
        self._metrics.state_bytes.set(self._store.arena.nbytes)
        self._stage.report(self._metrics)
        if time.monotonic() - self._lag_shown >= _LAG_S:
            self._lag_shown = time.monotonic()
            held = dict.fromkeys(self._consumer.assignment(), 0)
            self._metrics.hold(held | self._consumer.lag())
            self._metrics.restoring.set(len(self._restore.pending))
            self._metrics.restore_left.set(self._restore.left)
            if self._restore.pending and time.monotonic() - self._progress_said >= _SAY_S:
                self._progress_said = time.monotonic()
                get_log().info("restoring", partitions=self._restore.pending, records_left=self._restore.left)
