"""The readings that both models have forecast and that count in a comparison."""

from __future__ import annotations

from dataclasses import dataclass

from eddycast.service.comparison.forecast_columns import (
    ForecastColumns,
    Levels,
    Scored,
    common_grid,
)
from eddycast.service.comparison.pairs import Placed, matching, units
from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.records import Float64


@dataclass(frozen=True, slots=True)
class Span:
    """Readings that count."""

    burn_in_ms: int  # after the first reading that both models have forecast: does not count
    block_ms: int  # losses further apart than this are taken as independent
    last_ms: int | None = None  # before the last one; None = all


@dataclass(frozen=True, slots=True)
class Overlap:
    """Forecasts of both models one step ahead, for the same readings in the same order."""

    interval_ms: int
    levels: Levels  # that both have
    block: int  # intervals
    start_ms: int
    end_ms: int
    champion: Scored
    challenger: Scored
    units: Float64  # of each series, by its number; 0 where readings never change
    names: list[tuple[str, str]]  # stream and target of each series


def overlap_of(champion: ForecastColumns, challenger: ForecastColumns, span: Span) -> Overlap:
    """The overlap of two topics. Raises DataError if there is none."""
    interval_ms, levels = common_grid((champion, challenger))
    own, rival = challenger.columns(levels), champion.columns(levels)
    theirs, ours = matching(Placed(rival.series, rival.stamps), Placed(own.series, own.stamps))
    if not len(ours):
        raise DataError(
            f"{champion.name} and {challenger.name} hold no scored forecast of the same reading",
            "check that both are made from the same input, by bundles of a present trainer",
        )
    stamps = rival.stamps[theirs]
    first, last = int(stamps.min()), int(stamps.max())
    start = first + span.burn_in_ms
    start = start if span.last_ms is None else max(start, last + 1 - span.last_ms)
    if start > last:
        reach, burn_in = map(format_duration, (last - first, span.burn_in_ms))
        raise DataError(
            f"both models have forecast the same readings for {reach}, the burn-in is {burn_in}",
            "wait, or choose a shorter --burn-in",
        )
    counts = stamps >= start
    rival = rival.of(theirs[counts])
    return Overlap(
        interval_ms=interval_ms,
        levels=levels,
        block=max(1, -(-span.block_ms // interval_ms)),
        start_ms=start,
        end_ms=last,
        champion=rival,
        challenger=own.of(ours[counts]),
        units=units(rival),
        names=[(name.stream, name.target) for name in champion.numbers.names],
    )
