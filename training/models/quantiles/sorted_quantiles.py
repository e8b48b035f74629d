"""Quantiles that cannot cross: a median, and gaps that are positive whatever number they are made
of."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def around(median: Tensor, gaps: Tensor, middle: int) -> Tensor:
    """median [n, leads] and gaps [n, quantiles - 1, leads], any numbers: those above the median
    from it upwards, then those below it downwards; `middle` is the median's place among the
    levels -> [n, leads, quantiles], sorted."""
    widths = functional.softplus(gaps)
    above = gaps.shape[1] - middle
    up = median[:, None] + torch.cumsum(widths[:, :above], 1)
    down = median[:, None] - torch.cumsum(widths[:, above:], 1)
    return torch.cat([down.flip(1), median[:, None], up], 1).transpose(1, 2)
