"""Rows come back: each assigned partition's changelog is read to its end before the partition is served.

    CREATED ──────> RESTORING ──────> RUNNING
       │                │                │
       └────────────────┴────────────────┴───> (forgotten: revoked or lost)

    CREATED      the committed offset is asked for: there is none while an open transaction holds it
    RESTORING    the high watermark was fixed after that, read uncommitted; committed rows are read up to it
    RUNNING      the position has reached the watermark and the marker agrees with the committed offset

The order of the first two is what makes it right. A commit reaches the offsets and the changelog independently: the
rows behind a committed offset may still be undecided in the changelog, but they are below its high watermark, and the
position gets there only when all of them are decided.

Everything happens in slices on the polling thread, so that the group hears of us and other partitions are served.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np

from service.broker.port import Consumer, Reader
from service.delivery.crash_points import FaultPoint
from service.delivery.start_positions import Position, Positions
from service.errors import BrokerUnavailable, StateError
from service.records import Int64, PartitionBatch
from service.state.adoption import Adopted, Adoption, Generations, check_grid, lost_parts
from service.state.arena import Arena
from service.state.changelog import Marker, RowCodec
from service.state.model_record import Recorded
from service.state.stream_time import Clock

#: Wait for an answer in the first slice, s; twice as long after each that was too short, up to the other.
_ASK_S, _ASK_AT_MOST_S = 0.2, 2.0
#: The client's fetches end in reference cycles of a few objects that hold megabytes: too few for the collector to come
#: by itself, and enough to double what a restore takes.
_YOUNG = 1
#: Records taken from the changelog in one poll.
_RECORDS = 20_000
_UNKNOWN, _NOTHING = Position(0), Recorded()


class State(Enum):
    """See the drawing above. A partition that nobody serves has no state."""

    CREATED = "created"
    RESTORING = "restoring"
    RUNNING = "running"


@dataclass(slots=True)
class _Replay:
    """One partition on its way."""

    state: State = State.CREATED
    committed: int | None = None
    start: Position = _UNKNOWN
    end: int = 0
    rows: int = 0  # records applied so far
    marker: Marker | None = None
    recorded: Recorded = _NOTHING


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition that is ready to be served."""

    partition: int
    start: Position  # of the input
    clock: Clock  # the partition's time
    streams: int
    rows: int  # records read for it
    adopted: Adopted


class Adopting(Protocol):
    """Where rows are restored to, and what reads and judges them: a `Store`."""

    @property
    def arena(self) -> Arena: ...
    @property
    def codec(self) -> RowCodec: ...
    @property
    def adoption(self) -> Adoption: ...


class Restore:
    """The partitions on their way from assigned to served."""

    def __init__(
        self,
        consumer: Consumer,
        reader: Reader,
        positions: Positions,
        rows: Adopting,
        partitions: int,
        passing: FaultPoint | None = None,
    ) -> None:
        """`reader` reads the changelog of `partitions`. `passing` is called when ends are fixed, before reading."""
        self._passing = passing or FaultPoint()
        self._consumer, self._reader, self._positions, self._partitions = consumer, reader, positions, partitions
        self._arena, self._codec, self._adoption = rows.arena, rows.codec, rows.adoption
        self._generations: Generations = np.zeros(0, np.uint32)  # by slot: under which a row was written
        #: Where the changelog ended when this process asked for the first time.
        self._began: dict[int, int] = {}
        self._replays: dict[int, _Replay] = {}
        self._ask_s = _ASK_S

    def add(self, partitions: Collection[int]) -> None:
        """These are to be restored from nothing. Rows that the arena still has of them are forgotten."""
        for partition in partitions:
            self._arena.free_partition(partition)
            self._replays[partition] = _Replay()
        self._reader.stop(partitions)

    def forget(self, partitions: Collection[int]) -> None:
        """These are another member's, wherever they were on their way."""
        for partition in partitions:
            self._replays.pop(partition, None)
        self._reader.stop(partitions)

    @property
    def pending(self) -> list[int]:
        """Partitions that are not served yet, ascending."""
        return sorted(self._replays)

    @property
    def left(self) -> int:
        """Offsets of the changelog still to be read, as far as is known."""
        started = [(p, replay) for p, replay in self._replays.items() if replay.state is State.RESTORING]
        return sum(max(0, replay.end - self._reader.position(p)) for p, replay in started)

    @property
    def lag(self) -> dict[int, int]:
        """Offsets of the input to be read once they are served, of the partitions of which that is known."""
        return {p: replay.start.lag for p, replay in self._replays.items() if replay.state is State.RESTORING}

    def state(self, partition: int) -> State:
        """RUNNING also for a partition that was never asked to be restored."""
        replay = self._replays.get(partition)
        return State.RUNNING if replay is None else replay.state

    def advance(self, within_s: float) -> list[Restored]:
        """Work for about `within_s`; the partitions that are done now and may be served.

        Raises StateError for a changelog that is not to be trusted, OffsetGone for an input whose unread records were
        deleted, BrokerUnavailable where nobody answers: the next call goes on from there.
        """
        deadline = time.monotonic() + within_s
        self._ask()
        while True:
            read = [partition for partition in self.pending if self._is_read(partition)]
            left = deadline - time.monotonic()
            if read or left <= 0 or not self._replays:
                self._reader.stop(read)
                restored = [self._finish(partition) for partition in read]
                self.forget(read)
                return restored
            for batch in self._reader.poll(left, _RECORDS):
                self._apply(batch)
            gc.collect(_YOUNG)

    def _ask(self) -> None:
        """The committed offsets first, the high watermarks of the changelog after them; each in one request for all
        partitions. One whose offset is undecided holds up no other."""
        created = [p for p, replay in self._replays.items() if replay.state is State.CREATED]
        if not created:
            return
        try:
            self._began = self._began or self._reader.end(range(self._partitions), self._ask_s)
            committed = self._consumer.committed(created, self._ask_s)
            if not committed:
                return
            ends = self._reader.end(committed, self._ask_s)
            firsts = self._reader.first(committed, self._ask_s)
            starts = self._positions.find(committed, self._ask_s)
        except BrokerUnavailable:  # far away: the group must be polled before it is asked again
            self._ask_s = min(2 * self._ask_s, _ASK_AT_MOST_S)
            return
        for partition, offset in committed.items():
            self._replays[partition] = _Replay(State.RESTORING, offset, starts[partition], ends[partition])
        self._reader.start(firsts)
        self._ask_s = _ASK_S
        self._passing("reading")

    def _is_read(self, partition: int) -> bool:
        replay = self._replays[partition]
        return replay.state is State.RESTORING and self._reader.position(partition) >= replay.end

    def _apply(self, batch: PartitionBatch) -> None:
        """Load what a batch says last of each stream. Nothing beyond the end: whoever has served the partition since is
        not this process."""
        replay = self._replays[batch.partition]
        batch = _before(batch, replay.end)
        if not len(batch):
            return
        rows = self._codec.decode(batch)
        if rows.streams:
            slots = self._slots(batch.partition, rows.streams)
            self._arena.prefix[slots] = rows.prefix
            self._arena.scatter(slots, rows.tensors)
            self._note(slots, rows.generations)
        self._arena.remove(batch.partition, rows.gone)
        replay.marker, replay.recorded = rows.marker or replay.marker, replay.recorded.then(rows.recorded)
        replay.rows += len(batch)

    def _slots(self, partition: int, streams: list[bytes]) -> Int64:
        try:
            return self._arena.slots(partition, streams)
        except MemoryError as error:
            what = f"the rows of partition {partition} do not fit beside {len(self._arena)} streams: {error}"
            raise StateError(what, "give the process more memory, or have more processes share the input") from error

    def _finish(self, partition: int) -> Restored:
        """RUNNING, if what was restored is what the commit says. Raises StateError."""
        replay = self._replays[partition]
        marker, streams = replay.marker, self._arena.count(partition)
        found = None if marker is None else marker.next_offset
        if found != replay.committed:
            raise _disagree(partition, replay.committed, found)
        if streams != (0 if marker is None else marker.streams):
            raise _incomplete(partition, streams, marker)
        adopted = self._adopt(partition, replay)
        clock = Clock() if marker is None else marker.clock
        return Restored(partition, replay.start, clock, streams, replay.rows, adopted)

    def _note(self, slots: Int64, generations: Generations) -> None:
        more = len(self._arena.prefix) - len(self._generations)
        if more > 0:
            self._generations = np.concatenate([self._generations, np.zeros(more, np.uint32)])
        self._generations[slots] = generations

    def _adopt(self, partition: int, replay: _Replay) -> Adopted:
        """The model to serve under; of the rows, the parts that it does not keep are zeroed. Raises StateError."""
        place, began = f"partition {partition}", self._began.get(partition)
        adopted = self._adoption.adopt(place, replay.recorded, replay.marker, began)
        slots = self._arena.held(partition)
        if replay.recorded.model is None:
            check_grid(place, self._arena.prefix[slots], adopted.model)
        for tensors, rows in lost_parts(adopted.model, self._generations[slots]):
            self._arena.zero_tensors(slots[rows], tensors)
        return adopted


def _before(batch: PartitionBatch, end: int) -> PartitionBatch:
    """The records of a batch that lie before an offset."""
    count = int(np.searchsorted(batch.offsets, end))
    if count == len(batch):
        return batch
    columns = batch.keys[:count], batch.values[:count], batch.timestamps[:count], batch.offsets[:count]
    return PartitionBatch(batch.topic, batch.partition, *columns)


def _disagree(partition: int, committed: int | None, marker: int | None) -> StateError:
    group = "no offset" if committed is None else f"offset {committed}"
    changelog = "no marker" if marker is None else f"a marker for offset {marker}"
    what = f"partition {partition}: the group has committed {group}, the changelog holds {changelog}"
    if marker is None:
        return StateError(what, "name the changelog that belongs to this group, or begin anew with another group")
    if committed is None:
        idle = f"the broker forgot them for idleness: set them, here to {marker}"
        return StateError(what, f"if the group's offsets are gone, {idle}; if an import was cut short, begin that over")
    return StateError(what, f"if the rows are right, reset the group's offset of the partition to {marker}")


def _incomplete(partition: int, streams: int, marker: Marker | None) -> StateError:
    wanted = 0 if marker is None else marker.streams
    what = f"partition {partition}: the changelog holds rows of {streams} streams, its marker says {wanted}"
    return StateError(what, "records were deleted from it: is its cleanup.policy compact, and nothing else?")
