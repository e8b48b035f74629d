"""The values that a forecast may take: real, nonnegative, or integers from zero on.

A support is a constant in data units, so the law f(a*y + b) = a*f(y) + b holds for "real" alone.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.service.errors import DataError
from eddycast.training.models.memory.units import Frame, relative

Support = Literal["real", "nonnegative", "integer"]
SUPPORTS: tuple[Support, ...] = get_args(Support)
# of a stream's values are exactly zero: then zero is where they end,
# not just a number not passed yet
ZEROS = 0.01


def parse_support(text: str) -> Support:
    """Raises DataError for a support that does not exist."""
    for support in SUPPORTS:
        if text == support:
            return support
    raise DataError(f"there is no support {text!r}", f"choose one of {', '.join(SUPPORTS)}")


def confine(quantiles: Tensor, support: Support) -> Tensor:
    """Raw quantiles [...], the nearest values that the support has. They stay sorted."""
    if support == "real":
        return quantiles
    above = quantiles.clamp(min=0.0)
    return torch.round(above) if support == "integer" else above


def confined_units(units: Tensor, frame: Frame, support: Support) -> Tensor:
    """`units` [batch, Q] within the support, again in the frame's units."""
    return units if support == "real" else relative(confine(frame.raw(units), support), *frame)


def support_of(values: NDArray[np.float64]) -> Support:
    """The support that values [T, S] (NaN = missing) speak for: "nonnegative" if no stream is ever
    negative and each is often exactly zero, else "real". Never "integer": readings are also whole
    because a sensor has no decimals, and who wants a rounded forecast can say so."""
    observed = (~np.isnan(values)).sum(0)
    zeros = (values == 0).sum(0)
    streams = observed > 0
    ends = not (values < 0).any() and bool((zeros >= ZEROS * observed)[streams].all())
    return "nonnegative" if ends and streams.any() else "real"
