"""Latent autoregression: a carried hidden state h_t = g(h_{t-1}, x_t) from which every lead's quantiles are read.

By default the linear autoregression is its frozen linear path and the recurrent part a correction that starts at
zero. The head gives, for every lead, a shift of the median and the gaps between quantiles (softplus, so that they
never cross), all in running scales.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.forecaster import Forecaster, Target, View
from training.models.latent import Latent
from training.models.linear import LEVELS, LinearAutoregression
from training.models.memory import MemorySpec

UNITS = 64
DROPOUT = 0.2
NARROW = -1.0  # first bias of the gaps, before softplus


def plain_memory(target: Target) -> MemorySpec:
    """The little that a cell without a linear path needs: the last value, levels, spreads, one seasonal table."""
    span = target.season_steps or 24
    rates = (0.5,) if target.season_steps else ()
    return MemorySpec(target.interval_ms, target.season_steps, 1, rates, tuple(level * span for level in LEVELS))


class LatentAutoregression(Forecaster):
    """`rnn`, `gru` or `lstm`; with `linear`, a correction of that linear autoregression."""

    latent: Latent

    def __init__(self, target: Target, cell: str, linear: LinearAutoregression | None, units: int = UNITS) -> None:
        memory = linear.memory.spec if linear else plain_memory(target)
        super().__init__(target, memory, Latent(cell, memory, units))
        self.family = cell
        self.linear = linear
        self.dropout = nn.Dropout(DROPOUT)
        levels = len(target.quantiles)
        self.one_head = nn.Linear(units, levels)
        self.multi_head = nn.Linear(units, levels * target.horizon)
        for head in (self.one_head, self.multi_head):
            if linear:
                nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, NARROW)
            nn.init.zeros_(head.bias[: len(head.bias) // levels])

    def one_step_units(self, view: View) -> Tensor:
        raw = self.one_head(self.dropout(view.hidden))[:, :, None]
        point = self.linear.points(view)[0][:, None] if self.linear else None
        return self._quantiles(raw, point)[:, 0]

    def multi_step_units(self, view: View) -> Tensor:
        raw = self.multi_head(self.dropout(view.hidden)).reshape(-1, len(self.target.quantiles), self.target.horizon)
        return self._quantiles(raw, self.linear.points(view)[1] if self.linear else None)

    def units_at(self, view: View, leads: Tensor) -> Tensor:
        shape = (len(self.target.quantiles), self.target.horizon)
        weight = self.multi_head.weight.reshape(*shape, -1)[:, leads].flatten(0, 1)
        bias = self.multi_head.bias.reshape(shape)[:, leads].flatten()
        raw = functional.linear(view.hidden, weight, bias).reshape(-1, shape[0], len(leads))
        return self._quantiles(raw, self.linear.points_at(view, leads) if self.linear else None)

    def _quantiles(self, raw: Tensor, point: Tensor | None) -> Tensor:
        """raw [n, quantiles, leads] (median's shift first, then the gaps upwards, then downwards) -> [n, leads, Q]."""
        median = raw[:, 0] if point is None else raw[:, 0] + point
        gaps, middle = functional.softplus(raw[:, 1:]), self.target.median
        above = len(self.target.quantiles) - middle - 1
        up = median[:, None] + torch.cumsum(gaps[:, :above], 1)
        down = median[:, None] - torch.cumsum(gaps[:, above:], 1)
        return torch.cat([down.flip(1), median[:, None], up], 1).transpose(1, 2)
