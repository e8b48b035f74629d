"""The history of one target, cut by time into rows to learn from and rows to choose by."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from eddycast.training.data.slot_means import trailing_means
from eddycast.training.models.channels import light_memory
from eddycast.training.models.contract import Target
from eddycast.training.models.memory.columns import Columns, unroll_memory
from eddycast.training.models.memory.memory import MemorySpec

# leads: over longer horizons, origins are thinned and training draws this many leads at a time
LONG = 96
LONG_STRIDE = 8
Choice = TypeVar("Choice")
WARMUP_SEASONS = 14  # before this much history the memory is too young to learn from


@dataclass(frozen=True)
class Problem:
    """values [T, S] (NaN = missing) on the grid timestamps [T], int64 ms. Rows before `train_end`
    teach, rows from there to `validation_end` choose; later rows are never read. An origin is the
    row after which a forecast is made.

    For a fit in closed form: `columns =
    problem.columns(model.memory.spec)` is the memory after every row. At `t, s =
    problem.pairs(problem.train_origins(leads))`, `columns.features(t,
    s)` are the features of a view, and `(problem.windows(t, s, leads) - columns.x[t, s][:, None]) /
    columns.scale[t, s][:, None]` the targets in units (NaN = missing; a scale may be 0). Of many
    streams, `pair_chunks` gives the pairs a part at a time.
    """

    target: Target
    values: NDArray[np.float64]
    timestamps: NDArray[np.int64]
    train_end: int
    validation_end: int
    # [T, S] each: the other channels of the same streams
    others: tuple[NDArray[np.float64], ...] = ()
    # choices of the validation part, by subject
    choices: dict[Hashable, Any] = field(default_factory=dict)
    final: bool = False  # all rows teach, and earlier choices stand

    def chosen(self, what: Hashable, choose: Callable[[], Choice]) -> Choice:
        """The choice of the validation part. A final fit has none,
        and takes the choice that the fit before made for `what`."""
        if not self.final:
            self.choices[what] = choose()
        choice: Choice = self.choices[what]
        return choice

    def of(self, streams: slice) -> Problem:
        """The problem of some of its streams, as views, with the same choices."""
        if streams.indices(self.values.shape[1]) == (0, self.values.shape[1], 1):
            return self
        others = tuple(values[:, streams] for values in self.others)
        return replace(self, values=self.values[:, streams], others=others)

    def columns(self, spec: MemorySpec) -> Columns:
        """The unrolled memory of all streams, with the memories of the other channels beside it."""
        return replace(unroll_memory(spec, self.values, self.timestamps), beside=self.beside)

    @cached_property
    def beside(self) -> tuple[Columns, ...]:
        """The unrolled light memories of the other channels."""
        light = light_memory(self.target.interval_ms, self.target.season_steps)
        return tuple(unroll_memory(light, values, self.timestamps) for values in self.others)

    @cached_property
    def unit(self) -> NDArray[np.float64]:
        """Standard deviation of each stream in the train part, [S]:
        streams of different units weigh alike in a loss."""
        train = self.values[: self.train_end]
        spread = np.nanstd(np.where(np.isnan(train).all(0), 0.0, train), 0)
        return np.where(np.isfinite(spread) & (spread > 0), spread, np.inf)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Means of the observed values in the block that ends with each row, [T, S]:
        the targets of the leads."""
        return trailing_means(self.values.T, self.target.block).T

    @property
    def warmup(self) -> int:
        """The first row to learn from."""
        return min(WARMUP_SEASONS * (self.target.season_steps or 24), self.train_end // 4)

    def train_origins(self, leads: int) -> NDArray[np.int64]:
        """Origins whose targets up to `leads` all lie in the train part."""
        return np.arange(self.warmup, self.train_end - leads * self.target.block)

    def validation_origins(self, leads: int, most: int = 4096) -> NDArray[np.int64]:
        """Origins whose targets lie in the validation part: every n-th if there are more than
        `most`, and every LONG_STRIDE-th if they reach beyond LONG rows, since neighbouring origins
        then share nearly all of their targets."""
        reach = leads * self.target.block
        origins = np.arange(self.train_end - 1, self.validation_end - reach)
        return origins[:: max(-(-len(origins) // most), LONG_STRIDE if reach > LONG else 1)]

    def windows(
        self, origins: NDArray[np.int64], streams: NDArray[np.int64], leads: int | NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Targets of each (origin, stream), [n, leads]:
        the first `leads`, or those at an array of indices (0 = the first)."""
        ahead = self.target.block * (1 + (np.arange(leads) if isinstance(leads, int) else leads))
        after: NDArray[np.float64] = self.means[origins[:, None] + ahead, streams[:, None]]
        return after

    def next(self, origins: NDArray[np.int64], streams: NDArray[np.int64]) -> NDArray[np.float64]:
        """The next value of each (origin, stream), [n, 1], on the grid of values."""
        return self.values[origins + 1, streams][:, None]

    def pairs(self, origins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every origin of every stream: times [n] and streams [n]."""
        streams = self.values.shape[1]
        return np.repeat(origins, streams), np.tile(np.arange(streams), len(origins))

    def pair_chunks(
        self, origins: NDArray[np.int64], most: int, *, least: int = 1
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The pairs of `pairs`, in the same order, at most `most` at a time;
        in at least `least` chunks, if there are as many origins."""
        at_once = max(1, most // self.values.shape[1])
        for chunk in np.array_split(origins, max(least, -(-len(origins) // at_once))):
            t, s = self.pairs(chunk)
            for first in range(0, len(t), most):
                yield t[first : first + most], s[first : first + most]
