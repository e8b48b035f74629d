"""A history cut by time into what may be learned from and what only judges."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.data.slot_means import trailing_means
from training.models.channels import light_memory
from training.models.contract import Target
from training.models.memory.columns import Columns, unroll_memory
from training.models.memory.memory import MemorySpec

LONG = 96  # leads: beyond, neighbouring origins are thinned and training draws so many leads at a time
LONG_STRIDE = 8
Choice = TypeVar("Choice")
WARMUP_SEASONS = 14  # before this much history the memory is too young to learn from


@dataclass(frozen=True)
class Problem:
    """values [T, S] (NaN = missing) on the grid timestamps [T]. Rows before `train_end` teach, rows from there to
    `validation_end` choose; nothing after that is looked at. An origin is the row after which a forecast is made."""

    target: Target
    values: NDArray[np.float64]
    timestamps: NDArray[np.int64]
    train_end: int
    validation_end: int
    others: tuple[NDArray[np.float64], ...] = ()  # [T, S] each: the other channels of the same streams
    choices: dict[Hashable, Any] = field(default_factory=dict)  # what the validation part chose, by what for
    final: bool = False  # everything teaches, and what was chosen before stands

    def chosen(self, what: Hashable, choose: Callable[[], Choice]) -> Choice:
        """What the validation part chooses; in a last fit, which has none, what it chose in the fit before."""
        if not self.final:
            self.choices[what] = choose()
        choice: Choice = self.choices[what]
        return choice

    def columns(self, spec: MemorySpec) -> Columns:
        """The memory of all streams, unrolled, with those of the other channels beside it."""
        return replace(unroll_memory(spec, self.values, self.timestamps), beside=self.beside)

    @cached_property
    def beside(self) -> tuple[Columns, ...]:
        """The memories of the other channels, unrolled."""
        light = light_memory(self.target.interval_ms, self.target.season_steps)
        return tuple(unroll_memory(light, values, self.timestamps) for values in self.others)

    @cached_property
    def unit(self) -> NDArray[np.float64]:
        """[S] standard deviation of the train part: makes streams of different units weigh alike in a loss."""
        train = self.values[: self.train_end]
        spread = np.nanstd(np.where(np.isnan(train).all(0), 0.0, train), 0)
        return np.where(np.isfinite(spread) & (spread > 0), spread, np.inf)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """[T, S] the mean of what was observed in the block of slots that ends with each row: what leads are of."""
        return trailing_means(self.values.T, self.target.block).T

    @property
    def warmup(self) -> int:
        """The first row to learn from."""
        return min(WARMUP_SEASONS * (self.target.season_steps or 24), self.train_end // 4)

    def train_origins(self, leads: int) -> NDArray[np.int64]:
        """Origins whose targets up to `leads` ahead all lie in the train part."""
        return np.arange(self.warmup, self.train_end - leads * self.target.block)

    def validation_origins(self, leads: int, most: int = 4096) -> NDArray[np.int64]:
        """Origins whose targets lie in the validation part: every n-th if there are more than `most`, and every
        LONG_STRIDE-th if they reach beyond LONG rows (neighbouring origins then share nearly all of their targets)."""
        reach = leads * self.target.block
        origins = np.arange(self.train_end - 1, self.validation_end - reach)
        return origins[:: max(-(-len(origins) // most), LONG_STRIDE if reach > LONG else 1)]

    def windows(
        self, origins: NDArray[np.int64], streams: NDArray[np.int64], leads: int | NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """What came after each (origin, stream): [n, leads], for all leads or for those given (0 = the first)."""
        ahead = self.target.block * (1 + (np.arange(leads) if isinstance(leads, int) else leads))
        after: NDArray[np.float64] = self.means[origins[:, None] + ahead, streams[:, None]]
        return after

    def next(self, origins: NDArray[np.int64], streams: NDArray[np.int64]) -> NDArray[np.float64]:
        """[n, 1] the next value of each (origin, stream), whatever the grid of the horizon."""
        return self.values[origins + 1, streams][:, None]

    def pairs(self, origins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every origin of every stream: times [n] and streams [n]."""
        streams = self.values.shape[1]
        return np.repeat(origins, streams), np.tile(np.arange(streams), len(origins))
