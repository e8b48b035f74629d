"""Checks of a history before a model is trained on it: what does not stop a training, but may spoil
the model. Each finding names the stream."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eddycast.service.durations import format_duration
from eddycast.service.records import Float64
from eddycast.training.data.panel import Panel

#: Seasons of silence after which a stream counts as dead, and share of the history before it.
_DEAD_SEASONS, _DEAD_SHARE = 3, 0.05
#: Share of missing readings that is mentioned.
_HOLES = 0.2
#: Shares of the history: of its end, which is compared with the rest, and of the window that is
#: mentioned if there is no more history.
_END, _SHORT = 0.1, 0.5
#: Factor between the changes of both, and between their levels, of a change of unit.
_UNIT = 3.0
#: Distance of the median at the end from that before, in spreads, that counts as drift.
_DRIFT = 3.0
_LEAST = 48  # readings that a comparison needs


class Finding(NamedTuple):
    """One remark; `stream` is "" for the history as a whole."""

    check: str
    stream: str
    text: str


def findings(panel: Panel, season: int, window_ms: int, since_ms: int | None) -> list[Finding]:
    """All findings in the readings of a panel. `season` is in rows; `since_ms` the end of the
    champion's training, from which drift is measured, None without a champion."""
    length_ms = len(panel) * panel.interval_ms
    found = list[Finding]()
    if length_ms < _SHORT * window_ms:
        found.append(Finding("too little", "", _short(length_ms, window_ms)))
    drift_from = _row_after(panel, since_ms)
    for stream, row, values in zip(panel.streams, panel.fed, panel.values, strict=True):
        seen = np.flatnonzero(~np.isnan(row))
        if not len(seen):
            found.append(Finding("empty", stream, "has no reading"))
            continue
        silent = len(row) - 1 - int(seen[-1])
        if silent > max(_DEAD_SEASONS * season, _DEAD_SHARE * len(row)):
            since = format_duration(silent * panel.interval_ms)
            found.append(Finding("dead", stream, f"has sent nothing for the last {since}"))
        missing = 1 - len(seen) / (int(seen[-1]) - int(seen[0]) + 1)
        if missing > _HOLES:
            longest = format_duration(int(np.diff(seen).max(initial=1)) * panel.interval_ms)
            text = f"{missing:.0%} of its readings are missing, up to {longest} at a time"
            found.append(Finding("gaps", stream, text))
        known = values[~np.isnan(values)]
        found += [Finding(check, stream, text) for check, text in _changes(known, season)]
        if drift_from is not None and panel.kind == "gauge":
            found += [
                Finding("drift", stream, text)
                for text in _drift(row[:drift_from], row[drift_from:])
            ]
    return found


def _short(length_ms: int, window_ms: int) -> str:
    days = 86_400_000
    return f"{length_ms / days:.1f} days of history for a window of {window_ms / days:g}"


def _row_after(panel: Panel, stamp_ms: int | None) -> int | None:
    return None if stamp_ms is None else int(np.searchsorted(panel.timestamps, stamp_ms, "right"))


def _changes(values: Float64, season: int) -> list[tuple[str, str]]:
    """A change of unit between the end of a stream and the rest: changes and levels have become
    larger or smaller by about the same factor."""
    cut = int(len(values) * (1 - _END))
    before, after = values[:cut], values[cut:]
    if len(after) < max(_LEAST, season):
        return []
    steps = _ratio(_usual(np.diff(after)), _usual(np.diff(before)))
    levels = _ratio(_usual(after), _usual(before))
    if steps is None or levels is None:
        return []
    alike = max(steps, levels) < 2 * min(steps, levels)
    if alike and not 1 / _UNIT < np.sqrt(steps * levels) < _UNIT:
        return [("unit", f"its readings are about {levels:.3g} times as large at the end")]
    return []


def _drift(before: Float64, after: Float64) -> list[str]:
    """A move of the median since the last training."""
    before, after = before[~np.isnan(before)], after[~np.isnan(after)]
    if min(len(before), len(after)) < _LEAST:
        return []
    low, middle, high = np.quantile(before, (0.1, 0.5, 0.9)).tolist()
    moved = float(np.median(after)) - middle
    if high > low and abs(moved) > _DRIFT * (high - low):
        return [f"its median has moved from {middle:.4g} to {middle + moved:.4g}"]
    return []


def _usual(values: Float64) -> float:
    """The median size of numbers other than 0; 0 if there are none."""
    sizes = np.abs(values[values != 0])
    return float(np.median(sizes)) if len(sizes) else 0.0


def _ratio(one: float, other: float) -> float | None:
    return one / other if one > 0 and other > 0 else None
