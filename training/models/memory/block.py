"""The mean of what came in a block of slots: what a forecast on a coarser grid is of, known when
its last slot has come. Blocks are those of the clock: an hour of quarters ends with the slot that
starts at a quarter to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.training.data.slot_means import trailing_means
from eddycast.training.models.memory.units import slot_in_bin
from eddycast.training.models.tensor_state import TensorState


@dataclass(frozen=True)
class Block:
    """`slots` slots of `interval_ms`. The row's "block" [batch, 2] f64:
    the mean so far, and of how many values."""

    interval_ms: int
    slots: int

    def initial_state(self, batch: int) -> TensorState:
        """Zeros: nothing came yet. A block of one slot has nothing to remember."""
        return {"block": torch.zeros(batch, 2, dtype=torch.float64)} if self.slots > 1 else {}

    def add(
        self, arrived: Tensor, timestamp: Tensor, state: TensorState
    ) -> tuple[Tensor, Tensor | None, TensorState]:
        """The mean [batch] of the block that ends with the value `arrived` [batch] f64 (NaN =
        missing) of the slot at `timestamp`: NaN where none ends, or nothing of it was observed;
        then where one ends (None: everywhere)."""
        if self.slots == 1:
            return arrived, None, {}
        (mean, count), observed = state["block"].unbind(1), ~torch.isnan(arrived)
        count = count + observed.double()
        mean = torch.where(observed, mean + (arrived - mean) / count.clamp(min=1), mean)
        ends = slot_in_bin(timestamp, self.interval_ms, self.slots) == self.slots - 1
        whole = torch.where(ends & (count > 0), mean, torch.nan)
        kept = torch.stack([mean, count], 1)
        return whole, ends, {"block": torch.where(ends[:, None], 0.0, kept)}

    def means(
        self, values: NDArray[np.float64], timestamps: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The output of `add` for every row of values [T, S] on the grid timestamps [T]."""
        ends = timestamps // self.interval_ms % self.slots == self.slots - 1
        return np.where(ends[:, None], trailing_means(values.T, self.slots).T, np.nan)
