"""The memory over a whole history at once: what `Memory.update` gives one observation at a time, as columns.

Training reads features at random places from here; `Forecaster.unroll` reads all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from training.models.memory import FILL_LEVEL, MemorySpec
from training.models.units import scale_of


@dataclass(frozen=True)
class Columns:
    """The unrolled memory: everything after each step, time first. Raw values in float64."""

    spec: MemorySpec
    timestamps: NDArray[np.int64]  # [T]
    x: NDArray[np.float64]  # [T, S] observed or filled; before the first observation, the first value
    last: NDArray[np.float64]  # [T, S] last observed value
    observed: NDArray[np.bool_]  # [T, S]
    count: NDArray[np.int64]  # [T, S] observed so far, this step included
    seasonal: NDArray[np.float64]  # [T, S] the table's estimate before the value came
    entry: NDArray[np.float64]  # [T, S, rates] the present bin's table entries; NaN = not seen yet
    level: NDArray[np.float64]  # [T, S, half-lives]
    spread: NDArray[np.float64]  # [T, S, 2 or 4]

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """[T, S]"""
        return scale_of(torch.as_tensor(self.spread)).numpy()

    def features(self, t: NDArray[np.int64], s: NDArray[np.int64]) -> NDArray[np.float32]:
        """The feature vectors [n, features] of `Memory.read` at times `t` [n] of streams `s` [n]."""
        spec, anchor = self.spec, self.x[t, s]
        back = np.arange(spec.lags - 1, 0, -1)
        parts = [self.x[np.maximum(t[:, None] - back, 0), s[:, None]]]
        if spec.bins:
            visits = self.last_visits(t)
            table = self.entry[np.maximum(visits, 0), s[:, None]]
            table = np.where((visits >= 0)[:, :, None] & ~np.isnan(table), table, anchor[:, None, None])
            parts.append(table.transpose(0, 2, 1).reshape(len(t), -1))
        if spec.half_lives:
            parts.append(self.level[t, s])
        scale = self.scale[t, s]
        difference = np.concatenate(parts, 1) - anchor[:, None]
        return (difference / np.where(scale > 0, scale, 1.0)[:, None]).astype(np.float32)

    def last_visits(self, t: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n, bins]: the step at which each bin, from the next to the present one, was last visited (< 0: never)."""
        spec, first = self.spec, int(self.timestamps[0]) // self.spec.interval_ms
        present = (first + t) // spec.width
        ahead = np.arange(1, spec.bins)
        ends = (present[:, None] + ahead - spec.bins) * spec.width + spec.width - 1 - first
        return np.concatenate([ends, t[:, None]], 1)


def unroll_memory(spec: MemorySpec, values: NDArray[np.float64], timestamps: NDArray[np.int64]) -> Columns:
    """`Memory.update` after every step of `values` [T, S] (NaN = missing) on the grid `timestamps` [T], vectorised
    over streams."""
    steps, streams = values.shape
    observed = ~np.isnan(values)
    known = np.where(observed, values, 0.0)
    count = np.cumsum(observed, 0)
    level = _averages(known[:, :, None], observed, count, spec.level_rates)
    entry, seasonal_entry, fill = _tables(spec, known, observed, level, timestamps)
    first = observed & (count == 1)
    newest = np.maximum.accumulate(np.where(observed, np.arange(steps)[:, None], -1), 0)
    last = np.where(newest >= 0, np.take_along_axis(known, np.maximum(newest, 0), 0), 0.0)
    before = np.concatenate([np.zeros((1, streams)), last[:-1]])
    x = np.where(observed, values, np.where(np.isnan(fill), before, fill))
    start = np.argmax(observed, 0)
    x = np.where(count == 0, known[start, np.arange(streams)], x)
    previous = np.concatenate([x[:1], x[:-1]])
    seasonal = np.where(np.isnan(seasonal_entry), previous, seasonal_entry)
    changes = [np.where(first, 0.0, np.abs(x - previous)), np.where(first, 0.0, np.abs(x - seasonal))]
    differences = np.stack([changes[0], changes[0], changes[1], changes[1]][: len(spec.spreads)], -1)
    spread = _averages(differences, observed, np.maximum(count - 1, 1), spec.spread_rates)
    return Columns(spec, timestamps, x, last, observed, count, seasonal, entry, level, spread)


def _averages(
    new: NDArray[np.float64], observed: NDArray[np.bool_], count: NDArray[np.int64], rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The memory's averages along time: new [T, S, 1 or J] -> [T, S, J]."""
    steps, streams = observed.shape
    out = np.empty((steps, streams, len(rates)))
    weight = np.where(observed[:, :, None], np.maximum(rates, 1.0 / np.maximum(count, 1)[:, :, None]), 0.0)
    state = np.zeros((streams, len(rates)))
    for t in range(steps):
        state = state + weight[t] * (new[t] - state)
        out[t] = state
    return out


def _tables(
    spec: MemorySpec,
    known: NDArray[np.float64],
    observed: NDArray[np.bool_],
    level: NDArray[np.float64],
    timestamps: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The present bin's entries after each step [T, S, rates]; the first table's estimate and the fill before it
    [T, S]. NaN where the bin was never seen (or there is no season)."""
    rates = spec.table_rates
    steps, streams = known.shape
    entries = np.full((steps, streams, len(rates)), np.nan)
    estimate, fill = np.full((steps, streams), np.nan), np.full((steps, streams), np.nan)
    if not spec.bins:
        return entries, estimate, fill
    table, seen = np.zeros((spec.bins, streams, len(rates))), np.zeros((spec.bins, streams))
    total, levelled = np.zeros(streams), bool(spec.half_lives)
    where = (timestamps // spec.interval_ms // spec.width) % spec.bins
    for t in range(steps):
        b, o = where[t], observed[t]
        entry, visited = table[b], seen[b] > 0
        estimate[t] = np.where(visited, entry[:, 0], np.nan)
        if levelled:
            mean = total / np.maximum((seen > 0).sum(0), 1)
            moved = entry[:, spec.fill] + (level[t - 1, :, FILL_LEVEL] if t else 0.0) - mean
        else:
            moved = entry[:, 0]
        fill[t] = np.where(visited, moved, np.nan)
        weight = np.maximum(rates, 1.0 / (seen[b] + 1.0)[:, None]) * o[:, None]
        table[b] = entry + weight * (known[t][:, None] - entry)
        seen[b] += o
        total = table[:, :, spec.fill].sum(0) if levelled else total
        entries[t] = np.where((seen[b] > 0)[:, None], table[b], np.nan)
    return entries, estimate, fill
