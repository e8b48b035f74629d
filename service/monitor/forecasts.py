"""Forecasts of one series by the time they were issued, or by the time they are for."""

from __future__ import annotations

from typing import Any

import numpy as np

from eddycast.service.monitor.board import Place


def forecasts(
    place: Place,
    issued: int | None = None,
    valid: int | None = None,
    lead: int | None = None,
    limit: int = 1_000,
) -> list[dict[str, Any]]:
    """Remembered forecasts, a line for each time of issue and lead, newest first, with the reading
    that came. `issued` and `valid` are times in ms, matched to half an interval. For the latest
    time of issue, every lead of the multi-step forecast is there. The board's lock is held."""
    panel, row = place
    ring, shape = panel.ring, panel.shape
    half, interval_ms = shape.interval_ms // 2, shape.interval_ms
    rows = np.array([row])
    end, first = int(ring.counts[row]), int(ring.first(rows)[0])
    lines: list[dict[str, Any]] = []
    for index in range(end - 1, first - 1, -1):
        stamp = int(ring.stamps(rows, np.array([index]))[0])
        if issued is not None and not -half <= stamp - issued < half:
            continue
        for due, line in _made_at(place, index, stamp):
            if (valid is None or -half <= due - valid < half) and lead in (None, line["lead"]):
                at, exists = ring.near(rows, np.array([due]), interval_ms // 2)
                line["came"] = float(ring.values(rows, at)[0]) if exists[0] else None
                lines.append(line)
                if len(lines) == limit:
                    return lines
    return lines


def _made_at(place: Place, index: int, stamp: int) -> list[tuple[int, dict[str, Any]]]:
    """Due time and line of each forecast that was made at one reading."""
    panel, row = place
    shape = panel.shape
    kept = panel.ring.quantiles(np.array([row]), np.array([index]))[0]
    found = [
        (lead, lead * shape.interval_ms, quantiles)
        for lead, quantiles in zip(shape.remembered, kept.tolist(), strict=True)
    ]
    if stamp == panel.fan_stamps[row]:
        known = {lead_ms for _, lead_ms, _ in found}
        found += [
            (lead, lead * shape.forecast_interval_ms, quantiles)
            for lead, quantiles in zip(shape.leads, panel.fans[row].tolist(), strict=True)
            if lead * shape.forecast_interval_ms not in known
        ]
        found.sort(key=lambda each: each[1])
    return [
        (
            stamp + lead_ms,
            {"issued": stamp, "due": stamp + lead_ms, "lead": lead, "quantiles": quantiles},
        )
        for lead, lead_ms, quantiles in found
        if any(np.isfinite(quantiles))
    ]
