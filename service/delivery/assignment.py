"""The partitions assigned by the group: restored in slices, then served from the committed offset
on (partition.py), until they are handed over (handover.py)."""

from __future__ import annotations

import time
from collections.abc import Collection

from eddycast.service.broker.port import Consumer
from eddycast.service.delivery.partition import Partition, Partitions, Phase
from eddycast.service.delivery.restore import Restore, Restored
from eddycast.service.delivery.topic_checks import MOVE
from eddycast.service.delivery.waits import Waits
from eddycast.service.errors import OffsetGone, StateError, WorkerBehind
from eddycast.service.observability.log import get_log
from eddycast.service.observability.metrics import Metrics
from eddycast.service.observability.throttle import Throttle
from eddycast.service.state.adoption import Adopted
from eddycast.service.state.store import Store

#: Longest slice of restoring between two polls, s: alone, and while other partitions have records.
_SLICE_S, _SLICE_BESIDE_S = 0.1, 0.02
#: Wait for the group to confirm that partitions are still held, s.
_CONFIRM_S = 2.0
#: Interval between two log lines about the progress of a restore, s.
_LOG_S = 5.0
#: Interval between two updates of the gauges, s.
_SHOW_S = 1.0


class Assignment:
    """Used by the polling thread alone. Inside the rebalance listener the consumer can pause and
    seek only in `assigned`; in the other callbacks a seek is noted and made by
    `seek_to_committed`."""

    def __init__(
        self,
        partitions: Partitions,
        consumer: Consumer,
        restore: Restore,
        store: Store,
        metrics: Metrics,
    ) -> None:
        self._partitions, self._consumer, self._restore = partitions, consumer, restore
        self._store, self._metrics = store, metrics
        self._progress = Throttle(_LOG_S)
        self._gauges = Throttle(_SHOW_S)
        self._waits = Waits()
        self._must_seek = False
        #: The error of a partition whose rows are of a newer generation; nothing is restored until
        #: this process switches to it.
        self.outdated: WorkerBehind | None = None

    @property
    def is_behind(self) -> bool:
        """True until `seek_to_committed` is called:
        what the consumer returns does not follow what was processed."""
        return self._must_seek

    def begin(self, numbers: Collection[int]) -> None:
        """Hold these partitions, paused. Makes no request:
        the start position is looked up by the restore."""
        self._consumer.pause(numbers)
        self._consumer.seek(dict.fromkeys(numbers, 0))
        self._delay_progress()
        self._partitions.assign(numbers, time.monotonic())

    def restore_again(self, numbers: Collection[int]) -> None:
        """Discard the rows of these partitions: only the changelog has the right ones."""
        self._delay_progress()
        self._partitions.restart(numbers, time.monotonic())
        self._gauges.reset()
        self._must_seek = True

    def restart(self) -> None:
        """Discard all rows, to be restored by another model."""
        self.restore_again([partition.number for partition in self._partitions])
        self.outdated = None

    def close(self, numbers: Collection[int]) -> None:
        """Drop partitions that were revoked or lost."""
        self._partitions.close(numbers)
        if not self._partitions.pending:
            self.outdated = None
        self._gauges.reset()

    def rewind(self) -> None:
        """Read everything since the last commit again."""
        self._must_seek = True

    def seek_to_committed(self) -> None:
        """After `rewind` or `restore_again`, seek to the last committed offsets;
        pending partitions stay paused."""
        if not self._must_seek:
            return
        held = self._consumer.assignment()
        self._consumer.pause(held.intersection(self._partitions.pending))
        self._consumer.seek(
            {p: offset for p, offset in self._partitions.committed.items() if p in held}
        )
        self._must_seek = False

    def restore_slice(self, beside: bool) -> None:
        """Restore for a moment, a shorter one `beside` partitions that have records; partitions
        that are complete are served from now on, or wait for the commit of a change of model.
        Raises StateError, OffsetGone, BrokerUnavailable."""
        if not self._partitions.pending or self.outdated is not None:
            return
        for restored in self._advance(_SLICE_BESIDE_S if beside else _SLICE_S):
            partition = restored.partition
            partition.rows = self._store.start(partition.number, restored.clock, restored.adopted)
            if restored.adopted.precedes_outputs:
                partition.adopt()
            else:
                self._serve(partition)
        if (pending := self._partitions.pending) and self._progress.is_due():
            get_log().info("restoring", partitions=pending, records_left=self._restore.left)

    def serve_adopted(self) -> None:
        """Serve the partitions whose change of model has been committed."""
        for partition in self._partitions.in_phase(Phase.ADOPTING):
            adopted = None if partition.rows is None else partition.rows.adopted
            if adopted is not None and adopted.is_change:
                log_change(partition.number, adopted)
            self._serve(partition)

    def show(self) -> None:
        """Update the gauges of partitions, lag and time:
        once a second, and at once when the partitions change."""
        if self._gauges.is_due():
            lag, serving = self._lag(), self._partitions.serving
            clocks = {number: self._store.eviction.clock(number) for number in serving}
            read = {number: clock.record_time for number, clock in clocks.items()}
            waits = self._waits.seconds(lag, read)
            self._metrics.hold(self._consumer.assignment(), lag, waits)
            self._metrics.show_time(max((clock.newest for clock in clocks.values()), default=-1))
            self._metrics.restoring.set(len(self._partitions.pending))
            self._metrics.restore_left.set(self._restore.left)

    def _advance(self, within_s: float) -> list[Restored]:
        """A contradiction between offsets and changelog is an error only for a member of the group:
        a process that was frozen may have lost its partitions during the restore, and another
        process has written since. The next poll then reports the loss."""
        try:
            return self._restore.advance(within_s)
        except (StateError, OffsetGone) as error:
            if not self._consumer.confirm(_CONFIRM_S):
                get_log().warning(
                    "restoring again: the group did not confirm the assignment", reason=error.what
                )
            elif isinstance(error, WorkerBehind):
                self.outdated = error
            else:
                raise
            self._partitions.restart(self._partitions.pending, time.monotonic())
            return []

    def _lag(self) -> dict[int, int]:
        """Records left to read by partition; where nothing was fetched yet,
        as of the partition's restore."""
        serving = self._partitions.in_phase(Phase.SERVING)
        unfetched = {p.number: max(0, p.start.end - p.position) for p in serving}
        fetched = {
            p: lag for p, lag in self._consumer.lag().items() if self._partitions.is_serving(p)
        }
        return self._restore.lag | unfetched | fetched

    def _delay_progress(self) -> None:
        if not self._partitions.pending:
            self._progress.put_off()

    def _serve(self, partition: Partition) -> None:
        partition.serve()
        self._consumer.seek({partition.number: partition.start.offset})
        self._consumer.resume([partition.number])
        self._gauges.reset()
        self._report(partition)

    def _report(self, partition: Partition) -> None:
        start, restoration = partition.start, partition.restoration
        streams, records = (
            (restoration.streams, restoration.records) if restoration is not None else (0, 0)
        )
        seconds = time.monotonic() - partition.assigned_at
        self._metrics.restored.inc(records)
        self._metrics.restore_seconds.observe(seconds)
        where = {"partition": partition.number, "offset": start.offset}
        done = {"streams": streams, "records": records, "seconds": round(seconds, 3)}
        get_log().info("partition restored", **where, **done)
        if start.deleted:
            self._metrics.deleted_unread.inc(start.deleted)
            get_log().error(
                "records were deleted unread and are skipped", **where, offsets=start.deleted
            )


def log_change(partition: int, adopted: Adopted) -> None:
    """Log that another model serves a partition from now on."""
    before = None if adopted.before is None else adopted.before.model
    place = {"partition": partition, "generation": adopted.model.generation}
    zeroed = adopted.zeroed or "nothing"
    get_log().info(
        "another model takes over",
        **place,
        model=adopted.model.model,
        before=before,
        from_zeros=zeroed,
    )


def check_not_grown(topic: str, partitions: Collection[int], known: int | None) -> None:
    """Raise StateError for partitions that the topic did not have (`known` of them) when the
    service started."""
    new = [partition for partition in partitions if known is not None and partition >= known]
    if new:
        what = (
            f"topic {topic} has grown: it had {known} partitions "
            f"at start, and now has partition {min(new)}"
        )
        raise StateError(f"{what}; streams have moved between partitions", MOVE)
