"""Grids: a row a day with a column for each hour, or stamps as the names of columns, unfolded to a
row a reading. Imports polars; use it through `eddycast.service.history`."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history import column_words
from eddycast.service.history.forms import looks_like_number, looks_like_time
from eddycast.service.history.month_names import MONTHS
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.time_cells import head, is_day
from eddycast.service.humanize import many, some

#: Names of the columns that a grid is unfolded to.
VALUE, CLOCK, STAMP = "value", "time of day", "timestamp"
#: Words before the number of an hour or of a shorter part of the day.
_WORDS = (
    *("", "h", "hr", "he", "hour", "hours", "hourending", "stunde", "std", "uhr", "kl", "hora"),
    *(
        "ora",
        "heure",
        "uur",
        "period",
        "settlementperiod",
        "sp",
        "hh",
        "halfhour",
        "interval",
        "slot",
        "qh",
    ),
)
_CLOCKED = re.compile(r"^\D*?(\d{1,2})[:.h](\d\d)(?::00)?\b")
_COUNTED = re.compile(r"^(\D*?)[\s_-]*(\d{1,3})$")
_DAY = 24 * 60
#: Parts of a day that a grid may have.
_PARTS = (24, 48, 96)
#: Days of the week, in English and German.
_WEEKS = (
    "mon tue wed thu fri sat sun",
    "monday tuesday wednesday thursday friday saturday sunday",
    "mo di mi do fr sa so",
    "montag dienstag mittwoch donnerstag freitag samstag sonntag",
)
#: Minimum number of columns that are named by stamps.
_STAMPS = 10
#: Maximum share of readings in further columns, as for the 25th hour of a day in autumn.
_FURTHER = 0.01


@dataclass(frozen=True, slots=True)
class _Grid:
    """`starts`: the minute of the day at which each column's reading is stamped."""

    starts: dict[str, int]
    sure: bool


def unfold_stamps(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """A table whose columns are named by stamps, with a row for each of them; and a note."""
    stamps = [name for name in frame.columns if looks_like_time(name)]
    if len(stamps) < _STAMPS or 2 * len(stamps) < len(frame.columns):
        return frame, []
    others = [name for name in frame.columns if name not in stamps]
    note = f"stamps are the names of columns: {stamps[0]} to {stamps[-1]}"
    return _unfolded(frame, others, {name: name for name in stamps}, STAMP), [note]


def unfold_hours(
    frame: pl.DataFrame, time: tuple[str, ...], options: ReadOptions
) -> tuple[pl.DataFrame, tuple[str, ...], list[str]]:
    """(the table, its time columns, notes) of a grid with a row for each reading; other tables are
    unchanged. Raises DataError if it is open whether the columns are hours."""
    asked = {*options.columns, *options.channels} & set(frame.columns)
    if not asked and options.grid is not False:
        _check_week(frame.columns)
    if options.grid is False or asked or not _is_day(frame, time, options.time_format):
        return frame, time, []
    names = [name for name in frame.columns if name not in time]
    grid = _find(frame, names)
    if grid is None:
        if options.grid:
            raise DataError(
                f"no columns for the hours of a day among {some(names)}",
                "leave out --grid",
            )
        return frame, time, []
    first, last = next(iter(grid.starts)), list(grid.starts)[-1]
    if not grid.sure and not options.grid:
        raise DataError(
            f"columns {first!r} to {last!r} beside a day are its hours, or "
            f"{many(len(grid.starts), 'stream')} of one reading a day",
            "use --grid or --no-grid",
        )
    kept, left_out = _beside(frame, time, [name for name in names if name not in grid.starts])
    clocks = {name: f"{at // 60:02}:{at % 60:02}" for name, at in grid.starts.items()}
    long = _unfolded(frame, [*time, *kept], clocks, CLOCK)
    read = f"read as {len(clocks)} readings a day, from {clocks[first]} to {clocks[last]}"
    notes = [
        f"a row a day with columns {first!r} to {last!r}: {read} (--no-grid: a stream of each)"
    ]
    if left_out:
        notes.append(f"columns left out (beside the hours of the day): {', '.join(left_out)}")
    return long, (*time, CLOCK), notes


def _check_week(names: list[str]) -> None:
    """Raises DataError for a column for each day of the week."""
    days = {name.strip().lower() for name in names}
    if any(set(week.split()) <= days for week in _WEEKS):
        raise DataError(
            "a column for each day of the week: a row would hold a week",
            "write a row for each day, with its date, or --no-grid for a stream of each column",
        )


def check_calendar(frame: pl.DataFrame) -> None:
    """Raises DataError for a row a year with a column for each month, and for a row a month with a
    column for each day."""
    plain = [name.strip().lower() for name in frame.columns]
    months = {MONTHS.get(name[:4], MONTHS.get(name[:3])) for name in plain if name.isalpha()}
    if len(months - {None}) == 12:
        raise DataError(
            "a row a year with a column for each month: months have no fixed length",
            "use data of days or hours",
        )
    if {str(day) for day in range(1, 32)} <= {name.lstrip("0") for name in plain}:
        raise DataError(
            "a row a month with a column for each day is not supported",
            "write a row for each day, with its date",
        )


def _unfolded(
    frame: pl.DataFrame, index: list[str], names: dict[str, str], column: str
) -> pl.DataFrame:
    """A row for each cell of the columns `names`, row by row, with what each is called in
    `column`."""
    long = frame.unpivot(list(names), index=index, variable_name=column, value_name=VALUE)
    by_row = np.arange(len(long)).reshape(len(names), -1).T.ravel()
    return long[by_row].with_columns(pl.col(column).replace_strict(names, return_dtype=pl.String))


def _is_day(frame: pl.DataFrame, time: tuple[str, ...], form: str | None) -> bool:
    if form:
        return not re.search("%-?[HIklMTRXcrs]", form)
    if len(time) == 1:
        return is_day(frame[time[0]])
    return column_words.part_of_time(time[-1]) in ("day", "doy")


def _find(frame: pl.DataFrame, names: list[str]) -> _Grid | None:
    clocked = {
        name: int(match[1]) * 60 + int(match[2]) for name, match in _matches(_CLOCKED, names)
    }
    if grid := _by_clocks({name: at for name, at in clocked.items() if _is_numeric(frame[name])}):
        return grid
    counted: dict[str, dict[str, int]] = {}
    for name, match in _matches(_COUNTED, names):
        word = column_words.plain(match[1])
        if word in _WORDS and name not in clocked:
            counted.setdefault(word, {})[name] = int(match[2])
    for word, numbers in counted.items():
        if grid := _by_numbers(frame, numbers, sure=bool(word)):
            return grid
    return None


def _matches(pattern: re.Pattern[str], names: list[str]) -> list[tuple[str, re.Match[str]]]:
    return [(name, match) for name in names if (match := pattern.match(name.strip()))]


def _by_clocks(starts: dict[str, int]) -> _Grid | None:
    """The grid of columns that are named by times of day, from midnight or to midnight."""
    order = list(starts.values())
    if len(order) not in _PARTS:
        return None
    step = _DAY // len(order)
    if order[-1] == 0:  # the midnight after the day
        starts = {**starts, list(starts)[-1]: _DAY}
    regular = [order[0] + place * step for place in range(len(order))]
    sure = list(starts.values()) == regular and order[0] in (0, step)
    return _Grid(starts, sure=True) if sure else None


def _by_numbers(frame: pl.DataFrame, numbers: dict[str, int], sure: bool) -> _Grid | None:
    """The grid of columns that are numbered from 0 or 1: the start of each part of the day. Further
    columns, for the day on which an hour is repeated, may be nearly empty."""
    first = next(iter(numbers.values()))
    if first not in (0, 1) or list(numbers.values()) != list(range(first, first + len(numbers))):
        return None
    parts = max((each for each in _PARTS if each <= len(numbers)), default=0)
    names = list(numbers)
    further = names[parts:]
    if not parts or len(further) > parts // 24:
        return None
    if any(len(head(frame[name])) > _FURTHER * len(frame) + 1 for name in further):
        return None
    if not all(_is_numeric(frame[name]) for name in names[:parts]):
        return None
    starts = {name: (numbers[name] - first) * (_DAY // parts) for name in names[:parts]}
    return _Grid(starts, sure)


def _is_numeric(column: pl.Series) -> bool:
    if column.dtype != pl.String:
        return column.dtype.is_numeric()
    cells = head(column).to_list()
    return not cells or sum(map(looks_like_number, cells)) * 2 > len(cells)


def _beside(
    frame: pl.DataFrame, time: tuple[str, ...], names: list[str]
) -> tuple[list[str], list[str]]:
    """Columns that may identify the streams of a grid; and the others, such as totals and flags."""
    if frame.select(time).n_unique() == len(frame):
        return [], names
    kept = [name for name in names if not _is_numeric(frame[name]) or _is_whole(frame[name])]
    again = [name for name in kept if frame[name].n_unique() * 2 <= len(frame)]
    return again, [name for name in names if name not in again]


def _is_whole(column: pl.Series) -> bool:
    values = column.cast(pl.Float64, strict=False)
    return bool((values == values.round()).all())
