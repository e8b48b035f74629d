"""Readings to closed slots: what `time.aggregate` puts between decoding and the engine.

The rules are those of `slots.py`. Here rows are found, and moved on by `slot_columns.py` or, where
readings of a stream are out of order, by the definition; the slots that close become observations,
in the order of the readings at which they close, and by stream where several close at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.processing.alignment import Verdict
from eddycast.service.processing.slot_columns import gather
from eddycast.service.processing.slot_rows import Bool, Readings, Rows
from eddycast.service.processing.slots import AGGREGATES, OPEN, UNSEEN, Events, Grid
from eddycast.service.records import Int64, Observations, Tombstones
from eddycast.service.state.own_tensors import GATHERED, SLOT
from eddycast.service.state.store import Store

#: Later than every stream time.
_NEVER = np.iinfo(np.int64).max


class Arrived(NamedTuple):
    """All readings of one partition in a chunk."""

    observations: Observations
    taken: Bool  # [n]: those that may have a row
    contradicted: Bool  # [n]: stamps that disagree with the stream time
    tombstones: Tombstones


@dataclass(frozen=True, slots=True)
class Gathered:
    """The slots that closed, as one observation each, by partition."""

    observations: list[Observations]
    set_back: Bool  # [m]: slots that opened as the clock was set back
    verdicts: NDArray[np.int8]  # [n], of all readings: GATHERED, DUPLICATE, LATE, SET_BACK or NEXT

    @property
    def settled(self) -> NDArray[np.int8]:
        """The verdicts of readings that have no slot of their own. The others are counted by the
        verdicts of their slots, once they have closed."""
        own = (Verdict.GATHERED, Verdict.DUPLICATE, Verdict.LATE)
        return self.verdicts[np.isin(self.verdicts, own)]


class _Found(NamedTuple):
    """Rows of one partition: those with readings, then others of which a slot is due."""

    names: list[bytes]
    slots: Int64  # of the arena
    rows: Rows
    readings: Readings
    order: Int64  # index of each of the readings among all of the partition


class Gathering:
    """Gathers readings into the rows of a store."""

    def __init__(self, store: Store, interval_ms: int, aggregate: str, close_after_ms: int) -> None:
        """`aggregate` is a key of `slots.AGGREGATES`."""
        self._store, self._value = store, AGGREGATES[aggregate]
        self._grid = Grid(interval_ms, close_after_ms)

    def take(self, arrived: Sequence[Arrived]) -> Gathered:
        """Take the readings of one chunk, in the order of their records, at most one entry for each
        partition. Changes the rows. Raises MemoryError."""
        taken = [self._partition(one) for one in arrived]
        observations, set_back, verdicts = zip(*taken, strict=True)
        return Gathered(list(observations), np.concatenate(set_back), np.concatenate(verdicts))

    def _partition(self, arrived: Arrived) -> tuple[Observations, Bool, NDArray[np.int8]]:
        one = arrived.observations
        verdicts = np.full(len(one), Verdict.NEXT, np.int8)
        if not len(one):
            return one, np.zeros(0, np.bool_), verdicts
        times = self._store.eviction.times(one.partition, one.timestamps)
        found = self._find(arrived, int(times.max()))
        self._store.journal.touch(
            one.partition, found.names, found.slots, found.rows.status == UNSEEN
        )
        events, own, irregular = gather(found.rows, found.readings, times, self._grid)
        if irregular.any():
            more = self._one_by_one(found, arrived, times, irregular, own)
            columns = zip(events, more, strict=True)
            events = Events(*(np.concatenate(pair) for pair in columns))
        verdicts[found.order] = own
        self._keep(one.partition, found)
        return *self._closed(one, arrived.tombstones, found.names, events), verdicts

    def _find(self, arrived: Arrived, latest: int) -> _Found:
        """The rows of a partition that may change; streams never seen are given one.
        `latest` is the latest stream time, ms."""
        one, arena = arrived.observations, self._store.arena
        here = np.flatnonzero(arrived.taken)
        streams = one.streams if len(here) == len(one) else [one.streams[i] for i in here.tolist()]
        slots = arena.slots(one.partition, streams)
        order = np.argsort(slots, kind="stable")
        first = np.diff(slots[order], prepend=-1) != 0
        names = [streams[i] for i in order[first].tolist()]
        own, order = slots[order][first], here[order]
        more, due = self._due(one.partition, own, latest)
        values = one.values[order] + 0.0  # -0.0 becomes 0.0, which it is equal to
        readings = Readings(np.cumsum(first) - 1, order, one.timestamps[order], values)
        slots = np.concatenate([own, due])
        return _Found(names + more, slots, self._rows(slots), readings, order)

    def _due(self, partition: int, found: Int64, latest: int) -> tuple[list[bytes], Int64]:
        """Streams and slots of rows that are not among those found, with an open slot that is due
        at a stream time. The rows are only looked at if one of them may be."""
        facts, arena = self._store.rows(partition), self._store.arena
        if facts.earliest_due is not None and facts.earliest_due > latest:
            return [], np.empty(0, np.int64)
        held = arena.held(partition)
        status, _, due = arena.gather(held, [SLOT])[SLOT].T
        due = np.where(status >= OPEN, due, _NEVER)
        now = due <= latest
        facts.earliest_due = int(due[~now].min(initial=_NEVER))
        others = np.flatnonzero(now & ~np.isin(held, found))
        streams = arena.streams(partition) if len(others) else []
        return [streams[i] for i in others.tolist()], held[others]

    def _rows(self, slots: Int64) -> Rows:
        arena = self._store.arena
        own, prefix = arena.gather(slots, [SLOT, GATHERED]), arena.prefix[slots]
        status, slot, due = own[SLOT].T.copy()
        return Rows(
            status,
            slot,
            due,
            prefix["last_timestamp"].copy(),
            prefix["late_timestamp"].copy(),
            prefix["late_run"].copy(),
            own[GATHERED],
        )

    def _keep(self, partition: int, found: _Found) -> None:
        """Store the rows. `earliest_due` stays a lower bound."""
        rows, prefix = found.rows, self._store.arena.prefix
        own = np.stack([rows.status, rows.slot, rows.due], axis=1)
        self._store.arena.scatter(found.slots, {SLOT: own, GATHERED: rows.figures})
        prefix["last_timestamp"][found.slots] = rows.newest
        prefix["late_timestamp"][found.slots] = rows.late_timestamp
        prefix["late_run"][found.slots] = rows.late_run
        facts, due = self._store.rows(partition), rows.due[rows.is_open]
        before = _NEVER if facts.earliest_due is None else facts.earliest_due
        facts.earliest_due = int(due.min(initial=before))

    def _one_by_one(
        self,
        found: _Found,
        arrived: Arrived,
        times: Int64,
        irregular: Bool,
        verdicts: NDArray[np.int8],
    ) -> Events:
        """Take the readings of irregular rows by the definition. Changes their rows and verdicts
        (of the sorted readings)."""
        rows, readings = found.rows, found.readings
        which: list[int] = []
        closed = []
        ends = np.searchsorted(readings.row, np.arange(len(rows.status) + 1)).tolist()
        for row in np.flatnonzero(irregular).tolist():
            stream = rows.at(row, self._grid, times)
            for i in range(ends[row], ends[row + 1]):
                at = int(readings.position[i])
                contradicted = bool(arrived.contradicted[at])
                verdicts[i] = stream.read(
                    at, int(readings.stamps[i]), readings.values[i], contradicted
                )
            stream.close_until(len(times))
            rows.put(row, stream)
            which += [row] * len(stream.closed)
            closed += stream.closed
        position, slot, figures, set_back = (
            zip(*closed, strict=True) if closed else ((), (), (), ())
        )
        return Events(
            np.array(position, np.int64),
            np.array(which, np.int64),
            np.array(slot, np.int64),
            np.array(figures).reshape(-1, *rows.figures.shape[1:]),
            np.array(set_back, np.bool_),
        )

    def _closed(
        self, one: Observations, tombstones: Tombstones, names: list[bytes], events: Events
    ) -> tuple[Observations, Bool]:
        """Closed slots as observations, but for those of streams that were removed before."""
        streams = [names[row] for row in events.row.tolist()]
        offsets = one.offsets[events.position]
        order = sorted(range(len(streams)), key=lambda i: (int(events.position[i]), streams[i]))
        if len(tombstones):
            gone = dict(
                zip(
                    reversed(tombstones.streams), reversed(tombstones.offsets.tolist()), strict=True
                )
            )
            order = [i for i in order if offsets[i] <= gone.get(streams[i], offsets[i])]
        where = np.array(order, np.int64)
        position = events.position[where]
        closed = Observations(
            one.partition,
            [streams[i] for i in order],
            events.slot[where] * self._grid.interval_ms,
            self._value(events.figures[where]),
            one.record_times[position],
            offsets[where],
        )
        return closed, events.set_back[where]
