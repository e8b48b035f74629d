"""The partitions held: on their way back from the changelog, or served, and from which offset on.

assigned -> (restore, in slices) -> served -> revoked or lost
                   ^                  │
                   └──────────────────┘ the outcome of a commit is unknown
"""

from __future__ import annotations

import time
from collections.abc import Collection

from service.broker.port import Consumer
from service.checkpoint import Checkpoint
from service.errors import OffsetGone, StateError
from service.log import get_log
from service.metrics import Metrics
from service.state.adoption import Adopted
from service.state.restore import Restore, Restored
from service.state.store import Store
from service.throttle import Throttle
from service.topics import MOVE

#: Longest slice of restoring between two polls, s: alone, and beside partitions that have records.
_SLICE_S, _SLICE_BESIDE_S = 0.1, 0.02
#: Wait for the group to say whether partitions are still held, s.
_CONFIRM_S = 2.0
#: Progress is said this often, s.
_SAY_S = 5.0
#: Gauges are set this often, s.
_SHOW_S = 1.0


class Serving:
    """Belongs to the thread that polls. Only `begin` may be called by the listener inside `assigned`; what the consumer
    cannot do inside the others waits for `go_back`."""

    def __init__(
        self, consumer: Consumer, restore: Restore, checkpoint: Checkpoint, store: Store, metrics: Metrics
    ) -> None:
        self._consumer, self._restore, self._checkpoint = consumer, restore, checkpoint
        self._store, self._metrics = store, metrics
        self._changing: dict[int, Restored] = {}
        self._since: dict[int, float] = {}  # partition on its way -> when it was assigned
        self._progress = Throttle(_SAY_S)
        self._rewind = False
        self._shown = 0.0
        self._ends: dict[int, int] = {}  # of served partitions, as of their restore

    @property
    def served(self) -> Collection[int]:
        """Partitions whose records are taken."""
        return self._checkpoint.committed.keys()

    @property
    def pending(self) -> list[int]:
        """Partitions held whose rows are not back yet."""
        return self._restore.pending

    @property
    def changing(self) -> Collection[int]:
        """Partitions whose rows were another model's: served once that change is committed, which is due at once."""
        return self._changing.keys()

    @property
    def is_behind(self) -> bool:
        """Whether `go_back` has something to do: what the consumer brings does not follow what is done."""
        return self._rewind

    def begin(self, partitions: Collection[int]) -> None:
        """Newly held. Records of the same poll are held back; the position is found later, this asks nobody."""
        self._consumer.pause(partitions)
        self._consumer.seek(dict.fromkeys(partitions, 0))
        self._bring_back_later(partitions)

    def again(self, partitions: Collection[int]) -> None:
        """Only the changelog knows the rows of these partitions."""
        self.drop(partitions)
        self._bring_back_later(partitions)
        self._rewind = True

    def drop(self, partitions: Collection[int]) -> None:
        """No longer held, or no longer to be trusted."""
        self._restore.forget(partitions)
        self._checkpoint.forget(partitions)
        for partition in partitions:
            self._since.pop(partition, None)
            self._changing.pop(partition, None)
            self._ends.pop(partition, None)
        self._shown = 0.0

    def rewind(self) -> None:
        """What was read since the last commit is to be read again."""
        self._rewind = True

    def go_back(self) -> None:
        """Read on from the last commit, and nothing of what is on its way."""
        if not self._rewind:
            return
        held = self._consumer.assignment()
        self._consumer.pause(held.intersection(self.pending))
        self._consumer.seek({p: offset for p, offset in self._checkpoint.committed.items() if p in held})
        self._rewind = False

    def bring_back(self, beside: bool) -> None:
        """A slice of restoring, a short one `beside` partitions that have records; what is back is served from now on.
        Raises StateError, OffsetGone, BrokerUnavailable."""
        if not self.pending:
            return
        for restored in self._advance(_SLICE_BESIDE_S if beside else _SLICE_S):
            self._store.start(restored.partition, restored.clock, restored.adopted)
            if restored.adopted.is_change:
                self._changing[restored.partition] = restored
                self._checkpoint.record(restored.partition, restored.start.offset)
            else:
                self._serve(restored)
        if self.pending and self._progress.is_due():
            get_log().info("restoring", partitions=self.pending, records_left=self._restore.left)

    def serve_changed(self) -> None:
        """The change of model that these partitions waited for is committed."""
        while self._changing:
            partition, restored = self._changing.popitem()
            log_change(partition, restored.adopted)
            self._serve(restored)

    def _advance(self, within_s: float) -> list[Restored]:
        """A slice. What does not fit together is raised by a member only: a process that was frozen may have lost its
        partitions while it read, and others have written since. The next poll brings the loss to light."""
        try:
            return self._restore.advance(within_s)
        except (StateError, OffsetGone) as error:
            if self._consumer.confirm(_CONFIRM_S):
                raise
            get_log().warning("restoring anew: it is not certain that the partitions are still ours", reason=error.what)
            self._restore.add(self._restore.pending)
            return []

    def show(self) -> None:
        """The partitions held, and how far each is behind; once a second, and at once when others are."""
        if time.monotonic() - self._shown < _SHOW_S:
            return
        self._shown = time.monotonic()
        self._metrics.hold(self._consumer.assignment(), self._lag())
        self._metrics.restoring.set(len(self.pending))
        self._metrics.restore_left.set(self._restore.left)

    def _lag(self) -> dict[int, int]:
        """What is left to read, also of partitions of which nothing was fetched yet: as of their restore."""
        unfetched = {p: max(0, end - self._checkpoint.position(p)) for p, end in self._ends.items()}
        fetched = {p: lag for p, lag in self._consumer.lag().items() if p in self.served}
        return self._restore.lag | unfetched | fetched

    def _bring_back_later(self, partitions: Collection[int]) -> None:
        if not self.pending:
            self._progress.put_off()
        self._restore.add(partitions)
        self._since |= dict.fromkeys(partitions, time.monotonic())

    def _serve(self, restored: Restored) -> None:
        partition, start = restored.partition, restored.start
        self._checkpoint.start(partition, start.offset)
        self._ends[partition] = start.end
        self._consumer.seek({partition: start.offset})
        self._consumer.resume([partition])
        self._shown = 0.0
        seconds = time.monotonic() - self._since.pop(partition)
        self._metrics.restored.inc(restored.rows)
        self._metrics.restore_seconds.observe(seconds)
        where = {"partition": partition, "offset": start.offset}
        done = {"streams": restored.streams, "records": restored.rows, "seconds": round(seconds, 3)}
        get_log().info("partition restored", **where, **done)
        if start.deleted:
            self._metrics.deleted_unread.inc(start.deleted)
            get_log().error("records were deleted unread and are passed over", **where, offsets=start.deleted)


def log_change(partition: int, adopted: Adopted) -> None:
    """Another model serves a partition from now on."""
    before = None if adopted.before is None else adopted.before.model
    place = {"partition": partition, "generation": adopted.model.generation}
    zeroed = adopted.zeroed or "nothing"
    get_log().info("another model goes on", **place, model=adopted.model.model, before=before, from_zeros=zeroed)


def check_not_grown(topic: str, partitions: Collection[int], known: int | None) -> None:
    """Raise StateError for partitions that the topic did not have (`known` of them) when the service started."""
    new = [partition for partition in partitions if known is not None and partition >= known]
    if new:
        what = f"topic {topic} has grown: it had {known} partitions, and now a partition {min(new)}"
        raise StateError(f"{what}; streams have moved between partitions", MOVE)
