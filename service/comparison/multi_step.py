"""Multi-step forecasts of two models, scored by the readings that came: each by its mean loss over
the leads whose reading is known, for the forecasts that both models made at the same reading."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eddycast.service.comparison.compare import Result, result_of, time_rows
from eddycast.service.comparison.forecast_columns import (
    ForecastColumns,
    Levels,
    Numbers,
    Scored,
    latest,
)
from eddycast.service.comparison.overlap import Overlap
from eddycast.service.comparison.pairs import Losses, Pairs, Placed, losses, matching
from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.monitor.decode import Decoded
from eddycast.service.records import Float64, Int64

Bool = NDArray[np.bool_]


class Readings:
    """The readings of all series by slot of time."""

    def __init__(self, forecasts: Scored, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        slots = self.slots(forecasts.stamps)
        self._first, self._values = int(slots.min()), forecasts.readings
        self._span = int(slots.max()) - self._first + 1
        self._keys = forecasts.series * self._span + (slots - self._first)

    def slots(self, stamps: Int64) -> Int64:
        """The nearest slot of each stamp."""
        return (stamps + self._interval_ms // 2) // self._interval_ms

    def at(self, series: Int64, slots: Int64) -> Float64:
        """The readings of series [n] at slots [n, leads]; NaN where there is none."""
        inside = (slots >= self._first) & (slots < self._first + self._span)
        keys = series[:, None] * self._span + (slots - self._first)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(inside & (self._keys[places] == keys), self._values[places], np.nan)


@dataclass(frozen=True, slots=True)
class Plan:
    """The multi-step forecasts to score."""

    overlap: Overlap
    leads: tuple[int, ...]  # that both models have
    readings: Readings


def plan_of(champion: ForecastColumns, challenger: ForecastColumns, overlap: Overlap) -> Plan:
    """The plan for two topics. Raises DataError for one without multi-step forecasts, and for those
    of means over several intervals, which no single reading scores."""
    for one in (champion, challenger):
        if not one.fans:
            raise DataError(
                f"{one.name} holds no multi-step forecasts",
                "challenge with --multi-step, or compare without",
            )
        for interval_ms, _ in one.fans:
            if interval_ms != overlap.interval_ms:
                raise DataError(
                    f"{one.name} holds forecasts of means over {format_duration(interval_ms)}",
                    "compare them without --multi-step",
                )
    every = [set(leads) for one in (champion, challenger) for _, leads in one.fans]
    leads = tuple(sorted(set.intersection(*every)))
    if not leads:
        raise DataError("the multi-step forecasts share no lead", "compare without --multi-step")
    return Plan(overlap, leads, Readings(overlap.champion, overlap.interval_ms))


@dataclass(slots=True)
class MultiStepColumns:
    """Collects the losses of one model's multi-step forecasts."""

    plan: Plan
    numbers: Numbers
    _chunks: list[tuple[Int64, Int64, Losses]] = field(default_factory=list)

    def add(self, decoded: Decoded) -> None:
        """Add what a poll brought."""
        for shape, forecasts in decoded.groups.items():
            if shape.leads and np.isfinite(forecasts.fans).any():
                series = self.numbers.of(forecasts.series)
                self.add_fans(
                    series, forecasts.stamps, forecasts.fans, shape.leads, shape.quantiles
                )

    def add_fans(
        self, series: Int64, stamps: Int64, fans: Float64, leads: tuple[int, ...], levels: Levels
    ) -> None:
        """Add forecasts [n, leads, levels] made at readings with these stamps [n]. Those without
        the leads and levels of the plan are passed over: of a model promoted meanwhile."""
        plan, overlap = self.plan, self.plan.overlap
        if not (set(plan.leads) <= set(leads) and set(overlap.levels) <= set(levels)):
            return
        at_leads = [leads.index(lead) for lead in plan.leads]
        at_levels = [levels.index(level) for level in overlap.levels]
        counts = (stamps >= overlap.start_ms) & (stamps <= overlap.end_ms)
        counts &= series < len(overlap.units)
        series, stamps = series[counts], stamps[counts]
        slots = plan.readings.slots(stamps)[:, None] + np.array(plan.leads)
        chosen = fans[counts][:, at_leads][:, :, at_levels]
        residuals = plan.readings.at(series, slots)[..., None] - chosen
        known: Bool = np.asarray(np.isfinite(residuals).all(axis=2))
        some: Bool = np.asarray(known.any(axis=1) & (overlap.units[series] > 0))
        found = _over_leads(residuals[some], known[some], overlap.levels)
        self._chunks.append((series[some], stamps[some], found.per(overlap.units[series[some]])))

    def columns(self) -> tuple[Placed, Losses]:
        """All of them by series and stamp, each once."""
        none, nothing = np.empty(0, np.int64), np.empty(0)
        chunks = [(none, none, Losses(nothing, nothing, nothing)), *self._chunks]
        series = np.concatenate([chunk[0] for chunk in chunks])
        stamps = np.concatenate([chunk[1] for chunk in chunks])
        every = (np.concatenate(column) for column in zip(*(c[2] for c in chunks), strict=True))
        order = latest(series, stamps)
        return Placed(series[order], stamps[order]), Losses(*every).of(order)


def compare_multi_step(champion: MultiStepColumns, challenger: MultiStepColumns) -> Result:
    """Compare the forecasts over all leads. Raises DataError if no forecast is due yet."""
    plan = champion.plan
    place, rival = champion.columns()
    own_place, own = challenger.columns()
    theirs, ours = matching(place, own_place)
    if not len(ours):
        raise DataError("no multi-step forecast of both is due yet", "wait")
    pairs = Pairs(place.series[theirs], place.stamps[theirs], rival.of(theirs), own.of(ours))
    block = plan.overlap.block + plan.leads[-1]
    rows = time_rows(pairs.stamps, plan.overlap.interval_ms, block)
    return result_of(pairs, rows, block)


def _over_leads(residuals: Float64, known: Bool, levels: Levels) -> Losses:
    """Mean losses [n] over the leads that are `known` [n, leads], from residuals [n, leads,
    levels]."""
    each = losses(residuals.reshape(-1, len(levels)), levels)
    count = known.sum(axis=1)
    means = (
        np.where(known, column.reshape(known.shape), 0.0).sum(axis=1) / count for column in each
    )
    return Losses(*means)
