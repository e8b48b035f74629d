"""Surprise and scores of an observed value under a quantile forecast.

The density is uniform between neighbouring quantiles, with an exponential tail on each side whose
rate follows from the outermost gap; gaps are floored at FLOOR of the running scale. All in units of
that scale. The surprise -log p(x_t | x_1 .. x_{t-1}) summed over time is the negative
log-likelihood of the sequence (Dive into Deep Learning, "Working with Sequences" and "Language
Models").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

FLOOR = 1e-3  # of the running scale: the narrowest gap between quantiles
TINY = 1e-30  # a probability that float32 still holds
BLUR = 1e-3  # of the running scale: log densities of neighbouring pieces blend over this width


def _gaps(quantiles: Tensor) -> Tensor:
    return (quantiles[..., 1:] - quantiles[..., :-1]).clamp(min=FLOOR)


def _tail_rates(quantiles: Tensor, levels: Sequence[float]) -> tuple[Tensor, Tensor]:
    gaps = _gaps(quantiles)
    low = math.log(levels[1] / levels[0]) / gaps[..., 0]
    high = math.log((1 - levels[-2]) / (1 - levels[-1])) / gaps[..., -1]
    return low, high


def surprise(value: Tensor, quantiles: Tensor, levels: Sequence[float]) -> Tensor:
    """-log density of `value` [...] under `quantiles` [..., Q], both in running scales."""
    low, high = _tail_rates(quantiles, levels)
    below = (quantiles[..., 0] - value).clamp(min=0)
    above = (value - quantiles[..., -1]).clamp(min=0)
    mass = torch.tensor([b - a for a, b in pairwise(levels)])
    log_density = torch.cat(
        [
            (torch.log(levels[0] * low) - low * below)[..., None],
            torch.log(mass) - torch.log(_gaps(quantiles)),
            (torch.log((1 - levels[-1]) * high) - high * above)[..., None],
        ],
        -1,
    )
    passed = ((value[..., None] - quantiles) / BLUR + 0.5).clamp(0, 1)
    share = functional.pad(passed, (1, 0), value=1.0) - functional.pad(passed, (0, 1))
    return -(share * log_density).sum(-1)


def expected_surprise(quantiles: Tensor, levels: Sequence[float]) -> Tensor:
    """The mean of `surprise` [...] over values that are distributed as `quantiles` [..., Q] say:
    the entropy."""
    masses = [b - a for a, b in pairwise(levels)]
    below, above = levels[0], 1 - levels[-1]
    # of the tails, times their gap
    rates = math.log(levels[1] / below), math.log((1 - levels[-2]) / above)
    tails = below * (1 - math.log(below * rates[0])) + above * (1 - math.log(above * rates[1]))
    constant = tails - sum(mass * math.log(mass) for mass in masses)
    masses[0], masses[-1] = masses[0] + below, masses[-1] + above
    return (torch.tensor(masses) * torch.log(_gaps(quantiles))).sum(-1) + constant


def integral_transform(value: Tensor, quantiles: Tensor, levels: Sequence[float]) -> Tensor:
    """The forecast's distribution function at `value` [...]:
    uniform on [0, 1] if the forecast is calibrated."""
    low, high = _tail_rates(quantiles, levels)
    below = (quantiles[..., 0] - value).clamp(min=0)
    above = (value - quantiles[..., -1]).clamp(min=0)
    mass = torch.tensor([b - a for a, b in pairwise(levels)])
    inside = ((value[..., None] - quantiles[..., :-1]) / _gaps(quantiles)).clamp(0, 1) * mass
    tails = levels[0] * torch.exp(-low * below) + (1 - levels[-1]) * (1 - torch.exp(-high * above))
    return (tails + inside.sum(-1)).clamp(0, 1)


def pinball(value: Tensor, quantiles: Tensor, levels: Tensor) -> Tensor:
    """Mean pinball (quantile) loss over levels;
    value [...], quantiles [..., Q] (Koenker and Bassett, 1978)."""
    error = value[..., None] - quantiles
    return torch.maximum(levels * error, (levels - 1) * error).mean(-1)
