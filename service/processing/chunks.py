"""Cut a poll into chunks, each of which may be followed by a commit.

A chunk continues every partition where the previous chunk ended, so what is committed after it is a
prefix of every partition. There are four reasons to cut:

    steps        a stream that returns after a day adds a thousand imputed steps with one record,
                 and a transaction may hold only so many
    cost         a turn has a time limit (`demand.py`)
    evictions    they happen after certain records
    tombstones   their streams are removed at the end of a chunk,
                 so later readings of them need another one
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eddycast.service.processing.demand import StepEstimator, split_by_cost
from eddycast.service.records import (
    DeadLetter,
    Int64,
    Observations,
    PartitionBatch,
    Tombstones,
    next_offset,
)

#: Callable (partition, timestamps [n]) -> cut counts [n]; implemented by `Eviction.cuts`.
Cuts = Callable[[int, Int64], Int64]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Records of one partition with their observations, dead letters and tombstones,
    all in offset order."""

    batch: PartitionBatch
    observations: Observations
    letters: list[DeadLetter]
    filtered: Int64  # offsets of readings that the settings pass over
    tombstones: Tombstones


def cut_into_chunks(
    decoded: Sequence[Decoded],
    steps: StepEstimator,
    cuts: Cuts,
    at_most: int,
    costing: float = math.inf,
) -> Iterator[list[Decoded]]:
    """Yield chunks of about `at_most` steps that cost about `costing` each (unit: `demand.cost`).

    Within a chunk no stream is evicted before the last record.
    """
    numbers = _numbers(decoded, steps, cuts, at_most, costing)
    last = max((int(column[-1]) for column in numbers if len(column)), default=0)
    if last == 0:
        yield list(decoded)
        return
    for number in range(last + 1):
        cut = [_part(one, column, number) for one, column in zip(decoded, numbers, strict=True)]
        if kept := [part for part in cut if len(part.batch)]:
            yield kept


def _numbers(
    decoded: Sequence[Decoded], steps: StepEstimator, cuts: Cuts, at_most: int, costing: float
) -> list[Int64]:
    """Return the chunk number of each observation, one int64 [n] per partition, non-decreasing."""
    lengths = [len(one.observations) for one in decoded]
    if not sum(lengths):
        return [np.empty(0, np.int64) for _ in lengths]
    place = np.concatenate([np.arange(length) for length in lengths])
    # the first of each partition, then the second of each, …
    order = np.argsort(place, kind="stable")
    demands = [steps(one.observations) for one in decoded]
    needed = np.concatenate([demand.steps for demand in demands])
    number = np.empty(len(order), np.int64)
    number[order] = (np.cumsum(needed[order]) - 1) // at_most + split_by_cost(
        demands, order, costing
    )
    ends = np.cumsum(lengths)[:-1]
    return [
        _by_record(
            one.observations, column + cuts(one.batch.partition, one.observations.timestamps)
        )
        + _returns(one)
        if len(column)
        else column
        for one, column in zip(decoded, np.split(number, ends), strict=True)
    ]


def _by_record(readings: Observations, numbers: Int64) -> Int64:
    """Give all readings of a record the number of its first: a record is never divided. A sweep
    that is due inside a record therefore follows the record."""
    offsets = readings.offsets
    return numbers if readings.places is None else numbers[np.searchsorted(offsets, offsets)]


def _returns(one: Decoded) -> Int64 | int:
    """Count the cuts before each observation that are due to tombstones: int64 [n], cumulative.

    An observation of a stream with an earlier tombstone needs a cut before its record,
    which removes all streams with one.
    """
    removals, readings = one.tombstones, one.observations
    if not len(removals):
        return 0
    returns, gone, done = np.zeros(len(readings), np.int64), set[bytes](), 0
    before = np.searchsorted(removals.offsets, readings.offsets).tolist()
    for i, stream in enumerate(readings.streams):
        gone.update(removals.streams[done : before[i]])
        done = before[i]
        if stream in gone:
            returns[np.searchsorted(readings.offsets, readings.offsets[i])] = 1
            gone.clear()
    return np.cumsum(returns)


def _part(one: Decoded, numbers: Int64, number: int) -> Decoded:
    """Return the share of a partition in chunk `number`.

    Records without an observation go with the observation before them, or with the first one.
    """
    start, stop = np.searchsorted(numbers, [number, number + 1]).tolist()
    offsets, end = one.observations.offsets, next_offset(one.batch)
    lowest = (
        int(offsets[start]) if number > 0 and start < len(offsets) else 0 if number == 0 else end
    )
    highest = int(offsets[stop]) if stop < len(offsets) else end
    return Decoded(
        records_between(one.batch, lowest, highest),
        select(one.observations, np.arange(start, stop)),
        [letter for letter in one.letters if lowest <= letter.offset < highest],
        one.filtered[slice(*np.searchsorted(one.filtered, [lowest, highest]))],
        _tombstones(one.tombstones, lowest, highest),
    )


def records_between(batch: PartitionBatch, lowest: int, highest: int) -> PartitionBatch:
    """Return the records with `lowest <= offset < highest`, after which `highest` comes next."""
    start, stop = np.searchsorted(batch.offsets, [lowest, highest]).tolist()
    here = slice(start, stop)
    columns = batch.keys[here], batch.values[here], batch.timestamps[here], batch.offsets[here]
    headers = None if batch.headers is None else batch.headers[here]
    return PartitionBatch(batch.topic, batch.partition, *columns, batch.damaged, highest, headers)


def _tombstones(column: Tombstones, lowest: int, highest: int) -> Tombstones:
    start, stop = np.searchsorted(column.offsets, [lowest, highest]).tolist()
    return Tombstones(column.streams[start:stop], column.offsets[start:stop])


def select(column: Observations, which: Int64) -> Observations:
    """Return the observations at the indexes `which`, ascending."""
    if len(which) == len(column):
        return column
    return Observations(
        column.partition,
        [column.streams[i] for i in which.tolist()],
        column.timestamps[which],
        column.values[which],
        column.record_times[which],
        column.offsets[which],
        None if column.places is None else [column.places[i] for i in which.tolist()],
    )
