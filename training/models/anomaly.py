"""How unusual a reading is on its own stream: a rank in [0, 1] that means the same whatever the stream.

A surprise is in nats of a density: streams that are easy to forecast sit at -4, noisy ones at +1, and a threshold that
suits one is useless on another. So what exceeds the surprise that the forecast itself expected (its entropy) is held
against what did so before on this stream: counts over a few levels, decayed, give the share that lay higher. The anomaly
is 1 minus the smallest of three such tail probabilities, of

- this reading;
- a short window: the mean log rank of the last readings, each capped, so that one of them alone does not stay an anomaly;
- a reading beyond the range of all that was taken in: after n readings about one in n is a new extreme.

A new stream has the levels of a prior that counts like PRIOR readings. Between levels the logarithm of the share is
interpolated, beyond the last one it falls as it does before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from training.models.memory.table import State
from training.models.quantiles.density import expected_surprise

#: Raised when this code makes other numbers of the same surprises.
REVISION = 1
PRIOR = 30.0
HALF_LIFE = 10_000.0  # readings
#: Nats above the expected surprise, and the share of readings that a new stream is supposed to have there.
EXCESS = (0.5, 1.0, 1.75, 2.75, 4.0, 5.5, 7.5, 10.0, 15.0, 25.0, 50.0, 150.0)
EXCESS_PRIOR = (0.3, 0.24, 0.17, 0.11, 0.07, 0.045, 0.025, 0.012, 0.004, 5e-4, 1e-5, 1e-7)
#: Mean log ranks over the window, likewise; where ranks are even and independent the mean is 1.
WINDOW = (1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5)
WINDOW_PRIOR = (0.3, 0.15, 0.08, 0.04, 0.02, 0.01, 2e-3, 4e-4)
WINDOW_RATE = 1 / 8
WINDOW_CAP = 5.0  # of one log rank
SOFT = 0.1  # of the distance of two levels: a number this near to a level counts in part, so that rounding moves little


class Tail(nn.Module):
    """The share of a stream's earlier numbers that were larger, from counts [batch, 1 + levels]: of all of them, then
    of those above each level."""

    levels: Tensor
    gaps: Tensor
    prior: Tensor

    def __init__(self, levels: Sequence[float], prior: Sequence[float]) -> None:
        super().__init__()
        ends = (2 * levels[0] - levels[1], *levels)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("gaps", torch.tensor([b - a for a, b in pairwise(ends)]), persistent=False)
        self.register_buffer("prior", PRIOR * torch.tensor((1.0, *prior)), persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros: nothing seen."""
        return torch.zeros(batch, 1 + len(self.levels))

    def log_share(self, numbers: Tensor, counts: Tensor) -> Tensor:
        """[batch] log of the share above `numbers` [batch]."""
        logs = torch.log(counts + self.prior)
        falls = logs[:, 1:] - logs[:, :-1]
        passed = (1.0 + (numbers[:, None] - self.levels) / self.gaps).clamp(min=0.0)
        within = torch.cat([passed[:, :-1].clamp(max=1.0), passed[:, -1:]], 1)
        return (falls * within).sum(1)

    def add(self, numbers: Tensor, counts: Tensor) -> Tensor:
        """The counts after `numbers` [batch]."""
        above = ((numbers[:, None] - self.levels) / (SOFT * self.gaps) + 0.5).clamp(0.0, 1.0)
        decay = math.exp(-math.log(2.0) / HALF_LIFE)
        return counts * decay + torch.cat([torch.ones_like(above[:, :1]), above], 1)


class Anomaly(nn.Module):
    """Ranks of a forecaster's surprises. State: "excess" and "window" [batch, 1 + levels], the counts of both tails;
    "spell" [batch, 1], the mean log rank of the last readings; "range" [batch, 2] f64, the lowest and the highest
    reading that was taken in, where the memory has it."""

    def __init__(self, quantiles: Sequence[float]) -> None:
        super().__init__()
        self.quantiles = tuple(quantiles)
        self.excess = Tail(EXCESS, EXCESS_PRIOR)
        self.window = Tail(WINDOW, WINDOW_PRIOR)

    def initial_state(self, batch: int) -> State:
        """Zeros: nothing seen."""
        return {
            "excess": self.excess.initial_state(batch),
            "window": self.window.initial_state(batch),
            "spell": torch.zeros(batch, 1),
            "range": torch.zeros(batch, 2, dtype=torch.float64),
        }

    def rank(
        self, surprise: Tensor, pending: Tensor, came: Tensor, taken: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """The anomaly [batch] of a reading whose `surprise` [batch] (NaN = none) was that of the quantiles `pending`
        [batch, Q], in running scales; NaN where that is. `came` [batch] f64 is the reading in the memory's
        coordinates, `taken` [batch] what of it the memory took (NaN = nothing)."""
        known = ~torch.isnan(surprise)
        excess = torch.where(known, surprise, 0.0) - expected_surprise(pending, self.quantiles)
        alone = self.excess.log_share(excess, state["excess"])
        spell = state["spell"][:, 0]
        spell = spell + WINDOW_RATE * ((-alone).clamp(max=WINDOW_CAP) - spell)
        lately = self.window.log_share(spell, state["window"])
        share = torch.minimum(torch.minimum(alone, lately) + math.log(2.0), self._new_extreme(came, state))
        anomaly = torch.where(known, 1.0 - torch.exp(share.clamp(max=0.0)), torch.nan)
        after = {
            "excess": self.excess.add(excess, state["excess"]),
            "window": self.window.add(spell, state["window"]),
            "spell": spell[:, None],
            "range": self._widened(taken, state),
        }
        return anomaly, {name: torch.where(known[:, None], new, state[name]) for name, new in after.items()}
