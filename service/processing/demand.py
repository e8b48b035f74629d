"""Estimate the graph steps of a poll, and their cost, before running it.

A call of the graph costs about the same for one row as for `ROWS_PER_CALL` rows, hence

    cost = calls + rows / ROWS_PER_CALL

Only rows of different streams share a call, and a wave takes as many calls as its longest gap: one
stream with many gaps takes more calls than ten thousand streams side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eddycast.service.bundle import SETTLING
from eddycast.service.records import Int64, Observations
from eddycast.service.state.arena import Arena

#: Number of rows that cost as much as the call itself.
ROWS_PER_CALL = 64


#: Steps of a reading whose gap is jumped over: the jump, the steps after it, and its own.
JUMPED_STEPS = 2 + SETTLING


class Demand(NamedTuple):
    """Estimated steps for the observations of one partition, one entry each."""

    # graph steps including imputed ones: at least 1, at most one too few, rarely too many
    steps: Int64
    stream: Int64  # number of the stream, from 0
    rank: Int64  # number of earlier observations of the same stream in the poll


class StepEstimator:
    """Estimates the demand of observations from their stamps and the rows of their streams."""

    def __init__(
        self,
        arena: Arena,
        interval_ms: int,
        max_gap: int,
        stepped: int | None = None,
        held: int = 0,
    ) -> None:
        """Gaps of over `max_gap` slots begin a stream anew; of those up to that, gaps of over
        `stepped` slots are jumped over (None: none are), but for the first `held`."""
        self._arena, self._interval_ms, self._max_gap = arena, interval_ms, max_gap
        self._stepped = max_gap if stepped is None else min(stepped + held, max_gap)
        self._jumped_steps = JUMPED_STEPS + held

    def __call__(self, observations: Observations) -> Demand:
        """Return the demand of one partition's observations; adds no streams to the arena."""
        streams = observations.streams
        seen: dict[bytes, int] = {}
        ids = np.fromiter(
            (seen.setdefault(stream, len(seen)) for stream in streams), np.int64, len(streams)
        )
        order = np.argsort(ids, kind="stable")
        grouped, stamps = ids[order], observations.timestamps[order]
        starts = np.flatnonzero(np.diff(grouped, prepend=-1))
        slots = self._arena.known(observations.partition, list(seen))
        before = np.empty_like(stamps)
        before[1:] = stamps[:-1]
        before[starts] = np.where(
            slots >= 0, self._arena.prefix["last_timestamp"][slots], stamps[starts]
        )
        steps, rank = np.empty_like(stamps), np.empty_like(stamps)
        steps[order] = self._steps(stamps, before, grouped, starts)
        rank[order] = np.arange(len(stamps)) - starts[grouped]
        return Demand(steps, ids, rank)

    def _steps(self, stamps: Int64, before: Int64, grouped: Int64, starts: Int64) -> Int64:
        """Return the steps for each stamp, given the stamp before it; both sorted by stream.

        `starts` holds the index at which each stream starts. If the stamps of a stream decrease,
        its readings are late or its clock was set back, so the gap is measured from the smallest
        stamp so far.
        """
        falls = np.unique(grouped[stamps < before])
        ends = np.append(starts[1:], len(stamps))
        for start, end in zip(starts[falls].tolist(), ends[falls].tolist(), strict=True):
            before[start:end] = np.minimum.accumulate(before[start:end])
        slots_on = (stamps - before + self._interval_ms // 2) // self._interval_ms
        stepped = np.clip(slots_on, 1, self._stepped + 1)
        bridged = np.where(slots_on > self._stepped + 1, self._jumped_steps, stepped)
        bridged[slots_on > self._max_gap + 1] = 1
        steps: Int64 = np.where(np.isin(grouped, falls), stepped, bridged)
        return steps


def cost(calls: int, rows: int) -> float:
    """Return the cost in units of one call with few rows."""
    return calls + rows / ROWS_PER_CALL


def split_by_cost(demands: Sequence[Demand], order: Int64, at_most: float) -> Int64:
    """Split observations into parts that cost at most `at_most`, or that are a single observation.

    Returns the part number of each observation along `order`, non-decreasing; `order` indexes the
    concatenated `demands`.
    """
    steps = np.concatenate([demand.steps for demand in demands])
    rank = np.concatenate([demand.rank for demand in demands])
    highest = int(rank.max()) + 1 + int((steps - 1).sum())
    if cost(highest, int(steps.sum())) <= at_most:
        return np.zeros(len(order), np.int64)
    firsts = np.cumsum([0, *(int(demand.stream.max(initial=-1)) + 1 for demand in demands[:-1])])
    streams = np.concatenate(
        [demand.stream + first for demand, first in zip(demands, firsts, strict=True)]
    )
    columns = (column[order].tolist() for column in (streams, rank, steps))
    part, numbers = _Part(), list[int]()
    for stream, place, count in zip(*columns, strict=True):
        if not part.takes(stream, place, count, at_most):
            part = _Part(part.number + 1)
            part.takes(stream, place, count, at_most)
        numbers.append(part.number)
    return np.array(numbers, np.int64)


class _Part:
    """Observations that run together, with the longest gap of each of their waves."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self._cost = 0.0
        self._first: dict[int, int] = {}  # stream -> rank of its first observation here
        self._waves: list[int] = []  # maximum steps of an observation in each wave

    def takes(self, stream: int, rank: int, steps: int, at_most: float) -> bool:
        """Add an observation unless the part would cost more than `at_most`;
        the first one always fits."""
        wave = rank - self._first.get(stream, rank)
        longest = self._waves[wave] if wave < len(self._waves) else 0
        after = self._cost + cost(max(steps - longest, 0), steps)
        if after > at_most and self._waves:
            return False
        self._cost = after
        self._first.setdefault(stream, rank)
        if wave == len(self._waves):
            self._waves.append(0)
        self._waves[wave] = max(longest, steps)
        return True
