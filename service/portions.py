"""A poll cut into portions, each of which may be followed by a commit.

A portion holds, of each partition, the records that follow those of the portion before: what is committed after it is
a prefix of every partition. There are two reasons to cut: steps (a stream that comes back after a day brings a thousand
imputed steps with one record, and a transaction takes so many), and evictions, which happen after certain records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.records import DeadLetter, Int64, Observations, PartitionBatch, next_offset
from service.state.arena import Arena

#: Of a partition number and its readings' stamps: `Eviction.cuts`.
Cuts = Callable[[int, Int64], Int64]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one partition brought: its records, the observations and dead letters among them, all in offset order."""

    batch: PartitionBatch
    observations: Observations
    letters: list[DeadLetter]


class Steps:
    """How many steps of the graph each observation asks for, imputed ones included: seldom too few, never by much."""

    def __init__(self, arena: Arena, interval_ms: int, max_gap: int) -> None:
        self._arena, self._interval_ms, self._max_gap = arena, interval_ms, max_gap

    def __call__(self, observations: Observations) -> Int64:
        """int64 [n], at least 1 each."""
        stamps = observations.timestamps
        slots = self._arena.known(observations.partition, observations.streams)
        seen: dict[bytes, int] = {}
        ids = np.fromiter((seen.setdefault(stream, len(seen)) for stream in observations.streams), np.int64, len(slots))
        order = np.argsort(ids, kind="stable")
        before = np.where(slots >= 0, self._arena.prefix["last_timestamp"][slots], stamps)
        again = np.diff(ids[order], prepend=-1) == 0
        before[order[again]] = stamps[order[np.flatnonzero(again) - 1]]
        slots_on = (stamps - before + self._interval_ms // 2) // self._interval_ms
        bridged: Int64 = np.where(slots_on > self._max_gap + 1, 1, np.maximum(slots_on, 1))
        return bridged


def portions(decoded: Sequence[Decoded], steps: Steps, cuts: Cuts, at_most: int) -> Iterator[list[Decoded]]:
    """The poll in portions of about `at_most` steps, in which nobody is to be evicted before the last record."""
    numbers = _numbers(decoded, steps, cuts, at_most)
    last = max((int(column[-1]) for column in numbers if len(column)), default=0)
    if last == 0:
        yield list(decoded)
        return
    for number in range(last + 1):
        parts = [_part(one, column, number) for one, column in zip(decoded, numbers, strict=True)]
        if kept := [part for part in parts if len(part.batch)]:
            yield kept


def _numbers(decoded: Sequence[Decoded], steps: Steps, cuts: Cuts, at_most: int) -> list[Int64]:
    """The portion of each observation, by partition; rising within each, since both reasons to cut are."""
    lengths = [len(one.observations) for one in decoded]
    if not sum(lengths):
        return [np.empty(0, np.int64) for _ in lengths]
    place = np.concatenate([np.arange(length) for length in lengths])
    order = np.argsort(place, kind="stable")  # first the first of each partition, then the second of each
    asked = np.concatenate([steps(one.observations) for one in decoded])
    number = np.empty(len(order), np.int64)
    number[order] = (np.cumsum(asked[order]) - 1) // at_most
    ends = np.cumsum(lengths)[:-1]
    return [
        column + cuts(one.observations.partition, one.observations.timestamps) if len(column) else column
        for one, column in zip(decoded, np.split(number, ends), strict=True)
    ]


def _part(one: Decoded, numbers: Int64, number: int) -> Decoded:
    """What portion `number` has of a partition. Records that are no observation go with those in front of them, or
    with the first; after the last observation, with it."""
    start, stop = np.searchsorted(numbers, [number, number + 1]).tolist()
    offsets, end = one.observations.offsets, next_offset(one.batch)
    lowest = int(offsets[start]) if number > 0 and start < len(offsets) else 0 if number == 0 else end
    highest = int(offsets[stop]) if stop < len(offsets) else end
    return Decoded(
        _records(one.batch, lowest, highest),
        _observations(one.observations, slice(start, stop)),
        [letter for letter in one.letters if lowest <= letter.offset < highest],
    )


def _records(batch: PartitionBatch, lowest: int, highest: int) -> PartitionBatch:
    start, stop = np.searchsorted(batch.offsets, [lowest, highest]).tolist()
    here = slice(start, stop)
    columns = batch.keys[here], batch.values[here], batch.timestamps[here], batch.offsets[here]
    return PartitionBatch(batch.topic, batch.partition, *columns, batch.damaged, highest)


def _observations(column: Observations, here: slice) -> Observations:
    return Observations(
        column.partition,
        column.streams[here],
        column.timestamps[here],
        column.values[here],
        column.record_times[here],
        column.offsets[here],
    )
