"""The unit of everything that is learned: distance from the anchor, in running scales."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Frame(NamedTuple):
    """Anchor and running scale of a row, [batch] f64 each: a forecast is anchor + scale * units.
    Scale 0 = not known yet."""

    anchor: Tensor
    scale: Tensor

    def raw(self, units: Tensor) -> Tensor:
        """The values, in float64, that `units` [batch, ...] stand for."""
        shape = (-1, *[1] * (units.dim() - 1))
        return self.anchor.reshape(shape) + self.scale.reshape(shape) * units.double()


def scale_of(spread: Tensor) -> Tensor:
    """The running scale [...] from spreads [..., 2 or 4]: mean absolute change from season to
    season over a week of seasons, but never below half the change from step to step (a clean sine
    has no seasonal change at all)."""
    if spread.shape[-1] == 2:
        return spread[..., 1]
    return torch.maximum(spread[..., 3], 0.5 * spread[..., 1])


def safe(scale: Tensor) -> Tensor:
    """`scale` where it can divide, else 1."""
    return torch.where(scale > 0, scale, 1.0)


def relative(values: Tensor, anchor: Tensor, scale: Tensor) -> Tensor:
    """(values - anchor) / scale for [batch, n], subtracted and divided in float64,
    then cast to float32."""
    return ((values - anchor[:, None]) / safe(scale)[:, None]).float()


def slot_in_bin(timestamp: Tensor, interval_ms: int, width: int) -> Tensor:
    """[batch] int64: which of the `width` slots of its bin a stamp lies in.

    By the remainder first: the exporter turns a division of integers into one of float32, which
    holds a stamp of today to two minutes only, and so would begin bins a slot early or late.
    """
    return (timestamp.remainder(interval_ms * width).double() / interval_ms).floor().long()
