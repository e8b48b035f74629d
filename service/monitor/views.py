"""Answers for people and programs: plain dictionaries of numbers and texts, made from the board."""

from __future__ import annotations

from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.monitor import accuracy
from eddycast.service.monitor.anomalies import threshold
from eddycast.service.monitor.board import Board, Place
from eddycast.service.monitor.table import Table
from eddycast.service.records import Int64

Sort = Literal["name", "worst", "surprising", "silent", "cold", "newest"]
SORTS: tuple[Sort, ...] = ("name", "worst", "surprising", "silent", "cold", "newest")
#: Readings in a line's sparkline.
SPARK = 32


class Query(NamedTuple):
    """Contents and order of a list of streams."""

    search: str = ""
    sort: Sort = "name"
    window: str = "day"
    only_silent: bool = False
    offset: int = 0
    limit: int = 50


def streams(board: Board, table: Table, query: Query, now_ms: int) -> dict[str, Any]:
    """One page of the list of streams."""
    after = board.settings.silent_after
    which = _matching(table, query.search)
    if query.only_silent:
        which = which[table.silent(now_ms, after)[which]]
    which = which[_order(table, query, now_ms, which)]
    page = which[query.offset : query.offset + query.limit]
    silent, silent_ms = table.silent(now_ms, after), table.silent_ms(now_ms)
    with board.lock:
        sparks = [_spark(table.place(i)) for i in page.tolist()]
        models = [board.models[table.models[i]] for i in page.tolist()]
    lines = [
        _line(table, i, query.window, bool(silent[i]), float(silent_ms[i])) | {
            "model": model, "recent": spark,
        }
        for i, model, spark in zip(page.tolist(), models, sparks, strict=True)
    ]  # fmt: skip
    return {
        "total": len(table),
        "matched": len(which),
        "offset": query.offset,
        "limit": query.limit,
        "streams": lines,
    }


def _matching(table: Table, search: str) -> NDArray[np.intp]:
    if not search:
        return np.arange(len(table))
    wanted = search.casefold()
    return np.array(
        [
            i
            for i, series in enumerate(table.series)
            if wanted in series.stream.casefold() or wanted in series.target.casefold()
        ],
        np.intp,
    )


def _order(table: Table, query: Query, now_ms: int, which: NDArray[np.intp]) -> NDArray[np.intp]:
    """Positions in `which`, in the wanted order; series without the figure come last."""
    key: NDArray[np.float64]
    match query.sort:
        case "worst":
            key = -table.errors[query.window][which]
        case "surprising":
            key = -table.surprising[which]
        case "silent":
            key = -(table.silent_ms(now_ms) / table.rhythms_ms)[which]
        case "cold":
            key = (table.warm[which] * 1e15 + table.counts[which]).astype(np.float64)
        case "newest":
            key = -table.appeared[which].astype(np.float64)
        case "name":
            names = [table.series[i] for i in which.tolist()]
            return np.array(sorted(range(len(names)), key=names.__getitem__), np.intp)
    return np.argsort(key, kind="stable")


def _line(table: Table, i: int, window: str, silent: bool, silent_ms: float) -> dict[str, Any]:
    low, middle, high = table.one_step[i].tolist()
    return {
        "stream": table.series[i].stream,
        "target": table.series[i].target,
        "timestamp": int(table.stamps[i]),
        "value": float(table.values[i]),
        "forecast": {"low": low, "middle": middle, "high": high},
        "warm": bool(table.warm[i]),
        "surprise": float(table.surprise[i]),
        "anomaly": float(table.anomaly[i]),
        "readings": int(table.counts[i]),
        "appeared": int(table.appeared[i]),
        "silent": silent,
        "silent_s": round(silent_ms / 1000, 3),
        "rhythm_s": float(table.rhythms_ms[i]) / 1000,
        "scaled_error": float(table.errors[window][i]),
    }


def _spark(place: Place) -> list[float]:
    values: list[float] = place.panel.ring.values(*_recent(place, SPARK)).tolist()
    return values


def one(board: Board, place: Place, limit: int) -> dict[str, Any]:
    """Everything about one series: its last readings, what was expected of them, and the latest
    forecast. The lock of the board is held."""
    panel, row = place
    shape, ring = panel.shape, panel.ring
    series = panel.series[row]
    rows, indexes = _recent(place, limit)
    stamps = ring.stamps(rows, indexes)
    models = ring.models(rows, indexes)
    changed = np.flatnonzero(np.r_[True, models[1:] != models[:-1]])
    return {
        "stream": series.stream if series else "",
        "target": series.target if series else "",
        "interval_ms": shape.interval_ms,
        "forecast_interval_ms": shape.forecast_interval_ms,
        "quantiles": shape.quantiles,
        "leads": shape.leads,
        "remembered_leads": shape.remembered,
        "anomaly_threshold": threshold(shape, board.settings.alarms_per_week),
        "scale": float(panel.scales[row]),
        "history": {
            "timestamps": stamps,
            "values": ring.values(rows, indexes),
            "expected": np.ascontiguousarray(ring.quantiles(rows, indexes)[:, 0]),
            "surprise": ring.surprise(rows, indexes),
            "anomaly": ring.anomaly(rows, indexes),
            "warm": ring.warm(rows, indexes),
        },
        "by_hour": _by_hour(place),
        "gaps": _gaps(stamps, shape.interval_ms),
        "models": [
            # the first may have written readings that are not remembered, too
            {"from": int(stamps[i]) if i else None, "model": board.models[models[i]]}
            for i in changed.tolist()
        ],
        "fan": _fan(place),
        "accuracy": accuracy.of_series(place),
    }


def anomalies(board: Board, stream: str | None, limit: int) -> dict[str, Any]:
    """The latest anomalies, newest first. The lock of the board is held."""
    found = (
        alarm for alarm in reversed(board.alarms.latest) if stream in (None, alarm.series.stream)
    )
    return {
        "total": board.alarms.total,
        "anomalies": [
            {"stream": alarm.series.stream, "target": alarm.series.target}
            | {name: value for name, value in alarm._asdict().items() if name != "series"}
            for alarm in islice(found, limit)
        ],
    }


def _recent(place: Place, limit: int) -> tuple[NDArray[np.intp], Int64]:
    """Row and index of the last readings of a series, oldest first."""
    ring, row = place.panel.ring, np.array([place.row])
    end = int(ring.counts[place.row])
    indexes = np.arange(max(int(ring.first(row)[0]), end - limit), end)
    return np.full(len(indexes), place.row), indexes


def _by_hour(place: Place) -> list[dict[str, Any]]:
    """Mean absolute error of one step by hour of the day, UTC, over the readings that are held."""
    ring, shape = place.panel.ring, place.panel.shape
    rows, indexes = _recent(place, ring.history)
    stamps = ring.stamps(rows, indexes)
    forecast = ring.quantiles(rows, indexes)[:, 0, shape.middle]
    error = np.abs(ring.values(rows, indexes) - forecast)
    known = np.isfinite(error)
    hours = (stamps[known] // 3_600_000 % 24).astype(np.intp)
    counts = np.bincount(hours, minlength=24)
    sums = np.bincount(hours, error[known], minlength=24)
    return [
        {"hour": hour, "scored": int(counts[hour]), "mae": float(sums[hour] / counts[hour])}
        for hour in np.flatnonzero(counts).tolist()
    ]


def _gaps(stamps: Int64, interval_ms: int) -> list[dict[str, int]]:
    wide = np.flatnonzero(np.diff(stamps) > 1.5 * interval_ms)
    return [
        {
            "from": int(stamps[i]),
            "to": int(stamps[i + 1]),
            "missing": round((stamps[i + 1] - stamps[i]) / interval_ms) - 1,
        }
        for i in wide.tolist()
    ]


def _fan(place: Place) -> dict[str, Any] | None:
    """The latest multi-step forecast, every lead of it; None if there was none."""
    panel, row = place
    issued = int(panel.fan_stamps[row])
    if not issued:
        return None
    step_ms = panel.shape.forecast_interval_ms
    return {
        "issued": issued,
        "due": [issued + lead * step_ms for lead in panel.shape.leads],
        "leads": panel.shape.leads,
        "quantiles": panel.fans[row].copy(),
    }
