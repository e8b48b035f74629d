"""Renewal within a backtest: models that replace one another, each with the rows of the one before.

A model is trained on the readings before the first row that it forecasts, so no forecast uses a
value after its origin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final, NamedTuple

from eddycast.service.model.runtime import Runtime
from eddycast.service.records import Int64
from eddycast.service.registry.rehearsal import taken_over
from eddycast.service.state.arena import Arena
from eddycast.training.data.panel import Panel
from eddycast.training.evaluation.driving import ScoringProgress, drive, no_progress
from eddycast.training.evaluation.protocols.scoring import Chunk

_PARTITION: Final = 0  # of the rows in a replay


class Renewal(NamedTuple):
    """A plan of renewals: `every` so many rows of the hold-out `train` makes the next model of the
    rows before."""

    every: int
    train: Callable[[Panel], Runtime]


def drive_renewed(
    runtime: Runtime,
    panel: Panel,
    origins: Int64,
    renewal: Renewal,
    report: ScoringProgress = no_progress,
) -> Iterator[Chunk]:
    """Run a panel as `drive` does, by `runtime` up to the first renewal and then by newer models,
    each of which takes over the rows of its predecessor as a promotion would."""
    arena = Arena(runtime.manifest.state, capacity=max(len(panel.streams), 1))
    first = int(origins[0]) + 1 + renewal.every
    edges = [0, *range(first, len(panel), renewal.every), len(panel)]
    for start, end in pairwise(edges):
        if start:
            newer = renewal.train(panel.rows(0, start))
            arena, runtime = adopted(arena, runtime, newer), newer
        own = origins[(origins >= start) & (origins < end)] - start
        for chunk in drive(runtime, panel.rows(start, end), own, arena=arena):
            yield replace(chunk, row=chunk.row + start)
        report(end, len(panel))


def adopted(arena: Arena, old: Runtime, new: Runtime) -> Arena:
    """The rows of a model in a replay, as another one takes them over; `arena` stays as it is."""
    streams = arena.streams(_PARTITION)
    found = Arena(new.manifest.state, capacity=max(len(streams), 1))
    here, there = found.slots(_PARTITION, streams), arena.slots(_PARTITION, streams)
    found.prefix[here] = arena.prefix[there]
    found.scatter(here, taken_over(old, new, arena.gather(there), len(streams)))
    return found
