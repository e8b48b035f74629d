"""Restoring rows: each assigned partition's changelog is read to its end before the partition is
served.

    ASSIGNED     1  look up the committed offset: there is none while an open transaction holds it
                 2  then fix the high watermark of the changelog, read uncommitted
    RESTORING    3  read committed records up to that watermark
                 4  compare the marker with the committed offset

The order of 1 and 2 makes this correct. A commit reaches the offsets and the changelog
independently: rows behind a committed offset may still be undecided in the changelog, but they lie
below its high watermark, and the reader's position reaches the watermark only once all of them are
decided.

Everything runs in slices on the polling thread,
so that heartbeats continue and other partitions are served meanwhile.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eddycast.service.broker.port import Consumer, Reader
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.delivery.partition import Partition, Partitions, Phase, Restoration
from eddycast.service.delivery.start_positions import StartPositions
from eddycast.service.errors import BrokerUnavailable, StateError
from eddycast.service.records import Int64, PartitionBatch
from eddycast.service.state.adoption import Adopted, Adoption, Generations, check_grid, lost_parts
from eddycast.service.state.arena import Arena
from eddycast.service.state.changelog import UNFINISHED, Marker, RowCodec
from eddycast.service.state.stream_time import Clock

#: Time-out of the lookups in the first slice, s; doubled after each time-out, up to the maximum.
_ASK_S, _ASK_AT_MOST_S = 0.2, 2.0
#: The client's fetches end in reference cycles of a few objects that hold megabytes: too few for
#: the collector to run by itself, and enough to double the memory of a restore.
_YOUNG = 1
#: Records read from the changelog in one poll.
_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition whose rows are back, with its stream time and the model that serves it."""

    partition: Partition
    clock: Clock
    adopted: Adopted


class Adopting(Protocol):
    """Memory that rows are restored to, with their codec and the rules of adoption;
    implemented by `Store`."""

    @property
    def arena(self) -> Arena: ...
    @property
    def codec(self) -> RowCodec: ...
    @property
    def adoption(self) -> Adoption: ...


class Restore:
    """Takes partitions from ASSIGNED to the end of RESTORING."""

    def __init__(
        self,
        partitions: Partitions,
        consumer: Consumer,
        reader: Reader,
        positions: StartPositions,
        rows: Adopting,
        count: int,
        reached: CrashPoint | None = None,
    ) -> None:
        """`reader` reads the changelog, which has `count` partitions.
        `reached("reading")` is called after step 2."""
        self._reached = reached or CrashPoint()
        self._partitions, self._count = partitions, count
        self._consumer, self._reader, self._positions = consumer, reader, positions
        self._rows = rows
        # by slot: generation that wrote the row
        self._generations: Generations = np.zeros(0, np.uint32)
        #: Ends of all changelog partitions as of this process's first lookup.
        self._began: dict[int, int] = {}
        self._ask_s = _ASK_S

    @property
    def left(self) -> int:
        """Changelog offsets still to be read, as far as known."""
        return sum(
            max(0, restoration.end - self._reader.position(p.number))
            for p, restoration in self._restoring()
        )

    @property
    def lag(self) -> dict[int, int]:
        """Input offsets still to be read, by partition that is RESTORING."""
        return {partition.number: partition.start.lag for partition, _ in self._restoring()}

    def advance(self, within_s: float) -> list[Restored]:
        """Restore for about `within_s`; returns the partitions that are complete,
        which the caller must take out of RESTORING.

        Raises StateError for a changelog that contradicts the committed offset, OffsetGone for
        deleted unread input, BrokerUnavailable; the next call continues from there.
        """
        deadline = time.monotonic() + within_s
        self._look_up()
        while True:
            read = [
                (p, r) for p, r in self._restoring() if self._reader.position(p.number) >= r.end
            ]
            left = deadline - time.monotonic()
            if read or left <= 0 or not self._partitions.pending:
                self._reader.stop([partition.number for partition, _ in read])
                return [self._finish(partition, restoration) for partition, restoration in read]
            for batch in self._reader.poll(left, _RECORDS):
                self._apply(batch)
            gc.collect(_YOUNG)

    def _restoring(self) -> list[tuple[Partition, Restoration]]:
        restoring = self._partitions.in_phase(Phase.RESTORING)
        return [(p, p.restoration) for p in restoring if p.restoration is not None]

    def _look_up(self) -> None:
        """Steps 1 and 2, each one request for all partitions.
        A partition with an undecided offset delays no other."""
        assigned = [partition.number for partition in self._partitions.in_phase(Phase.ASSIGNED)]
        if not assigned:
            return
        try:
            self._began = self._began or self._reader.end(range(self._count), self._ask_s)
            committed = self._consumer.committed(assigned, self._ask_s)
            if not committed:
                return
            ends = self._reader.end(committed, self._ask_s)
            firsts = self._reader.first(committed, self._ask_s)
            starts = self._positions.find(committed, self._ask_s)
        except BrokerUnavailable:  # the group must be polled before the next attempt
            self._ask_s = min(2 * self._ask_s, _ASK_AT_MOST_S)
            return
        for number, offset in committed.items():
            self._partitions[number].begin_restore(
                Restoration(offset, ends[number]), starts[number]
            )
        self._reader.start(firsts)
        self._ask_s = _ASK_S
        self._reached("reading")

    def _apply(self, batch: PartitionBatch) -> None:
        """Load the last row of each stream in the batch. Records from the watermark on are ignored:
        they were written by whichever process served the partition after this one."""
        restoration = self._partitions[batch.partition].restoration
        if restoration is None:
            return
        batch = _before(batch, restoration.end)
        if not len(batch):
            return
        rows = self._rows.codec.decode(batch)
        if rows.streams:
            slots = self._slots(batch.partition, rows.streams)
            self._rows.arena.prefix[slots] = rows.prefix
            self._rows.arena.scatter(slots, rows.tensors)
            self._note(slots, rows.generations)
        self._rows.arena.remove(batch.partition, rows.gone)
        restoration.marker = rows.marker or restoration.marker
        restoration.recorded = restoration.recorded.then(rows.recorded)
        restoration.records += len(batch)

    def _slots(self, partition: int, streams: list[bytes]) -> Int64:
        try:
            return self._rows.arena.slots(partition, streams)
        except MemoryError as error:
            what = (
                f"the rows of partition {partition} do not fit "
                f"into memory beside {len(self._rows.arena)} streams"
            )
            action = "give the process more memory, or run more processes in the group"
            raise StateError(f"{what}: {error}", action) from error

    def _finish(self, partition: Partition, restoration: Restoration) -> Restored:
        """Step 4. Raises StateError."""
        number, marker = partition.number, restoration.marker
        streams = self._rows.arena.count(number)
        found = None if marker is None else marker.next_offset
        if found != restoration.committed:
            raise _disagree(number, restoration.committed, found)
        if streams != (0 if marker is None else marker.streams):
            raise _incomplete(number, streams, marker)
        restoration.streams = streams
        clock = Clock() if marker is None else marker.clock
        return Restored(partition, clock, self._adopt(number, restoration))

    def _note(self, slots: Int64, generations: Generations) -> None:
        more = len(self._rows.arena.prefix) - len(self._generations)
        if more > 0:
            self._generations = np.concatenate([self._generations, np.zeros(more, np.uint32)])
        self._generations[slots] = generations

    def _adopt(self, number: int, restoration: Restoration) -> Adopted:
        """The model to serve under; parts of rows that it does not keep are zeroed.
        Raises StateError."""
        place, recorded = f"partition {number}", restoration.recorded
        adopted = self._rows.adoption.adopt(
            place, recorded, restoration.marker, self._began.get(number)
        )
        slots = self._rows.arena.held(number)
        if recorded.model is None:
            check_grid(place, self._rows.arena.prefix[slots], adopted.model)
        for tensors, rows in lost_parts(adopted.model, self._generations[slots]):
            self._rows.arena.zero_tensors(slots[rows], tensors)
        return adopted


def _before(batch: PartitionBatch, end: int) -> PartitionBatch:
    """Records of a batch that lie before an offset."""
    count = int(np.searchsorted(batch.offsets, end))
    if count == len(batch):
        return batch
    columns = (
        batch.keys[:count],
        batch.values[:count],
        batch.timestamps[:count],
        batch.offsets[:count],
    )
    return PartitionBatch(batch.topic, batch.partition, *columns)


def _disagree(partition: int, committed: int | None, marker: int | None) -> StateError:
    group = "no offset" if committed is None else f"offset {committed}"
    changelog = "no marker" if marker is None else f"a marker for offset {marker}"
    what = (
        f"partition {partition}: the group has committed {group}, the changelog holds {changelog}"
    )
    if marker == UNFINISHED:
        return StateError(
            f"partition {partition}: rows were being written by `eddycast state import` or `seed`, "
            "which was interrupted",
            "run it again, as its own error explains",
        )
    if marker is None:
        return StateError(
            what, "set the changelog that belongs to this group, or start over with a new group"
        )
    if committed is None:
        expired = (
            f"if the offsets of the group have expired, set the partition's offset to {marker}"
        )
        return StateError(what, f"{expired}; if an import was interrupted, run it again")
    return StateError(
        what, f"if the rows are right, reset the group's offset of the partition to {marker}"
    )


def _incomplete(partition: int, streams: int, marker: Marker | None) -> StateError:
    wanted = 0 if marker is None else marker.streams
    what = (
        f"partition {partition}: the changelog holds rows "
        f"of {streams} streams, its marker counts {wanted}"
    )
    return StateError(
        what,
        "records were deleted from it: check that its cleanup.policy is compact and nothing else",
    )
