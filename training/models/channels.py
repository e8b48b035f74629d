"""What a forecaster is told of the other channels of its stream: a light memory of each, in that channel's own units.

Lags and levels are distances from that channel's own last value in its own running scale, so a map from them to the
target knows no unit of either: shift or rescale one channel, and no forecast of another changes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.models.memory.columns import Columns
from training.models.memory.memory import LEVELS, MemorySpec
from training.models.memory.units import safe

LAGS = 24
FEATURES = LAGS - 1 + len(LEVELS)  # of one channel
#: Of these a recurrent cell is shown the last change, and where the value stands to a fast and to the slowest level.
SHOWN = (LAGS - 2, LAGS, FEATURES - 1)


def light_memory(interval_ms: int, season_steps: int) -> MemorySpec:
    """What is remembered of a channel for the sake of others: a missing value is filled with the last one."""
    span = season_steps or 24
    return MemorySpec(interval_ms, season_steps, LAGS, half_lives=tuple(level * span for level in LEVELS))


def shown_of(beside: Tensor) -> Tensor:
    """What a cell is shown of the features of other channels [batch, channels * FEATURES]: [batch, channels * 3]."""
    channels = beside.reshape(beside.shape[0], -1, FEATURES)
    return torch.stack([channels[..., place] for place in SHOWN], -1).flatten(1)


def shown_in(columns: Columns) -> Tensor:
    """The same after every step of an unrolled memory, [T, S, channels * 3] f32."""
    shown = []
    for other in columns.beside:
        before = np.concatenate([other.x[:1], other.x[:-1]])
        values = np.stack([before, other.level[..., 1], other.level[..., -1]], -1) - other.x[:, :, None]
        values = np.where((other.count > 0)[:, :, None], values, 0.0)
        shown.append(torch.as_tensor(values) / safe(torch.as_tensor(other.scale))[:, :, None])
    return torch.cat(shown, -1).float()
