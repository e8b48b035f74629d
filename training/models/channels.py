"""The light memory of a stream's other channels, in each channel's own units.

Lags and levels are distances from the channel's own last value in its own running scale. A map from
them to a target involves neither unit: shifting or rescaling a channel changes no forecast of
another one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.memory import LEVELS, MemorySpec
from eddycast.training.models.memory.units import safe

LAGS = 24
FEATURES = LAGS - 1 + len(LEVELS)  # of one channel
#: Features that a recurrent cell gets: the last change,
#: and the distance to a fast and to the slowest level.
SHOWN = (LAGS - 2, LAGS, FEATURES - 1)


def light_memory(interval_ms: int, season_steps: int) -> MemorySpec:
    """The memory of a channel for the forecasts of others;
    missing values are filled with the last one."""
    span = season_steps or 24
    return MemorySpec(
        interval_ms, season_steps, LAGS, half_lives=tuple(level * span for level in LEVELS)
    )


def shown_of(beside: Tensor) -> Tensor:
    """Inputs of a recurrent cell [batch, channels * 3] from the features [batch, channels *
    FEATURES] of other channels."""
    channels = beside.reshape(beside.shape[0], -1, FEATURES)
    return torch.stack([channels[..., place] for place in SHOWN], -1).flatten(1)


def shown_in(columns: Columns) -> Tensor:
    """The same inputs after every step of an unrolled memory, [T, S, channels * 3] float32."""
    shown = []
    for other in columns.beside:
        before = np.concatenate([other.x[:1], other.x[:-1]])
        values = (
            np.stack([before, other.level[..., 1], other.level[..., -1]], -1) - other.x[:, :, None]
        )
        values = np.where((other.count > 0)[:, :, None], values, 0.0)
        shown.append(torch.as_tensor(values) / safe(torch.as_tensor(other.scale))[:, :, None])
    return torch.cat(shown, -1).float()
