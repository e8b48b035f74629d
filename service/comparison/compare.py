"""What two models' forecasts of the same readings say about them: paired differences of their
losses, for all series together and for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eddycast.service.comparison.forecast_columns import ForecastColumns, Levels, common_grid
from eddycast.service.comparison.pairs import (
    Losses,
    Pairs,
    between,
    losses_of,
    paired_forecasts,
)
from eddycast.service.comparison.significance import Difference, paired
from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.records import Float64, Int64

#: Losses that are compared.
MEASURES = ("error", "pinball")


@dataclass(frozen=True, slots=True)
class Span:
    """Readings that count."""

    burn_in_ms: int  # after the first reading that both models have forecast: does not count
    block_ms: int  # losses further apart than this are taken as independent
    last_ms: int | None = None  # before the last one; None = all


class Measure(NamedTuple):
    """Mean losses of both models, in units of the series, and the challenger's relative to the
    champion's."""

    champion: float
    challenger: float
    difference: Difference


class OneSeries(NamedTuple):
    """The comparison on one target of one stream; `target` is "" where there is a single one."""

    stream: str
    target: str
    readings: int
    measures: dict[str, Measure]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome. `coverage` are the shares of readings between the outermost of `levels`."""

    models: tuple[tuple[str, ...], tuple[str, ...]]  # labels of champion and challenger
    levels: Levels
    start_ms: int
    end_ms: int
    readings: int
    blocks: int
    left_out: int  # series whose readings never change
    measures: dict[str, Measure]
    coverage: tuple[float, float]
    series: list[OneSeries]


def compare(champion: ForecastColumns, challenger: ForecastColumns, span: Span) -> Comparison:
    """Compare two topics of forecasts. Raises DataError if there is nothing to compare."""
    interval_ms, levels = common_grid((champion, challenger))
    ours, theirs = paired_forecasts(champion.columns(levels), challenger.columns(levels))
    if not len(ours.stamps):
        raise DataError(
            f"{champion.name} and {challenger.name} hold no scored forecast of the same reading",
            "check that both are made from the same input, by bundles of a present trainer",
        )
    first, last = int(ours.stamps.min()), int(ours.stamps.max())
    start = first + span.burn_in_ms
    start = start if span.last_ms is None else max(start, last + 1 - span.last_ms)
    if start > last:
        reach = format_duration(last - first)
        raise DataError(
            f"both models have forecast the same readings for {reach}, the burn-in is "
            f"{format_duration(span.burn_in_ms)}",
            "wait, or choose a shorter --burn-in",
        )
    ours, theirs = between(ours, start, last), between(theirs, start, last)
    pairs, left_out = losses_of(ours, theirs, levels)
    if not len(pairs.stamps):
        raise DataError("no reading differs from the one before it", "compare other streams")
    block = max(1, -(-span.block_ms // interval_ms))
    rows = _rows(pairs.stamps, interval_ms, block)
    measures, blocks = _measures(pairs, rows, block)
    return Comparison(
        models=(tuple(champion.models), tuple(challenger.models)),
        levels=levels,
        start_ms=start,
        end_ms=last,
        readings=len(pairs.stamps),
        blocks=blocks,
        left_out=left_out,
        measures=measures,
        coverage=(float(pairs.champion.covered.mean()), float(pairs.challenger.covered.mean())),
        series=_by_series(pairs, rows, block, list(champion.numbers.names)),
    )


def _rows(stamps: Int64, interval_ms: int, block: int) -> Int64:
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
        own = Pairs(
            pairs.series[part],
            pairs.stamps[part],
            Losses(*(column[part] for column in pairs.champion)),
            Losses(*(column[part] for column in pairs.challenger)),
        )
        measures, _ = _measures(own, rows[part] - int(rows[start]), block)
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
