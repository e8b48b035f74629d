"""Paired differences of the losses of two models that have forecast the same readings, for all
series together and for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eddycast.service.comparison.overlap import Overlap
from eddycast.service.comparison.pairs import Pairs, losses
from eddycast.service.comparison.significance import VERDICT_BLOCKS, Difference, paired
from eddycast.service.errors import DataError
from eddycast.service.humanize import many
from eddycast.service.records import Float64, Int64

#: Losses that are compared.
MEASURES = ("error", "pinball")


class Measure(NamedTuple):
    """Mean losses of both models, in units of the series, and the challenger's relative to the
    champion's."""

    champion: float
    challenger: float
    difference: Difference


@dataclass(frozen=True, slots=True)
class Result:
    """The comparison of all series together. `coverage` are the shares of readings between the
    outermost quantiles of champion and challenger."""

    forecasts: int
    blocks: int  # of time, with a forecast that could be scored
    measures: dict[str, Measure]
    coverage: tuple[float, float]

    @property
    def verdict(self) -> str:
        """`too early`, `no difference beyond chance`, or who is better."""
        difference = self.measures["pinball"].difference
        if self.blocks < VERDICT_BLOCKS or difference.low is None:
            return f"too early: {many(self.blocks, 'block')} of time, {VERDICT_BLOCKS} are needed"
        if not difference.exceeds_noise:
            return "no difference beyond chance"
        better = difference.relative < 0
        return f"the challenger is {'better' if better else 'worse'} beyond chance"


class OneSeries(NamedTuple):
    """The comparison on one target of one stream; `target` is "" where there is a single one."""

    stream: str
    target: str
    forecasts: int
    measures: dict[str, Measure]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison one step ahead."""

    result: Result
    left_out: int  # series whose readings never change, so that they have no unit
    series: list[OneSeries]


def compare(overlap: Overlap) -> Comparison:
    """Compare the forecasts one step ahead. Raises DataError if no reading differs from the one
    before it."""
    unit = overlap.units[overlap.champion.series]
    known = np.flatnonzero(unit > 0)
    both = overlap.champion.of(known), overlap.challenger.of(known)
    first, second = (
        losses(one.residuals.astype(np.float64), overlap.levels).per(unit[known]) for one in both
    )
    pairs = Pairs(both[0].series, both[0].stamps, first, second)
    if not len(known):
        raise DataError("no reading differs from the one before it", "compare other streams")
    rows = time_rows(pairs.stamps, overlap.interval_ms, overlap.block)
    left_out = len(np.unique(overlap.champion.series)) - len(np.unique(pairs.series))
    series = _by_series(pairs, rows, overlap.block, overlap.names)
    return Comparison(result_of(pairs, rows, overlap.block), left_out, series)


def result_of(pairs: Pairs, rows: Int64, block: int) -> Result:
    """The comparison of pairs at these rows of time [n]."""
    measures, blocks = _measures(pairs, rows, block)
    champion, challenger = (float(one.covered.mean()) for one in (pairs.champion, pairs.challenger))
    return Result(len(pairs.stamps), blocks, measures, (champion, challenger))


def time_rows(stamps: Int64, interval_ms: int, block: int) -> Int64:
    """The row of time of each stamp [n], from 0 on. A silence of all series is cut to one block, of
    which the rows around it are independent."""
    slots, which = np.unique(stamps // interval_ms, return_inverse=True)
    steps = np.minimum(np.diff(slots, prepend=slots[0]), block)
    rows: Int64 = np.cumsum(steps)[which]
    return rows


def _by_series(
    pairs: Pairs, rows: Int64, block: int, names: Sequence[tuple[str, str]]
) -> list[OneSeries]:
    edges = np.flatnonzero(np.diff(pairs.series, prepend=-1, append=-1))
    found = []
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = slice(start, end)
        measures, _ = _measures(pairs.of(part), rows[part] - int(rows[start]), block)
        found.append(OneSeries(*names[int(pairs.series[start])], end - start, measures))
    return found


def _measures(pairs: Pairs, rows: Int64, block: int) -> tuple[dict[str, Measure], int]:
    """The measures of forecasts at these rows of time, and the number of blocks that they fill."""
    size = int(rows.max()) + 1
    seen = np.bincount(rows, minlength=size) > 0
    found, blocks = {}, 0
    for name in MEASURES:
        own: Float64 = getattr(pairs.challenger, name)
        rival: Float64 = getattr(pairs.champion, name)
        sums = _sums(rows, own, size), _sums(rows, rival, size)
        difference, blocks = paired(*sums, seen, block)
        found[name] = Measure(float(rival.mean()), float(own.mean()), difference)
    return found, blocks


def _sums(rows: Int64, losses: Float64, size: int) -> Float64:
    """The sum of the losses [n] at each row [size]."""
    return np.bincount(rows, losses, size).astype(np.float64)
