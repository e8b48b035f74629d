"""Detection of columns that repeat the time or number the rows: they are no measurement."""

from __future__ import annotations

import numpy as np

from eddycast.service.history import column_words
from eddycast.service.history.dates import MS_PER_DAY
from eddycast.service.history.epochs import ZEROS_OF_DAYS
from eddycast.service.records import Float64, Int64

#: Minimum number of rows for a column to be told by its numbers, whatever its name.
_ROWS = 50
#: Minimum advance of a clock in whole units, to tell it from a measurement that happens to rise by
#: one.
_STEPS = 50
#: Number of rows that are compared with calendar figures.
_SOME = 200
#: Upper bound of the difference between clocks in two time zones.
_ZONES_MS = 15 * 3_600_000
#: Units of clocks in ms: s, ms, us, ns, minutes, hours, days.
_UNITS_MS = (1e3, 1.0, 1e-3, 1e-6, 6e4, 3.6e6, 8.64e7)
#: Lower bound of spreadsheet days, calendar figures and epochs.
_LEAST = 20_000
#: Share of the rows in which a column has to agree with the time.
_AGREE = 0.95
#: Jitter of a clock, as a share of the median step, and maximum starts per row of a clock that is
#: named so.
_JITTER, _STARTS = 0.005, 0.05
_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000
#: Counts that begin anew, as (unit, period) in ms: hours of the day, parts of days, weekdays...
_CYCLES = (
    *((unit * _MINUTE, MS_PER_DAY) for unit in (60, 30, 20, 15, 10, 5, 1)),
    (_SECOND, MS_PER_DAY),
    (MS_PER_DAY, 7 * MS_PER_DAY),
    (_MINUTE, _HOUR),
    (_SECOND, _MINUTE),
)
#: Minimum number of different numbers, and of different places in the cycle.
_DISTINCT = 3
#: Rounding of fractions of a day, in minutes.
_FRACTION = 0.05
_YEAR_DAYS = 365.2425


def is_counter(name: str, values: Float64) -> bool:
    """True if a column numbers the rows: it rises by one in every row,
    or nearly always by the same and is named like a counter."""
    steps = np.diff(values)
    if len(values) < 3 or not np.isfinite(steps).all():
        return False
    if (steps == 1).all():
        return len(values) >= _ROWS or column_words.counter_word(name)
    if not column_words.counter_word(name) or (values != np.rint(values)).any():
        return False
    sizes, counts = np.unique(steps, return_counts=True)
    return bool(sizes[counts.argmax()] > 0 and counts.max() > 0.9 * len(steps))


def is_clock(name: str, values: Float64, milliseconds: Int64) -> bool:
    """True if a column repeats the time: as an epoch, as days or years, in calendar figures, as
    time elapsed since some moment, or, if named so, as a part of the day or week."""
    known = np.isfinite(values)
    if known.sum() < 2 or np.ptp(milliseconds[known]) == 0:
        return False
    held, stamps = values[known], milliseconds[known]
    if _is_epoch(held, stamps) or _is_calendar(held, stamps):
        return True
    enough = len(held) >= _ROWS
    if enough and _is_year(held, stamps):
        return True
    if enough and column_words.cycle_word(name) and _is_cycle(held, stamps):
        return True
    named = column_words.clock_word(name)
    return (enough or named) and _is_elapsed(held, stamps, _STARTS if named else 0.0)


def is_part_of_time(name: str, values: Float64, milliseconds: Int64) -> bool:
    """True if a column is named like a part of the time (year, month, weekday, hour...)
    and equals it."""
    part = column_words.part_of_time(name)
    if part is None or not len(values):
        return False
    days = milliseconds.astype("M8[ms]").astype("M8[D]")
    if part == "weekday":  # counted from any day, starting with 0 or 1
        return len(np.unique((values - days.astype(int)) % 7)) == 1 and bool(
            values.max() - values.min() < 7
        )
    held = np.floor(values)
    return any(bool((held == expected).mean() > _AGREE) for expected in _parts(part, milliseconds))


def _parts(part: str, milliseconds: Int64) -> list[Int64]:
    """The values of a part of the time, in each way of counting it."""
    days = milliseconds.astype("M8[ms]").astype("M8[D]")
    months, years = days.astype("M8[M]"), days.astype("M8[Y]")
    clock, number = milliseconds % MS_PER_DAY, days.astype(np.int64)
    year, month = years.astype(np.int64) + 1970, months.astype(np.int64) % 12
    of_year = (days - years.astype("M8[D]")).astype(np.int64)
    monday = number - (number + 3) % 7
    thursday = (monday + 3).astype("M8[D]").astype("M8[Y]").astype("M8[D]").astype(np.int64)
    match part:
        case "year":
            return [year, year % 100]
        case "month":
            return [month + 1]
        case "day":
            return [(days - months.astype("M8[D]")).astype(np.int64) + 1]
        case "hour":
            return [clock // _HOUR, clock // _HOUR + 1]
        case "minute":
            return [clock // _MINUTE % 60]
        case "second":
            return [clock // _SECOND % 60]
        case "week":
            return [(monday + 3 - thursday) // 7 + 1, of_year // 7 + 1]
        case "quarter":
            return [month // 3 + 1]
        case "weekend":
            return [((number + 3) % 7 > 4).astype(np.int64)]
        case _:
            return [of_year + 1]


def _is_epoch(held: Float64, stamps: Int64) -> bool:
    """True if numbers are epochs or counts of days, in any time zone."""
    if float(np.median(np.abs(held))) <= _LEAST:
        return False
    days = [((held - zero) * MS_PER_DAY, MS_PER_DAY + _ZONES_MS) for zero in ZEROS_OF_DAYS]
    epochs = [(held * unit, _ZONES_MS) for unit in (*_UNITS_MS[:4], MS_PER_DAY)]
    return any(float(np.median(np.abs(each - stamps))) <= away for each, away in epochs + days)


def _is_calendar(held: Float64, stamps: Int64) -> bool:
    """True if numbers are the stamps written as YYYYMM, YYYYMMDD, YYYYMMDDHHMM and the like."""
    if held.min() < 190_001 or held.max() >= 1e14:
        return False
    some = _some(len(held))
    held, stamps = held[some], stamps[some]
    size = len(str(int(held[0])))
    if size not in (6, 8, 10, 12, 14):
        return False
    times = (stamps + _ZONES_MS).astype("M8[ms]"), (stamps - _ZONES_MS).astype("M8[ms]")
    late, early = (np.char.replace(np.datetime_as_string(each, "s"), "T", "") for each in times)
    figures = [np.char.replace(np.char.replace(each, "-", ""), ":", "") for each in (early, late)]
    low, high = (
        np.array([each[:size] for each in column.tolist()], dtype=np.float64) for column in figures
    )
    return bool(((held >= low) & (held <= high)).mean() > _AGREE)


def _is_year(held: Float64, stamps: Int64) -> bool:
    """True if numbers are years with decimals: 2024.1639."""
    if held.min() < 1900 or held.max() > 2100 or (held == np.rint(held)).all():
        return False
    return bool((np.abs((held - 1970) * _YEAR_DAYS * MS_PER_DAY - stamps) < 2 * MS_PER_DAY).all())


def _is_cycle(held: Float64, stamps: Int64) -> bool:
    """True if numbers count parts of the day, week or hour, from any of them: hours, slots of a
    quarter, minutes of the day, times like 1830, fractions of a day."""
    some = _some(len(held))
    held, stamps = held[some], stamps[some]
    if held.min() < 0 or held.max() > MS_PER_DAY or len(np.unique(held)) < _DISTINCT:
        return False
    if (held == np.rint(held)).all():
        if any(_counts(held, stamps, unit, period) for unit, period in _CYCLES):
            return True
        minutes = held // 100 * 60 + held % 100
        return bool((held % 100 < 60).all()) and _counts(minutes, stamps, _MINUTE, MS_PER_DAY)
    minutes = held * 24 * 60
    whole = np.rint(minutes)
    return bool((np.abs(minutes - whole) < _FRACTION).all()) and _counts(
        whole, stamps, _MINUTE, MS_PER_DAY
    )


def _counts(held: Float64, stamps: Int64, unit: int, period: int) -> bool:
    """True if numbers count the units of a period. Two phases are allowed, for summer time."""
    count = period // unit
    place = stamps // unit % count
    if np.ptp(held) >= count or len(np.unique(place)) < _DISTINCT:
        return False
    phases = np.unique((held - place) % count, return_counts=True)[1]
    return bool(np.sort(phases)[-2:].sum() >= _AGREE * len(held))


def _is_elapsed(held: Float64, stamps: Int64, starts_anew: float) -> bool:
    """True if numbers are the time elapsed since some moment. A clock with units finer than the
    steps may start anew in a share of the rows."""
    stamps, first = np.unique(stamps, return_index=True)
    held, step = held[first], float(np.median(np.diff(stamps)))
    whole = bool((held == np.rint(held)).all())
    if np.ptp(held) < (_STEPS if whole else 0.01):
        return False
    for unit in _UNITS_MS:
        near = max(unit * (1.001 if whole else 0.001), _JITTER * step)
        ahead = held * unit - (stamps - stamps[0])
        starts = np.abs(np.diff(ahead)) > near
        if starts.any() and (unit > step or starts.mean() > starts_anew):
            continue
        run = np.concatenate([[0], np.cumsum(starts)])
        begun = ahead[np.unique(run, return_index=True)[1]]
        if (np.abs(ahead - begun[run]) <= near).all():
            return True
    return False


def _some(rows: int) -> Int64:
    """Indices of rows spread over a column."""
    return np.linspace(0, rows - 1, min(rows, _SOME)).astype(np.int64)
