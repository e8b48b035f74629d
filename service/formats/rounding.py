"""Round forecasts to significant digits, measured by the width of their own interval.

A float64 takes up to 17 digits and a float32 nine. Rounded to a thousandth of the interval's width,
a forecast takes two thirds of the bytes or less and differs by far less than its uncertainty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Powers of ten up to this are exact, by dtype; rows whose width would need more are not rounded.
_EXACT = {np.dtype(np.float64): 22, np.dtype(np.float32): 10}

Floats = NDArray[np.floating[Any]]


def rounded(
    one_step: Floats, multi_step: Floats | None, digits: int
) -> tuple[Floats, Floats | None]:
    """Round one_step [n, targets, quantiles] and multi_step [n, horizon, targets, quantiles],
    of one dtype.

    `digits` is the number of digits below the leading digit of the width between the outermost
    one-step quantiles, per row and target. Quantiles keep their order, and rows do not depend on
    each other. Rows without a width are returned as they are.
    """
    width = one_step[..., -1].astype(np.float64) - one_step[..., 0]
    known = np.isfinite(width) & (width > 0)
    decimals = digits - np.floor(np.log10(width, out=np.zeros_like(width), where=known))
    exact = _EXACT[one_step.dtype]
    known &= np.abs(decimals) <= exact
    if not known.any():
        return one_step, multi_step
    up, down = (
        np.where(known, 10.0 ** np.clip(powers, 0, exact), 1.0).astype(one_step.dtype)
        for powers in (decimals, -decimals)
    )
    one_step = _to_steps(one_step, up[..., None], down[..., None], known[..., None])
    if multi_step is not None:
        multi_step = _to_steps(
            multi_step, up[:, None, :, None], down[:, None, :, None], known[:, None, :, None]
        )
    return one_step, multi_step


def _to_steps(values: Floats, up: Floats, down: Floats, known: NDArray[np.bool_]) -> Floats:
    """Round `known` values to multiples of down / up.

    Dividing by a power of ten, unlike multiplying by its inverse, gives the number nearest to the
    decimal, which then prints without further digits. A number whose steps do not fit its dtype is
    kept.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.rint(values * up / down)
        fits = known & (np.abs(steps) <= 2.0 ** np.finfo(values.dtype).nmant)
        return np.where(fits, steps / up * down, values)
