"""Durations as text: `15min`, `1h30m`. Light to import: options are parsed with it."""

from __future__ import annotations

import re

from eddycast.service.errors import DataError

_UNITS_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_LONGEST_MS = 1_000 * 366 * _UNITS_MS["d"]


def parse_duration(text: str) -> int:
    """A duration in ms from `500ms`, `90s`, `15min` or `15m`, `1h`, `7d`, `2w`,
    or several together (`1h30m`). Raises DataError."""
    plain = text.replace(" ", "").lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|min|s|m|h|d|w)", plain)
    total = sum(float(count) * _UNITS_MS[unit] for count, unit in parts)
    if (
        not parts
        or "".join(count + unit for count, unit in parts) != plain
        or not 1 <= total <= _LONGEST_MS
        or total != int(total)
    ):
        raise DataError(f"{text!r} is not a duration", "for example 30s, 15min, 1h, 24h or 7d")
    return int(total)


def format_duration(milliseconds: int) -> str:
    """The shortest exact text of a duration: 3,600,000 -> `1h`."""
    for unit in ("w", "d", "h", "min", "s"):
        if milliseconds % _UNITS_MS[unit] == 0 and (unit != "w" or milliseconds > _UNITS_MS["w"]):
            return f"{milliseconds // _UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms"
