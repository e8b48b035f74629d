"""Anomaly of a reading on its own stream: a rank in [0, 1] that means the same on every stream.

A surprise is in nats of a density: predictable streams sit at -4, noisy ones at +1, and a threshold
that suits one is useless on another. So the surprise beyond the expected one (the entropy of the
forecast) is compared with what the stream has shown before: decayed counts above a few levels give
the share of readings that exceeded it. The anomaly is one minus the smallest of three tail
probabilities:

- of this reading's excess;
- of a short window: a running mean of log shares, each capped,
  so that one reading alone does not remain an anomaly;
- of a reading beyond the range of all that the memory took: the next of n readings is the largest
  once in n times. A margin keeps the small records of a stream that grows from counting; beyond it
  the share falls like a Pareto tail.

The first two are doubled, because the smaller of two even probabilities is below p twice as often.
A new stream has the shares of a prior. Between levels the logarithm of the share is interpolated,
beyond the last one extrapolated.

This ranks readings and changes none. What the memory holds back as impossible is decided in
`memory/suspect_readings.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eddycast.training.models.quantiles.density import expected_surprise
from eddycast.training.models.tensor_state import TensorState

#: Raised when this code makes other numbers of the same surprises.
REVISION = 1
DECAY = math.exp(-math.log(2.0) / 10_000.0)  # of the counts, by reading: halved in 10,000
# of the distance of two levels: a number this near counts in part,
# so that rounding moves counts by little
SOFT = 0.1
WINDOW_RATE = 1 / 8  # of the newest log share in the running mean
WINDOW_CAP = 5.0  # of one log share
# of the range: a reading beyond by less is no news, beyond by twice as much all of it
MARGIN = 0.025


@dataclass(frozen=True)
class Prior:
    """Levels, rising; the share of numbers above each, and the readings that this is worth."""

    levels: tuple[float, ...]
    shares: tuple[float, ...]
    readings: float


#: Priors of the excess in nats, and of the window's mean log share (1 if shares are uniform and
#: independent).
EXCESS = Prior(
    (0.5, 1.0, 1.75, 2.75, 4.0, 5.5, 7.5, 10.0, 15.0, 30.0, 100.0, 1000.0),
    (0.3, 0.23, 0.15, 0.09, 0.055, 0.035, 0.022, 0.015, 9e-3, 4e-3, 1e-3, 1e-4),
    10.0,
)
WINDOW = Prior(
    (1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5),
    (0.3, 0.15, 0.08, 0.04, 0.02, 0.01, 2e-3, 4e-4),
    100.0,
)
#: Counts of excesses, counts of the window, and its mean, in a row.
SIZES = (1 + len(EXCESS.levels), 1 + len(WINDOW.levels), 1)


class Tail(nn.Module):
    """The share of a stream's earlier numbers that were larger, from counts [batch, 1 + levels]: of
    all numbers, then of those above each level."""

    shares: Tensor
    rises: Tensor
    most: Tensor
    falls: Tensor
    marks: Tensor

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        levels = torch.tensor(prior.levels)
        gaps = torch.cat([levels[1:2] - levels[:1], levels.diff()])
        size = len(levels)
        # A number n has gone the part n / gap + 1 - level / gap of the way from one level to the
        # next.
        rises = torch.stack([1.0 / gaps, 1.0 - levels / gaps])
        above = torch.stack([1.0 / (SOFT * gaps), 0.5 - levels / (SOFT * gaps)])
        buffers = {
            "shares": prior.readings * torch.tensor((1.0, *prior.shares)),
            "rises": rises,
            "most": torch.tensor([1.0] * (size - 1) + [torch.inf]),
            "falls": torch.eye(1 + size)[:, 1:] - torch.eye(1 + size)[:, :-1],
            # every number is one of all
            "marks": torch.cat([torch.tensor([[0.0], [1.0]]), above], 1),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def log_share(self, numbers: Tensor, counts: Tensor) -> Tensor:
        """[batch, 1] logarithm of the share above `numbers` [batch, 1]."""
        passed = torch.minimum((numbers * self.rises[0] + self.rises[1]).clamp(min=0.0), self.most)
        logs: Tensor = torch.log(counts + self.shares)
        return ((logs @ self.falls) * passed).sum(1, keepdim=True)

    def add(self, numbers: Tensor, counts: Tensor) -> Tensor:
        """The counts after `numbers` [batch, 1]."""
        return counts * DECAY + (numbers * self.marks[0] + self.marks[1]).clamp(0.0, 1.0)


class Anomaly(nn.Module):
    """Ranks the surprises of a forecaster of `quantiles`. It has no weights.

    State: "ranks" [batch, 23], the counts of excesses, those of the window, and the window's mean
    log share; "range" [batch, 2] float64, the lowest and the highest reading that the memory took,
    in its coordinates.
    """

    def __init__(self, quantiles: Sequence[float]) -> None:
        super().__init__()
        self.quantiles = tuple(quantiles)
        self.excess, self.window = Tail(EXCESS), Tail(WINDOW)

    def initial_state(self, batch: int) -> TensorState:
        """Zeros: nothing seen."""
        return {
            "ranks": torch.zeros(batch, sum(SIZES)),
            "range": torch.zeros(batch, 2, dtype=torch.float64),
        }

    def rank(
        self, surprise: Tensor, pending: Tensor, came: Tensor, taken: Tensor, state: TensorState
    ) -> tuple[Tensor, TensorState]:
        """The anomaly [batch] float32 of a reading, and the tensors after it.

        `surprise` [batch] is that of the reading under the quantiles `pending` [batch, quantiles]
        in running scales; where it is NaN, so is the anomaly, and nothing changes. `came` [batch]
        float64 is the reading in the memory's coordinates, `taken` [batch] the value that the
        memory took (NaN = none).
        """
        surprise = surprise[:, None]
        known = ~torch.isnan(surprise)
        excesses, window, spell = torch.split(state["ranks"], list(SIZES), 1)
        excess = (
            torch.where(known, surprise, 0.0) - expected_surprise(pending, self.quantiles)[:, None]
        )
        alone = self.excess.log_share(excess, excesses)
        spell = spell + WINDOW_RATE * ((-alone).clamp(max=WINDOW_CAP) - spell)
        lately = self.window.log_share(spell, window)
        beyond = _log_share_beyond(came[:, None], state["range"], excesses[:, :1])
        share = torch.minimum(torch.minimum(alone, lately) + math.log(2.0), beyond)
        anomaly = torch.where(known, 1.0 - torch.exp(share.clamp(max=0.0)), torch.nan)
        ranks = torch.cat(
            [self.excess.add(excess, excesses), self.window.add(spell, window), spell], 1
        )
        return anomaly[:, 0], {
            "ranks": torch.where(known, ranks, state["ranks"]),
            "range": torch.where(
                known & ~torch.isnan(taken[:, None]),
                _widened(state["range"], taken),
                state["range"],
            ),
        }

    def unroll(self, surprise: Tensor, pending: Tensor, came: Tensor, taken: Tensor) -> Tensor:
        """The anomalies [T, streams] that `rank` gives step by step,
        from its arguments with time in front."""
        state = self.initial_state(surprise.shape[1])
        ranks = []
        for moment in zip(surprise, pending, came, taken, strict=True):
            rank, state = self.rank(*moment, state)
            ranks.append(rank)
        return torch.stack(ranks)


def _log_share_beyond(came: Tensor, range_: Tensor, seen: Tensor) -> Tensor:
    """[batch, 1] logarithm of the share of readings that lie as far beyond the range [batch, 2] of
    those `seen` before as `came`; 0 within the margin, and while the range has no length."""
    low, high = torch.split(range_, 1, 1)
    margin = torch.where(high > low, MARGIN * (high - low), torch.inf)
    news = (torch.maximum(came - high, low - came) / margin - 1.0).clamp(min=0.0).float()
    return -(news.clamp(max=1.0) * torch.log(1.0 + seen) + torch.log(1.0 + news))


def _widened(range_: Tensor, taken: Tensor) -> Tensor:
    """The range [batch, 2] with the value `taken` [batch] in it,
    which is all of a range of zeros."""
    value = taken[:, None]
    low, high = torch.split(range_, 1, 1)
    wider = torch.cat([torch.minimum(low, value), torch.maximum(high, value)], 1)
    return torch.where((low == 0) & (high == 0), value, wider)
