"""Forecasts of one series by the time they were issued, or by the time they are for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor.board import Place
from eddycast.service.records import Float64, Int64


class Wanted(NamedTuple):
    """A selection of forecasts. Times in ms, matched to half an interval; None = any."""

    issued: int | None = None
    valid: int | None = None
    lead: int | None = None
    limit: int = 1_000


class _Lines(NamedTuple):
    """Columns of forecasts."""

    issued: Int64
    due: Int64
    leads: Int64
    quantiles: Float64  # [n, levels]


def forecasts(place: Place, wanted: Wanted) -> list[dict[str, Any]]:
    """Remembered forecasts, a line for each time of issue and lead, newest first, with the reading
    that came. The latest multi-step forecast is there with every lead.
    The board's lock is held."""
    parts = [_one_step(place), _remembered(place), _latest(place)]
    lines = _Lines(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    chosen = np.flatnonzero(_matches(lines, wanted, place.panel.shape.interval_ms // 2))
    order = np.lexsort((lines.due[chosen], -lines.issued[chosen]))
    chosen = chosen[order][: wanted.limit]
    came, middle = _came(place, lines.due[chosen]), place.panel.shape.middle
    return [
        {
            "issued": issued,
            "due": due,
            "lead": lead,
            "low": quantiles[0],
            "middle": quantiles[middle],
            "high": quantiles[-1],
            "quantiles": quantiles,
            "came": value,
        }
        for issued, due, lead, quantiles, value in zip(
            *(column[chosen].tolist() for column in lines), came.tolist(), strict=True
        )
    ]


def _one_step(place: Place) -> _Lines:
    """Forecasts of one step: what was expected of each reading, and of the next one."""
    panel, row = place
    rows, indexes, stamps = _held(place)
    interval_ms = panel.shape.interval_ms
    before = np.r_[stamps[:1], stamps[:-1]]
    # after a gap it was made in a slot without a reading
    from_reading = 2 * np.abs(stamps - before - interval_ms) <= interval_ms
    issued = np.r_[np.where(from_reading, before, stamps - interval_ms), stamps[-1:]]
    expected = panel.ring.quantiles(rows, indexes)[:, 0]
    quantiles = np.concatenate([expected, panel.one_step.latest[[row]]])
    return _Lines(issued, issued + interval_ms, np.ones(len(issued), np.int64), quantiles)


def _remembered(place: Place) -> _Lines:
    """Forecasts of further leads in the ring."""
    ring, shape = place.panel.ring, place.panel.shape
    rows, indexes, stamps = _held(place)
    leads = np.array(shape.remembered[1:], np.int64)
    issued = np.repeat(stamps, len(leads))
    every = np.tile(leads, len(stamps))
    quantiles = ring.quantiles(rows, indexes)[:, 1:].reshape(len(issued), len(shape.quantiles))
    return _Lines(issued, issued + every * shape.interval_ms, every, quantiles)


def _held(place: Place) -> tuple[NDArray[np.intp], Int64, Int64]:
    """Row, index and stamp of each reading that is held."""
    ring, row = place.panel.ring, np.array([place.row])
    indexes = np.arange(int(ring.first(row)[0]), int(ring.counts[place.row]))
    rows = np.full(len(indexes), place.row)
    return rows, indexes, ring.stamps(rows, indexes)


def _latest(place: Place) -> _Lines:
    """Leads of the latest multi-step forecast that are not remembered."""
    panel, row = place
    shape, issued = panel.shape, int(panel.fan_stamps[row])
    known = {lead * shape.interval_ms for lead in shape.remembered}
    taken = [
        i
        for i, lead in enumerate(shape.leads)
        if issued and lead * shape.forecast_interval_ms not in known
    ]
    leads = np.array(shape.leads, np.int64)[taken]
    stamps = np.full(len(taken), issued)
    due = stamps + leads * shape.forecast_interval_ms
    return _Lines(stamps, due, leads, panel.fans[row][taken])


def _matches(lines: _Lines, wanted: Wanted, half_ms: int) -> NDArray[np.bool_]:
    matches = np.asarray(np.isfinite(lines.quantiles).any(axis=1), np.bool_)
    for times, when in ((lines.issued, wanted.issued), (lines.due, wanted.valid)):
        if when is not None:
            matches &= (times >= when - half_ms) & (times < when + half_ms)
    if wanted.lead is not None:
        matches &= lines.leads == wanted.lead
    return matches


def _came(place: Place, due: Int64) -> Float64:
    """The readings at these times; NaN where none came."""
    ring, rows = place.panel.ring, np.full(len(due), place.row)
    found, exists = ring.near(rows, due, place.panel.shape.interval_ms // 2)
    return np.where(exists, ring.values(rows, found), np.nan)
