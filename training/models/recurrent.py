"""Latent autoregression: a carried hidden state h_t = g(h_{t-1}, x_t) from which the quantiles of
every lead are read.

By default the linear autoregression is a frozen path beneath, and the recurrent part a correction
that starts at zero. Heads return, for every lead, a shift of the median and the gaps between
quantiles, in units; softplus keeps the gaps positive.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddycast.training.models.bank import MOST_STATES, PhaseBank
from eddycast.training.models.cells import CELLS
from eddycast.training.models.contract import Target, View
from eddycast.training.models.forecaster import Forecaster
from eddycast.training.models.latent import Latent
from eddycast.training.models.linear import LinearAutoregression
from eddycast.training.models.memory.memory import LEVELS, MemorySpec
from eddycast.training.models.naive import at_phase
from eddycast.training.models.quantiles.calibration import ANCHORS
from eddycast.training.models.quantiles.sorted_quantiles import around

UNITS = 64
DROPOUT = 0.2
NARROW = -1.0  # initial bias of the gaps, before softplus

DILATED_GRU = "dilated_gru"
RECURRENT = (*CELLS, DILATED_GRU)


def plain_memory(target: Target, lags: int = 1) -> MemorySpec:
    """The small memory of a cell without a linear path:
    last values, running means, spreads, one seasonal table."""
    span = target.season_steps or 24
    rates = (0.5,) if target.season_steps else ()
    half_lives = tuple(level * span for level in LEVELS)
    return MemorySpec(
        target.interval_ms, target.season_steps, lags, rates, half_lives, target.second_steps
    )


def latent_of(family: str, memory: MemorySpec, units: int, others: int = 0) -> Latent:
    """The hidden state of a recurrent family: one cell that moves with every value,
    or a bank of states that take turns."""
    if family == DILATED_GRU:
        return PhaseBank("gru", memory, units, others)
    return Latent(family, memory, units, others=others)


class Recurrent(Forecaster):
    """The part that recurrent families share; with `linear`, a correction of that autoregression.
    They differ in how the horizon follows from the hidden state."""

    latent: Latent

    def __init__(
        self,
        target: Target,
        memory: MemorySpec,
        latent: Latent,
        linear: LinearAutoregression | None,
        anchors: Sequence[int] = ANCHORS,
    ) -> None:
        super().__init__(target, memory, latent, anchors)
        self.linear = linear
        self.dropout = nn.Dropout(DROPOUT)
        self.one_head = self._head()

    def one_step_units(self, view: View) -> Tensor:
        raw = self.one_head(self.dropout(view.hidden))[:, :, None]
        return self._quantiles(raw, self._centre(view, one_step=True))[:, 0]

    def _head(self, leads: int = 1) -> nn.Linear:
        """A linear map from the hidden state to the median's shifts of all leads, then to the gaps.
        A correction starts at zero."""
        levels = len(self.target.quantiles)
        head = nn.Linear(self.latent.units, levels * leads)
        if self.linear:
            nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, NARROW)
        nn.init.zeros_(head.bias[:leads])
        return head

    def _centre(
        self, view: View, leads: Sequence[int] | None = None, *, one_step: bool = False
    ) -> Tensor:
        """The points [n, leads or 1] to which the median's shift is added: those of the linear
        path, over the whole horizon or at `leads`. Without a linear path, the seasonal table at
        each lead's phase; without a season, the mean of the values since the state's last update,
        and one step ahead the last value."""
        if self.linear:
            if leads is not None:
                return self.linear.points_at(view, leads)
            one, multi = self.linear.points(view)
            return one[:, None] if one_step else multi
        spec, target = self.memory.spec, self.target
        if one_step or not (spec.season.bins or self.latent.stride > 1):
            return view.hidden.new_zeros(view.hidden.shape[0], 1)
        if spec.season.bins:
            table = view.features[:, spec.lags - 1 : spec.lags - 1 + spec.season.bins]
            points = target.lead_means(at_phase(table, view.timestamp, spec.season, target.reach))
            return points if leads is None else points[:, list(leads)]
        since = view.features[:, spec.lags - self.latent.stride : spec.lags - 1]
        return (since.sum(1, keepdim=True) / self.latent.stride).expand(
            -1, len(leads) if leads else target.horizon
        )

    def _quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        """Quantiles [n, leads, Q] from raw [n, quantiles, leads]:
        the median's shift, then the gaps above it, then those below."""
        return around(raw[:, 0] + centre, raw[:, 1:], self.target.median)


class LatentAutoregression(Recurrent):
    """A family of RECURRENT: the whole horizon is read from the hidden state at once."""

    revision = 1

    def __init__(
        self, target: Target, family: str, linear: LinearAutoregression | None, units: int = UNITS
    ) -> None:
        lags = MOST_STATES if family == DILATED_GRU else 1
        memory = linear.memory.spec if linear else plain_memory(target, lags)
        super().__init__(target, memory, latent_of(family, memory, units, target.others), linear)
        self.family = family
        self.multi_head = self._head(target.horizon)

    def multi_step_units(self, view: View) -> Tensor:
        raw = self.multi_head(self.dropout(view.hidden)).reshape(
            -1, len(self.target.quantiles), self.target.horizon
        )
        return self._quantiles(raw, self._centre(view))

    def units_at(self, view: View, leads: Sequence[int]) -> Tensor:
        levels, at = len(self.target.quantiles), torch.tensor(leads)
        weight = self.multi_head.weight.reshape(levels, -1, self.latent.units)[:, at].flatten(0, 1)
        bias = self.multi_head.bias.reshape(levels, -1)[:, at].flatten()
        raw = functional.linear(self.dropout(view.hidden), weight, bias).reshape(
            -1, levels, len(leads)
        )
        return self._quantiles(raw, self._centre(view, leads))
