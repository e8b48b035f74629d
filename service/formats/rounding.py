"""How many digits of a forecast mean anything: those far below the width of its own interval do not.

A float64 takes 17 digits to write exactly. Rounded to a millionth of the interval's width, the same forecast takes
half the bytes, and no reader can tell the difference from the interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Digits kept below the leading digit of the interval's width.
DIGITS = 6
#: Powers of ten up to this are exact in float64; a width so small or large that it needs more is left alone.
EXACT = 22

Floats = NDArray[np.floating[Any]]


def rounded(one_step: Floats, multi_step: Floats | None) -> tuple[Floats, Floats | None]:
    """one_step [n, targets, quantiles] and multi_step [n, horizon, targets, quantiles], both in decimal steps of at
    most a millionth of the width between the outermost one-step quantiles of each row and target.

    Quantiles keep their order, and what is written does not depend on other rows. float32 is left as it is: it is
    short already. So is a row without a width.
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
    """Multiples of down / up. Dividing by a power of ten, not multiplying by its inverse, gives the nearest float64 to
    the decimal, which is then written with no more digits."""
    steps = np.rint(values * up / down) / up * down
    return np.where(known, steps, values)
