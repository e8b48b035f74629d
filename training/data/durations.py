"""Durations and seasons as text: `15min`, `24h,7d`. Light to import: options are parsed with it."""

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
_NO_SEASON = ("", "none", "no", "0")


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


def parse_season(text: str | None, interval_ms: int) -> int | None:
    """One season in ms, None for none. Raises DataError unless it fits the grid
    (`check_season`)."""
    if text is None or text.strip().lower() in _NO_SEASON:
        return None
    season_ms = parse_duration(text)
    check_season(season_ms, interval_ms)
    return season_ms


def parse_seasons(text: str) -> tuple[int, ...] | None:
    """Seasons in ms, the shorter first: `24h,7d`, `none` for an empty tuple, `auto` for None.
    Raises DataError for more than two, and unless the second is the longer."""
    if text.strip().lower() == "auto":
        return None
    seasons = tuple(
        parse_duration(word) for word in text.split(",") if word.strip().lower() not in _NO_SEASON
    )
    if len(seasons) > 2:
        raise DataError(
            f"--season {text!r} names {len(seasons)} seasons", "name one or two, as 24h,7d"
        )
    if seasons != tuple(sorted(set(seasons))):
        raise DataError(
            f"--season {text!r}: the second season is not the longer one", "name the shorter first"
        )
    return seasons


def check_season(season_ms: int, interval_ms: int) -> None:
    """Raises DataError for a season that is not a whole number of intervals, two at least."""
    if season_ms % interval_ms or season_ms < 2 * interval_ms:
        raise DataError(
            f"a season of {format_duration(season_ms)} is not a whole number of intervals of "
            f"{format_duration(interval_ms)}",
            "change --season",
        )


def format_seasons(seasons_ms: tuple[int, ...]) -> str:
    """Seasons as text for people: `no season`, `season 1d`, `seasons 1d and 7d`."""
    if not seasons_ms:
        return "no season"
    return f"season{'s' * (len(seasons_ms) > 1)} {' and '.join(map(format_duration, seasons_ms))}"
