"""Accuracy by lead, computed slowly from all records with plain Python."""

from __future__ import annotations

from typing import Any


def by_lead(
    records: list[dict[str, Any]], leads: list[int], since: int, season_ms: int | None = None
) -> list[dict[str, float]]:
    """Sums for one stream's records with stamps from `since` on: an entry for each lead."""
    return [_lead(records, lead, since, season_ms) for lead in leads]


def _lead(
    records: list[dict[str, Any]], lead: int, since: int, season_ms: int | None
) -> dict[str, float]:
    by_stamp = {record["timestamp"]: record for record in records}
    sums = dict.fromkeys(
        ("n", "error", "pinball", "covered", "last_error", "season_error", "season_n"), 0.0
    )
    last: dict[int, float | None] = {}  # by the stamp of a reading, and of the slot before it
    known = None
    for record in records:
        last.setdefault(record["timestamp"] - record["interval_ms"], known)
        known = record["value"] if record["value"] is not None else known
        last[record["timestamp"]] = known
    for record in records:
        stamp, value = record["timestamp"], record["value"]
        levels, made = record["quantiles"], by_stamp.get(stamp - lead * record["interval_ms"])
        quantiles = record["expected"] if lead == 1 else None
        if quantiles is None and made is not None:
            quantiles = made["one_step"] if lead == 1 else made["multi_step"][lead - 1]
        if stamp < since or value is None or quantiles is None:
            continue
        sums["n"] += 1
        sums["error"] += abs(value - quantiles[len(levels) // 2])
        sums["pinball"] += sum(
            max(level * (value - q), (level - 1) * (value - q))
            for level, q in zip(levels, quantiles, strict=True)
        ) / len(levels)
        sums["covered"] += quantiles[0] <= value <= quantiles[-1]
        before = last[stamp - lead * record["interval_ms"]]
        assert before is not None
        sums["last_error"] += abs(value - before)
        if season_ms is not None:
            back = -(-lead * record["interval_ms"] // season_ms) * season_ms
            then = by_stamp.get(stamp - back)
            if then is not None and then["value"] is not None:
                sums["season_n"] += 1
                sums["season_error"] += abs(value - then["value"])
    return sums
