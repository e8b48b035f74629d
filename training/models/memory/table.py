"""A season remembered phase by phase, in tables that are smoothed at one or several rates.

A season of `season_steps` slots is held in at most MAX_BINS bins of `width` slots. The table is a
queue ordered by phase: its first entry is the bin that comes next, its last the bin of the present
slot, so no index is stored.

As in all of the memory there are two ways to the same numbers: one observation at a time
(`SeasonTable`), and a whole history at once (`unroll_table`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eddycast.training.models.memory.units import slot_in_bin
from eddycast.training.models.tensor_state import TensorState

MAX_BINS = 168


@dataclass(frozen=True)
class TableSpec:
    """Dimensions of a season's tables: one table for each of `rates` (smoothing per season).
    `season_steps` 0 = no season."""

    interval_ms: int
    season_steps: int
    rates: tuple[float, ...]

    @property
    def width(self) -> int:
        """Slots in one bin: the smallest divisor of the season that keeps to MAX_BINS."""
        steps = max(self.season_steps, 1)
        return next(w for w in range(1, steps + 1) if steps % w == 0 and steps // w <= MAX_BINS)

    @property
    def bins(self) -> int:
        return self.season_steps // self.width if self.rates else 0

    @property
    def weights(self) -> NDArray[np.float64]:
        """[rates] what one observation weighs in each table:
        a bin is met `width` times a season."""
        return np.asarray(
            1.0 - (1.0 - np.asarray(self.rates, dtype=np.float64)) ** (1.0 / self.width)
        )

    @property
    def features(self) -> int:
        return len(self.rates) * self.bins


@dataclass(frozen=True)
class Visit:
    """The bin of the present slot, before its value came."""

    entry: Tensor  # [batch, rates] f64
    seen: Tensor  # [batch] how often it was seen
    begins: Tensor | None  # [batch] bool: the slot is the bin's first; None: all are

    def estimate(self, last: Tensor) -> Tensor:
        """[batch] the first table's; `last` where the bin was never seen."""
        return torch.where(self.seen > 0, self.entry[:, 0], last)


class SeasonTable(nn.Module):
    """The tables of a season for a batch of streams, one observation at a time. `prefix`:
    of its tensors' names."""

    weights: Tensor

    def __init__(self, spec: TableSpec, prefix: str = "") -> None:
        super().__init__()
        self.spec = spec
        self.table, self.seen = f"{prefix}table", f"{prefix}seen"
        self.register_buffer("weights", torch.as_tensor(spec.weights))

    def initial_state(self, batch: int) -> TensorState:
        bins = self.spec.bins
        table = torch.zeros(batch, len(self.spec.rates), bins, dtype=torch.float64)
        return {self.table: table, self.seen: torch.zeros(batch, bins)}

    def visit(self, timestamp: Tensor, state: TensorState) -> Visit:
        """The entries for the slot that starts at `timestamp` [batch]."""
        table, seen = state[self.table], state[self.seen]
        if self.spec.width == 1:
            return Visit(table[:, :, 0], seen[:, 0], None)
        begins = slot_in_bin(timestamp, self.spec.interval_ms, self.spec.width) == 0
        entry = torch.where(begins[:, None], table[:, :, 0], table[:, :, -1])
        return Visit(entry, torch.where(begins, seen[:, 0], seen[:, -1]), begins)

    def update(
        self, visit: Visit, known: Tensor, observed: Tensor, state: TensorState
    ) -> TensorState:
        """The tables after `known` [batch] f64 at the slot of `visit`;
        what was not observed moves none."""
        newest = blend(visit.entry, known[:, None], self.weights, visit.seen.double() + 1, observed)
        seen = visit.seen + observed.float()
        return {
            self.table: _push(state[self.table], newest[:, :, None], visit.begins),
            self.seen: _push(state[self.seen], seen[:, None], visit.begins),
        }

    def mean(self, state: TensorState, which: int) -> Tensor:
        """[batch] of one table, over the bins that were seen."""
        known = (state[self.seen] > 0).double()
        return (state[self.table][:, which] * known).sum(1) / known.sum(1).clamp(min=1)

    def read(self, state: TensorState, last: Tensor) -> Tensor:
        """[batch, features] raw: table after table, next bin first;
        `last` [batch] in bins never seen."""
        # entries are zero until they are seen
        unseen = torch.where(state[self.seen] > 0, 0.0, last[:, None])
        return (state[self.table] + unseen[:, None]).flatten(1)


def blend(old: Tensor, new: Tensor, rates: Tensor, count: Tensor, observed: Tensor) -> Tensor:
    """An exponential average that starts as a plain mean:
    the newest value weighs max(rate, 1 / count), and nothing where it is not `observed`."""
    weight = torch.maximum(rates[None], (1.0 / count)[:, None]) * observed[:, None].double()
    return old + weight * (new - old)


def _push(queue: Tensor, newest: Tensor, begins: Tensor | None) -> Tensor:
    """Put `newest` at the end: as a new entry where a bin `begins` [batch] (None: everywhere), else
    in place of the last one."""
    longer = torch.cat([queue[..., 1:], newest], -1)
    if begins is None:
        return longer
    replaced = torch.cat([queue[..., :-1], newest], -1)
    return torch.where(begins.reshape(-1, *[1] * (queue.dim() - 1)), longer, replaced)


@dataclass(frozen=True)
class TableColumns:
    """The tables over a whole history, time first. Raw values in float64."""

    spec: TableSpec
    first: int  # the first row's slot since the epoch
    # [T, S, rates] the present bin's, after each step; NaN = not seen yet
    entry: NDArray[np.float64]
    # [T, S] of one table over the bins seen before each step; zeros if not asked for
    mean: NDArray[np.float64]

    def of(self, streams: slice) -> TableColumns:
        """The tables of some of the streams, as views."""
        return replace(self, entry=self.entry[:, streams], mean=self.mean[:, streams])

    def before(self, which: int) -> NDArray[np.float64]:
        """[T, S] what one table said of each value before it came; NaN = not seen yet."""
        steps = np.arange(len(self.entry))
        begins = (self.first + steps) % self.spec.width == 0
        visit = np.where(begins, steps + self.spec.width - 1 - self.spec.season_steps, steps - 1)
        return np.where((visit >= 0)[:, None], self.entry[np.maximum(visit, 0), :, which], np.nan)

    def features(
        self, t: NDArray[np.int64], s: NDArray[np.int64], last: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """`SeasonTable.read` at times `t` [n] of streams `s` [n], with their last values [n]:
        [n, features]."""
        visits = self.last_visits(t)
        table = self.entry[np.maximum(visits, 0), s[:, None]]
        table = np.where((visits >= 0)[:, :, None] & ~np.isnan(table), table, last[:, None, None])
        return table.transpose(0, 2, 1).reshape(len(t), -1)

    def last_visits(self, t: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n, bins]: the step at which each bin, from the next to the present one,
        was last visited (< 0: never)."""
        width, bins = self.spec.width, self.spec.bins
        present = (self.first + t) // width
        ends = (present[:, None] + np.arange(1, bins) - bins) * width + width - 1 - self.first
        return np.concatenate([ends, t[:, None]], 1)


def unroll_table(
    spec: TableSpec,
    known: NDArray[np.float64],
    observed: NDArray[np.bool_],
    timestamps: NDArray[np.int64],
    mean_of: int | None = None,
) -> TableColumns:
    """`SeasonTable.update` after every step of `known` [T, S] (0 where not `observed`) on the grid
    `timestamps` [T]; with the mean of one table, if asked for."""
    weights, (steps, streams) = spec.weights, known.shape
    entries, means = np.full((steps, streams, len(weights)), np.nan), np.zeros((steps, streams))
    table, seen = np.zeros((spec.bins, streams, len(weights))), np.zeros((spec.bins, streams))
    first = int(timestamps[0]) // spec.interval_ms
    where = (timestamps // spec.interval_ms // spec.width) % spec.bins
    for t in range(steps):
        b, o = where[t], observed[t]
        if mean_of is not None:
            means[t] = table[:, :, mean_of].sum(0) / np.maximum((seen > 0).sum(0), 1)
        weight = np.maximum(weights, 1.0 / (seen[b] + 1.0)[:, None]) * o[:, None]
        table[b] += weight * (known[t][:, None] - table[b])
        seen[b] += o
        entries[t] = np.where((seen[b] > 0)[:, None], table[b], np.nan)
    return TableColumns(spec, first, entries, means)
