"""The interval of a history: detected in the distances between readings,
or checked against them."""

from __future__ import annotations

import numpy as np

from eddycast.service.durations import format_duration, parse_duration
from eddycast.service.errors import DataError
from eddycast.service.history import History, is_missing
from eddycast.service.records import Int64

REGULAR = 0.2  # least share of the commonest distance for it to be the interval
DAY_MS = 86_400_000
#: Parts of a calendar and their lengths in days.
CALENDAR = (("month", (28, 29, 30, 31)), ("quarter", (90, 91, 92)), ("year", (365, 366)))
CALENDAR_SHARE = 0.8  # least share of distances of such lengths
ZONES_MS = 2 * 3_600_000  # tolerance for changes of the clock
JITTER = 0.1  # of the median distance: readings within that are regular too
NAMED = 0.1  # least share of a second distance to be mentioned


def choose_interval(history: History, asked: str | None) -> tuple[int, list[str]]:
    """The interval in ms, and remarks. Raises DataError for one finer than most readings."""
    if asked is None:
        interval_ms = infer_interval(history)
        return interval_ms, _others(_distances(history), interval_ms)
    interval_ms, distances = parse_duration(asked), _distances(history)
    apart, share = _commonest(distances)
    if share >= 0.5 and interval_ms < apart:
        raise DataError(
            f"most readings are {format_duration(apart)} apart, --interval {asked} is finer",
            f"give --interval {format_duration(apart)} or longer",
        )
    return interval_ms, []


def infer_interval(history: History) -> int:
    """The commonest distance between neighbouring readings of all streams, ms; the median one for a
    sensor that jitters so much that no distance is common. Raises DataError for irregular readings,
    and without two of them."""
    distances = _distances(history)
    if not len(distances):
        raise DataError(
            "no stream has two readings", "give more history, or name the interval with --interval"
        )
    _refuse_calendar(distances)
    apart, share = _commonest(distances)
    if share >= REGULAR:
        return apart
    median = float(np.median(distances))
    if np.mean(np.abs(distances - median) <= JITTER * median) >= 1 - REGULAR:
        return _rounded(median)
    raise DataError(
        f"readings come at irregular distances: half are over {format_duration(_rounded(median))} "
        f"apart, and only {share:.0%} the commonest, {format_duration(apart)}",
        "choose the grid with --interval",
    )


def _refuse_calendar(distances: Int64) -> None:
    """Raises DataError for readings by months, quarters or years, whose lengths differ."""
    days = np.rint(distances / DAY_MS)
    whole = np.abs(distances - days * DAY_MS) <= ZONES_MS
    for part, lengths in CALENDAR:
        fitting = days[whole & np.isin(days, lengths)]
        if len(fitting) >= CALENDAR_SHARE * len(distances) and len(np.unique(fitting)) > 1:
            raise DataError(
                f"readings come once a {part}, and {part}s "
                "are of no fixed length: a grid needs one",
                "give days or weeks, or --interval 30d for a grid that drifts against the calendar",
            )


def _distances(history: History) -> Int64:
    """Distances between neighbouring readings of each stream, ms [n]:
    of readings with a value, if any two have one."""
    pairs = list(zip(history.timestamps, history.values, strict=True))
    observed = np.concatenate(
        [np.zeros(0, np.int64), *(np.diff(stamps[~is_missing(values)]) for stamps, values in pairs)]
    )
    return (
        observed
        if len(observed)
        else np.concatenate([observed, *(np.diff(stamps) for stamps, _ in pairs)])
    )


def _commonest(distances: Int64) -> tuple[int, float]:
    """The commonest distance and its share; (1, 0) without any."""
    if not len(distances):
        return 1, 0.0
    values, counts = np.unique(distances, return_counts=True)
    return int(values[np.argmax(counts)]), float(counts.max() / len(distances))


def _others(distances: Int64, interval_ms: int) -> list[str]:
    """A remark if many readings are at another distance than the interval."""
    other = distances[np.abs(distances - interval_ms) > JITTER * interval_ms]
    apart, share = _commonest(other)
    if share * len(other) < NAMED * len(distances):
        return []
    found = (
        f"the interval is {format_duration(interval_ms)}, the commonest distance between readings"
    )
    return [
        f"{found}; {share * len(other) / len(distances):.0%} are {format_duration(apart)} apart"
    ]


def _rounded(milliseconds: float) -> int:
    """Rounded to the coarsest unit that changes it by a hundredth at most."""
    for unit in (86_400_000, 3_600_000, 60_000, 1000, 100):
        if abs(round(milliseconds / unit) * unit - milliseconds) <= 0.01 * milliseconds:
            return round(milliseconds / unit) * unit
    return max(1, round(milliseconds))
