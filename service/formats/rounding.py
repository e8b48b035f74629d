"""Round forecasts to significant digits, measured by the width of their own interval.

A float64 takes up to 17 digits and a float32 nine. Rounded to a thousandth of the interval's width,
a forecast takes two thirds of the bytes or less and differs by far less than its uncertainty.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

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
    decimals = _Decimals.of(one_step, digits)
    if multi_step is not None:
        multi_step = decimals.round(multi_step, np.s_[:, None, :, None])
    return decimals.round(one_step, np.s_[..., None]), multi_step


def rounded_with_error(expected: Floats, error: Floats, digits: int) -> tuple[Floats, Floats]:
    """Round expected [n, targets, quantiles] as `rounded` does a one-step forecast,
    and error [n, targets] to the same decimals."""
    decimals = _Decimals.of(expected, digits)
    return decimals.round(expected, np.s_[..., None]), decimals.round(error, np.s_[...])


class _Decimals(NamedTuple):
    """Decimals to round to by row and target, [n, targets] each: multiples of down / up."""

    up: Floats
    down: Floats
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, interval: Floats, digits: int) -> Self:
        """Decimals that keep `digits` of the width of `interval` [n, targets, quantiles]."""
        width = interval[..., -1].astype(np.float64) - interval[..., 0]
        known = np.isfinite(width) & (width > 0)
        decimals = digits - np.floor(np.log10(width, out=np.zeros_like(width), where=known))
        exact = _EXACT[interval.dtype]
        known &= np.abs(decimals) <= exact
        up, down = (
            np.where(known, 10.0 ** np.clip(powers, 0, exact), 1.0)
            for powers in (decimals, -decimals)
        )
        return cls(up, down, known)

    def round(self, values: Floats, at: Any) -> Floats:
        """Round `known` values, with rows and targets along the axes that the index `at` keeps.

        Dividing by a power of ten, unlike multiplying by its inverse, gives the number nearest to
        the decimal, which then prints without further digits. A number whose steps do not fit its
        dtype is kept.
        """
        if not self.known.any():
            return values
        up, down = (powers.astype(values.dtype)[at] for powers in (self.up, self.down))
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.rint(values * up / down)
            fits = self.known[at] & (np.abs(steps) <= 2.0 ** np.finfo(values.dtype).nmant)
            return np.where(fits, steps / up * down, values)
