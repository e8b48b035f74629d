"""Detection of the time column. Imports polars; use it through `eddycast.service.history`."""

from __future__ import annotations

import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history import column_words
from eddycast.service.history.epochs import are_figures, is_era
from eddycast.service.history.grids import check_calendar
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.time_cells import head, is_clock, is_day, is_plain_clock
from eddycast.service.history.times import read_times
from eddycast.service.humanize import some

#: Lower bound of spreadsheet days, calendar figures and epochs.
_LEAST = 20_000
_CALENDAR = r"^(19|20)\d\d[01]\d[0-3]\d([0-2]\d([0-5]\d){0,2})?$"


def find_time(frame: pl.DataFrame, options: ReadOptions) -> tuple[str, ...]:
    """The columns that make up the stamp: as requested, or detected by name or content.
    Raises DataError."""
    if options.time_column:
        asked = tuple(name.strip() for name in options.time_column.split(","))
        whole = (options.time_column,) if options.time_column in frame.columns else asked
        for name in whole:
            require(frame.columns, name)
        return whole
    columns = [name for name in frame.columns if name != options.value_column]
    for day, clock in column_words.day_and_clock(columns):
        if is_day(frame[day]) and is_clock(frame[clock]):
            return day, clock
    found = (
        _named(frame, columns) or column_words.time_parts(columns) or _by_content(frame, columns)
    )
    if found is None:
        check_calendar(frame)
        raise DataError(
            f"no time column found among {some(frame.columns)}", "name it with --time-column"
        )
    return _with_clock(frame, columns, found)


def require(columns: list[str], name: str) -> None:
    """Raises DataError, which lists the columns, unless `name` is one of them."""
    if name not in columns:
        raise DataError(f"no column {name!r}", f"the columns are {some(columns)}")


def _named(frame: pl.DataFrame, columns: list[str]) -> tuple[str, ...] | None:
    """The column named like a time, unless its cells are none, or a clock beside parts of the
    date."""
    parts = column_words.time_parts(columns)
    known = [
        name
        for name in columns
        if column_words.is_time_word(name)
        and _may_be_time(frame[name])
        and not (parts and (name in parts or is_clock(frame[name])))
    ]
    name = column_words.time_column(known)
    return (name,) if name else None


def _by_content(frame: pl.DataFrame, columns: list[str]) -> tuple[str, ...] | None:
    """The first column of dates, the starts of intervals before their ends; else the only column
    of epochs."""
    for name in sorted(columns, key=column_words.end_word):
        if (frame[name].dtype.is_temporal() and frame[name].dtype != pl.Time) or _is_date(
            frame[name]
        ):
            return (name,)
    epochs = [name for name in columns if _is_epoch(frame[name])]
    named = [name for name in epochs if column_words.clock_word(name)]
    for found in (named, epochs):
        if len(found) == 1:
            return (found[0],)
    return None


def _with_clock(frame: pl.DataFrame, columns: list[str], time: tuple[str, ...]) -> tuple[str, ...]:
    """The column of days with the clock beside it, where days repeat."""
    if not _is_day_alone(frame, time):
        return time
    others = [other for other in columns if other not in time]
    named = [other for other in column_words.clocks(others) if is_clock(frame[other])]
    clocks = [other for other in others if is_plain_clock(frame[other])] or named
    return (*time, clocks[0]) if clocks else time


def _is_day_alone(frame: pl.DataFrame, time: tuple[str, ...]) -> bool:
    """True for a year, month and day, and for a column of days that repeat."""
    if len(time) > 1:
        return column_words.part_of_time(time[-1]) in ("day", "doy")
    return is_day(frame[time[0]]) and frame[time[0]].n_unique() < len(frame)


def _may_be_time(column: pl.Series) -> bool:
    """True if the cells of a column with the name of a time can be times."""
    if column.dtype.is_temporal():
        return column.dtype != pl.Time
    cells = head(column)
    if are_figures(cells) and not column_words.always_time(column.name):
        return bool((cells.cast(pl.Float64, strict=False) > _LEAST).all())
    clocks = cells.str.contains(r"^\d{1,2}[:.]\d\d([:.]\d\d)?$")
    return not len(cells) or bool(cells.str.contains(r"\d").any() and not clocks.all())


def _is_date(column: pl.Series) -> bool:
    if column.dtype != pl.String:
        return False
    cells = head(column)
    figures = len(cells) > 0 and are_figures(cells)
    if not len(cells) or (figures and not cells.str.contains(_CALENDAR).all()):
        return False
    if not figures and cells.str.contains(r"\d").mean() != 1.0:
        return False
    return any(_fits(cells, ReadOptions(day_first=day_first)) for day_first in (True, False))


def _fits(cells: pl.Series, options: ReadOptions) -> bool:
    try:
        return not read_times(cells, options).empty.any()
    except DataError:
        return False


def _is_epoch(column: pl.Series) -> bool:
    """True if a column of numbers holds epochs of this era that rise."""
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        return False
    cells = head(column)
    if not are_figures(cells):
        return False
    values = cells.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    return is_era(values.drop_nulls().to_numpy())
