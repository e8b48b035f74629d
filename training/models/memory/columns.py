"""The memory over a whole history at once: what `Memory.update` gives one observation at a time,
as columns.

Training reads features at random places from here; `Forecaster.unroll` reads all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.training.models.memory.memory import FILL_LEVEL, MemorySpec
from eddycast.training.models.memory.table import TableColumns, unroll_table
from eddycast.training.models.memory.units import scale_of


@dataclass(frozen=True)
class Columns:
    """The unrolled memory: everything after each step, time first. Raw values in float64."""

    spec: MemorySpec
    timestamps: NDArray[np.int64]  # [T]
    # [T, S] observed or filled; before the first observation, the first value
    x: NDArray[np.float64]
    last: NDArray[np.float64]  # [T, S] last observed value
    observed: NDArray[np.bool_]  # [T, S]
    count: NDArray[np.int64]  # [T, S] observed so far, this step included
    tables: tuple[TableColumns, ...]  # of every season
    # [T, S] each season's estimate before the value came
    estimates: tuple[NDArray[np.float64], ...]
    level: NDArray[np.float64]  # [T, S, half-lives]
    spread: NDArray[np.float64]  # [T, S, 2 or 4]
    beside: tuple[Columns, ...] = ()  # of the other channels of the same streams

    @property
    def size(self) -> int:
        """Length of a feature vector."""
        return self.spec.features + sum(other.size for other in self.beside)

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """[T, S]"""
        return scale_of(torch.as_tensor(self.spread, device="cpu")).numpy()

    def of(self, streams: slice) -> Columns:
        """The memory of some of the streams, as views."""
        return replace(
            self,
            x=self.x[:, streams],
            last=self.last[:, streams],
            observed=self.observed[:, streams],
            count=self.count[:, streams],
            tables=tuple(table.of(streams) for table in self.tables),
            estimates=tuple(estimate[:, streams] for estimate in self.estimates),
            level=self.level[:, streams],
            spread=self.spread[:, streams],
            beside=tuple(other.of(streams) for other in self.beside),
        )

    def features(self, t: NDArray[np.int64], s: NDArray[np.int64]) -> NDArray[np.float32]:
        """The feature vectors [n, size] at times `t` [n] of streams `s` [n]: those of
        `Memory.read`, then those of each channel beside, zeros before its first value."""
        others = [
            np.where((other.count[t, s] > 0)[:, None], other.features(t, s), np.float32(0))
            for other in self.beside
        ]
        return np.concatenate([self._own_features(t, s), *others], 1)

    def _own_features(self, t: NDArray[np.int64], s: NDArray[np.int64]) -> NDArray[np.float32]:
        """[n, features]"""
        spec, anchor = self.spec, self.x[t, s]
        back = np.arange(spec.lags - 1, 0, -1)
        parts = [self.x[np.maximum(t[:, None] - back, 0), s[:, None]]]
        seasons = [table.features(t, s, anchor) for table in self.tables]
        parts += seasons[:1]
        if spec.half_lives:
            parts.append(self.level[t, s])
        parts += seasons[1:]
        scale = self.scale[t, s]
        difference = np.concatenate(parts, 1) - anchor[:, None]
        return (difference / np.where(scale > 0, scale, 1.0)[:, None]).astype(np.float32)


def unroll_memory(
    spec: MemorySpec, values: NDArray[np.float64], timestamps: NDArray[np.int64]
) -> Columns:
    """`Memory.update` after every step of `values` [T, S] (NaN = missing) on the grid `timestamps`
    [T], vectorised over streams."""
    steps, streams = values.shape
    observed = ~np.isnan(values)
    known = np.where(observed, values, 0.0)
    count = np.cumsum(observed, 0)
    level = _averages(known[:, :, None], observed, count, spec.level_rates)
    tables = _tables(spec, known, observed, timestamps)
    fill = _fill(spec, tables, level)
    first = observed & (count == 1)
    newest = np.maximum.accumulate(np.where(observed, np.arange(steps)[:, None], -1), 0)
    last = np.where(newest >= 0, np.take_along_axis(known, np.maximum(newest, 0), 0), 0.0)
    before = np.concatenate([np.zeros((1, streams)), last[:-1]])
    x = np.where(observed, values, np.where(np.isnan(fill), before, fill))
    start = np.argmax(observed, 0)
    x = np.where(count == 0, known[start, np.arange(streams)], x)
    previous = np.concatenate([x[:1], x[:-1]])
    befores = [table.before(0) for table in tables]
    estimates = [np.where(np.isnan(before), previous, before) for before in befores]
    changes = [np.where(first, 0.0, np.abs(x - one)) for one in (previous, *estimates[:1])]
    differences = np.stack([change for change in changes for _ in range(2)], -1)
    spread = _averages(differences, observed, np.maximum(count - 1, 1), spec.spread_rates)
    return Columns(
        spec, timestamps, x, last, observed, count, tables, tuple(estimates), level, spread
    )


def _averages(
    new: NDArray[np.float64],
    observed: NDArray[np.bool_],
    count: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The memory's averages along time: new [T, S, 1 or J] -> [T, S, J]."""
    steps, streams = observed.shape
    out = np.empty((steps, streams, len(rates)))
    weight = np.where(
        observed[:, :, None], np.maximum(rates, 1.0 / np.maximum(count, 1)[:, :, None]), 0.0
    )
    state = np.zeros((streams, len(rates)))
    for t in range(steps):
        state = state + weight[t] * (new[t] - state)
        out[t] = state
    return out


def _tables(
    spec: MemorySpec,
    known: NDArray[np.float64],
    observed: NDArray[np.bool_],
    timestamps: NDArray[np.int64],
) -> tuple[TableColumns, ...]:
    """The columns of each season's table. A fill that is moved to the level needs the mean of the
    first table."""
    mean_of = spec.fill if spec.half_lives else None
    wanted = [
        (table, mean) for table, mean in ((spec.season, mean_of), (spec.second, None)) if table.bins
    ]
    return tuple(unroll_table(table, known, observed, timestamps, mean) for table, mean in wanted)


def _fill(
    spec: MemorySpec, tables: tuple[TableColumns, ...], level: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[T, S] what stands for each value if it is missing;
    NaN where its phase was never seen, or without a season."""
    if not tables:
        return np.full(level.shape[:2], np.nan)
    if not spec.half_lives:
        return tables[0].before(0)
    before = np.concatenate([np.zeros_like(level[:1]), level[:-1]])[:, :, FILL_LEVEL]
    moved: NDArray[np.float64] = tables[0].before(spec.fill) + before - tables[0].mean
    return moved
