"""Test of a difference between two forecasters against noise. Errors of neighbouring origins depend
on each other (their targets overlap), so origins are resampled in blocks: the circular block
bootstrap (Politis and Romano, 1992).

The statistic is the relative difference of a mean loss:
-0.2 means that the model's loss is a fifth smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Float64, Int64

DRAWS = 1000
NORMAL = 1.959964  # 97.5 % quantile
LEAST_BLOCKS = 5  # needed for an interval
VERDICT_BLOCKS = 10  # needed for a verdict


class Difference(NamedTuple):
    """The relative difference of a loss to a baseline's, and its 95 % interval,
    None if too few origins do not overlap."""

    relative: float
    low: float | None
    high: float | None

    @property
    def exceeds_noise(self) -> bool:
        """True if zero lies outside the interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def text(self) -> str:
        """`3.10% smaller (95 % interval -5.02% to -1.18%)`."""
        less = "smaller" if self.relative < 0 else "larger"
        known = self.low is not None and self.high is not None
        spread = f" (95 % interval {self.low:+.2%} to {self.high:+.2%})" if known else ""
        return f"{abs(self.relative):.2%} {less}{spread}"


def differences(
    losses: Mapping[str, Float64], rivals: Mapping[str, Mapping[str, Float64]], block: int
) -> dict[str, dict[str, Difference]]:
    """rival -> measure -> difference, from measure -> sums [n] at each origin, over the same
    targets. A measure in which the rival has no loss is left out."""
    return {
        rival: {
            measure: difference(losses[measure], theirs, block)
            for measure, theirs in sums.items()
            if theirs.sum() > 0
        }
        for rival, sums in rivals.items()
    }


def paired(
    loss: Float64, rival: Float64, seen: NDArray[np.bool_], block: int
) -> tuple[Difference, int]:
    """The difference of two forecasters' sums [n] over the same targets of all streams, at
    consecutive origins, and the number of blocks of origins in which any was `seen` [n]."""
    if not rival.any():
        return Difference(0.0, None, None), 0
    edges: Int64 = np.arange(0, len(seen), block)
    blocks = int(np.add.reduceat(seen, edges).astype(bool).sum())
    return difference(loss, rival, block), blocks


def difference(loss: Float64, rival: Float64, block: int, draws: int = DRAWS) -> Difference:
    """`loss` and `rival` [n] are sums at consecutive origins, in order;
    `block` neighbouring origins are dependent."""
    relative = float(loss.sum() / rival.sum() - 1)
    n = len(loss)
    if n < LEAST_BLOCKS * block:
        return Difference(relative, None, None)
    starts = np.random.default_rng(0).integers(0, n, (draws, -(-n // block)))
    ours, theirs = (_block_sums(sums, block)[starts].sum(axis=1) for sums in (loss, rival))
    known = theirs > 0
    low, high = np.quantile(ours[known] / theirs[known] - 1, (0.025, 0.975)) - relative
    wider = _student(n / block - 1) / NORMAL
    return Difference(relative, relative + float(low) * wider, relative + float(high) * wider)


def _student(freedom: float) -> float:
    """Student's 97.5 % quantile (Cornish and Fisher's expansion):
    few blocks estimate their own spread badly."""
    z = NORMAL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _block_sums(sums: Float64, block: int) -> Float64:
    """Sums over the `block` origins from each one on, [n], circularly."""
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([sums, sums[:block]]))])
    blocks: Float64 = running[block : block + len(sums)] - running[: len(sums)]
    return blocks
