"""Seasons as text: `24h`, `24h,7d`. Light to import: options are parsed with it."""

from __future__ import annotations

from eddycast.service.durations import format_duration, parse_duration
from eddycast.service.errors import DataError

_NO_SEASON = ("", "none", "no", "0")


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
