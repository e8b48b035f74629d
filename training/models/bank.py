"""A phase bank: many hidden states per stream that are updated in turn (a dilated recurrence; Chang
et al., 2017).

Each step updates the state of `stride` steps ago with the values that came since. So every state
sees every value but moves once in `stride` steps: a week of hours is seven updates, and the state
still holds what it learned a week ago (a segment-wise recurrence as in SegRNN, Lin et al., 2023,
carried from observation to observation).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eddycast.training.models.latent import INPUT_BOUND, Latent, cell_input_size
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.memory import Glance, MemorySpec
from eddycast.training.models.memory.units import safe, scale_of
from eddycast.training.models.tensor_state import TensorState

MOST_STATES = 24


def stride_of(spec: MemorySpec) -> int:
    """The longest stride that divides the season, within the lags of the memory and MOST_STATES."""
    most = min(MOST_STATES, spec.lags)
    season = spec.season_steps or most
    return next(stride for stride in range(most, 0, -1) if season % stride == 0)


class PhaseBank(Latent):
    """`hidden` [batch, stride, units] is a queue:
    the first entry is updated next, the last one is the newest."""

    def __init__(self, cell: str, memory: MemorySpec, units: int, others: int = 0) -> None:
        stride = stride_of(memory)
        super().__init__(cell, memory, units, cell_input_size(memory) + stride + 1, others)
        self.stride = stride

    def initial_state(self, batch: int) -> TensorState:
        return {name: torch.zeros(batch, self.stride, self.units) for name in self.cell.tensors}

    def advance(
        self, memory: TensorState, glance: Glance, timestamp: Tensor, state: TensorState
    ) -> TensorState:
        oldest = {name: state[name][:, 0] for name in self.cell.tensors}
        newest = super().advance(memory, glance, timestamp, oldest)
        return {
            name: torch.cat([state[name][:, 1:], newest[name][:, None]], 1)
            for name in self.cell.tensors
        }

    def jump(self, steps: Tensor, state: TensorState) -> TensorState:
        at = (torch.arange(self.stride) + steps[:, None]).remainder(self.stride)
        every = at[:, :, None].expand(-1, -1, self.units)
        return {name: state[name].gather(1, every) for name in self.cell.tensors}

    def read(self, state: TensorState) -> Tensor:
        return state["hidden"][:, -1]

    def show(self, memory: TensorState, glance: Glance, timestamp: Tensor) -> Tensor:
        segment = memory["ring"][:, -self.stride :]
        now = super().show(memory, glance, timestamp)
        return torch.cat([now, segment_inputs(segment, memory["level"], memory["spread"])], -1)

    def inputs(self, columns: Columns) -> Tensor:
        steps = np.arange(len(columns.timestamps))
        back = np.arange(self.stride - 1, -1, -1)
        segment = torch.as_tensor(columns.x[np.maximum(steps[:, None] - back, 0)]).transpose(1, 2)
        level, spread = torch.as_tensor(columns.level), torch.as_tensor(columns.spread)
        return torch.cat([super().inputs(columns), segment_inputs(segment, level, spread)], -1)


def segment_inputs(segment: Tensor, level: Tensor, spread: Tensor) -> Tensor:
    """The values [..., stride] since the state's last update, as their shape around their mean and
    that mean relative to the level: [..., stride + 1] float32 in units."""
    mean = segment.mean(-1, keepdim=True)
    columns = (
        torch.cat([segment - mean, mean - level[..., 1:2]], -1) / safe(scale_of(spread))[..., None]
    )
    return columns.clamp(-INPUT_BOUND, INPUT_BOUND).float()
