"""Round forecasts to significant digits, measured by the width of their own interval.

An exact float64 takes 17 digits. Rounded to a millionth of the interval's width, a forecast takes half the
bytes and differs by far less than its uncertainty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Digits kept below the leading digit of the interval's width.
DIGITS = 6
#: Powers of ten up to this are exact in float64; rows whose width would need more are not rounded.
EXACT = 22

Floats = NDArray[np.floating[Any]]


def rounded(one_step: Floats, multi_step: Floats | None) -> tuple[Floats, Floats | None]:
    """Round one_step [n, targets, quantiles] and multi_step [n, horizon, targets, quantiles].

    The step is a power of ten, at most a millionth of the width between the outermost one-step quantiles of
    each row and target. Quantiles keep their order, and rows do not depend on each other. float32, which is
    short anyway, and rows without a width are returned as they are.
    """
    if one_step.dtype == np.float32:
        return one_step, multi_step
    width = one_step[..., -1] - one_step[..., 0]
    known = np.isfinite(width) & (width > 0)
    decimals = DIGITS - np.floor(np.log10(width, out=np.zeros_like(width), where=known))
    known &= np.abs(decimals) <= EXACT
    if not known.any():
        return one_step, multi_step
    up = np.where(known, 10.0 ** np.clip(decimals, 0, EXACT), 1.0)
    down = np.where(known, 10.0 ** np.clip(-decimals, 0, EXACT), 1.0)
    one_step = _to_steps(one_step, up[..., None], down[..., None], known[..., None])
    if multi_step is not None:
        multi_step = _to_steps(multi_step, up[:, None, :, None], down[:, None, :, None], known[:, None, :, None])
    return one_step, multi_step


def _to_steps(values: Floats, up: Floats, down: Floats, known: NDArray[np.bool_]) -> Floats:
    """Round `known` values to multiples of down / up.

    Dividing by a power of ten, unlike multiplying by its inverse, gives the float64 nearest to the decimal,
    which then prints without further digits.
    """
    steps = np.rint(values * up / down) / up * down
    return np.where(known, steps, values)
