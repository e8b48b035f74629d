"""Detection of the time column, and of columns that are no measurement. Imports polars; use it
through `eddycast.service.history`."""

from __future__ import annotations

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history import column_words
from eddycast.service.history.dates import MS_PER_DAY
from eddycast.service.history.epochs import are_figures
from eddycast.service.history.numbers import blank_missing
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.times import read_times
from eddycast.service.records import Float64, Int64

#: Number of cells from which the kind of a column is detected.
_HEAD = 50
#: Minimum number of rows for a column that rises by one per row to count as a row counter,
#: whatever its name.
_ROWS = 50
#: Minimum advance of a clock in whole units, to tell it from a measurement that happens to rise by
#: one.
_STEPS = 50
#: Number of rows that are compared with calendar figures.
_SOME = 200
_CLOCK = r"^\s*\d{1,2}[:.]\d\d"
#: Upper bound of the difference between clocks in two time zones.
_ZONES_MS = 15 * 3_600_000
#: Units of clocks in ms: s, ms, us, ns, minutes, hours, days.
_UNITS_MS = (1e3, 1.0, 1e-3, 1e-6, 6e4, 3.6e6, 8.64e7)
_SPREADSHEET = 25_569
#: Lower bound of spreadsheet days, calendar figures and epochs.
_LEAST = 20_000


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
        if _is_day(frame[day]) and _is_clock(frame[clock]):
            return day, clock
    known = [
        name for name in columns if column_words.is_time_word(name) and _may_be_time(frame[name])
    ]
    if found := column_words.time_column(known):
        return (found,)
    if parts := column_words.time_parts(columns):
        return parts
    for name in columns:
        if frame[name].dtype.is_temporal() or _is_date(frame[name]):
            return (name,)
    raise DataError(
        f"no time column found among {', '.join(frame.columns)}", "name it with --time-column"
    )


def require(columns: list[str], name: str) -> None:
    """Raises DataError, which lists the columns, unless `name` is one of them."""
    if name not in columns:
        raise DataError(f"no column {name!r}", f"the columns are {', '.join(columns)}")


def time_cells(frame: pl.DataFrame, time: tuple[str, ...], form: str | None = None) -> pl.Series:
    """The stamps as one column. Several columns (a date and a clock, or year, month, day, hour) are
    joined as text; with a `form` (--time-format) they are joined by blanks, unchanged."""
    if len(time) == 1:
        return frame[time[0]]
    if form:
        plain = [frame[name].cast(pl.String).str.strip_chars() for name in time]
        return frame.select(pl.concat_str(plain, separator=" ").alias(",".join(time))).to_series()
    cells = [
        frame[name].cast(pl.String).str.strip_chars().str.replace(r"\.0$", "") for name in time
    ]
    if len(time) == 2:
        return (
            cells[0].str.replace(r"[ T]00:00(:00)?(\.0+)?$", "") + " " + _clock_text(cells[1])
        ).rename(",".join(time))
    parts = [cell.str.zfill(2) for cell in cells]
    year = parts[0].str.replace(r"^(\d\d)$", "20$1")
    joined = year + "-" + parts[1] + "-" + parts[2] + " " + (parts[3] if len(parts) > 3 else "00")
    for i in (4, 5):
        joined = joined + ":" + (parts[i] if len(parts) > i else "00")
    return joined.rename(",".join(time))


def is_counter(name: str, values: Float64) -> bool:
    """True if a column numbers the rows: it rises by one in every row,
    or nearly so and is named like a counter."""
    steps = np.diff(values)
    if len(values) < 3 or not np.isfinite(steps).all():
        return False
    if (steps == 1).all():
        return len(values) >= _ROWS or column_words.counter_word(name)
    return column_words.counter_word(name) and bool(
        (values == np.rint(values)).all() and (steps == 1).mean() > 0.9
    )


def is_clock(name: str, values: Float64, milliseconds: Int64) -> bool:
    """True if a column repeats the time as an epoch, as spreadsheet days,
    or as time elapsed since some moment."""
    known = np.isfinite(values)
    if known.sum() < 2 or np.ptp(milliseconds[known]) == 0:
        return False
    held, stamps = values[known], milliseconds[known]
    epochs = [held * unit for unit in (*_UNITS_MS[:4], _UNITS_MS[-1])] + [
        (held - _SPREADSHEET) * MS_PER_DAY
    ]
    large = float(np.median(np.abs(held))) > _LEAST
    if large and any(float(np.median(np.abs(each - stamps))) <= _ZONES_MS for each in epochs):
        return True
    if _is_calendar(held, stamps):
        return True
    if len(held) < _ROWS and not column_words.clock_word(name):
        return False
    passed, since = held - held[0], (stamps - stamps[0]).astype(np.float64)
    whole = bool((held == np.rint(held)).all())
    if abs(passed[-1]) < (_STEPS if whole else 0.01):
        return False
    tolerance = 1.001 if whole else 0.001
    return any((np.abs(passed * unit - since) <= unit * tolerance).all() for unit in _UNITS_MS)


def _is_calendar(held: Float64, stamps: Int64) -> bool:
    """True if numbers are the stamps written as YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS."""
    if held.min() < 19_000_101 or held.max() >= 1e14:
        return False
    some = np.linspace(0, len(held) - 1, min(len(held), _SOME)).astype(np.int64)
    held, stamps = held[some], stamps[some]
    times = (stamps + _ZONES_MS).astype("M8[ms]"), (stamps - _ZONES_MS).astype("M8[ms]")
    late, early = (np.char.replace(np.datetime_as_string(each, "s"), "T", "") for each in times)
    figures = [np.char.replace(np.char.replace(each, "-", ""), ":", "") for each in (early, late)]
    size = len(str(int(held[0])))
    low, high = (
        np.array([each[:size] for each in column.tolist()], dtype=np.float64) for column in figures
    )
    return bool(((held >= low) & (held <= high)).mean() > 0.95)


def is_part_of_time(name: str, values: Float64, milliseconds: Int64) -> bool:
    """True if a column is named like a part of the time (year, month, day, weekday, hour...)
    and equals it."""
    part = column_words.part_of_time(name)
    if part is None or not len(values):
        return False
    days = milliseconds.astype("M8[ms]").astype("M8[D]")
    if part == column_words.WEEKDAY:  # counted from any day, starting with 0 or 1
        return len(np.unique((values - days.astype(int)) % 7)) == 1 and bool(
            values.max() - values.min() < 7
        )
    months = days.astype("M8[M]")
    clock = milliseconds % MS_PER_DAY
    expected = (
        days.astype("M8[Y]").astype(int) + 1970,
        months.astype(int) % 12 + 1,
        (days - months).astype(int) + 1,
        clock // 3_600_000,
        clock // 60_000 % 60,
        clock // 1000 % 60,
        (days - days.astype("M8[Y]").astype("M8[D]")).astype(int) + 1,
    )[part]
    return bool((values == expected).mean() > 0.95)


def _clock_text(cells: pl.Series) -> pl.Series:
    """Times of day as HH:MM, also from `18.00.00`, `1800` and `18`."""
    plain = cells.str.replace_all(r"(\d)\.(\d)", "$1:$2").str.replace_all(r"(\d)\.(\d)", "$1:$2")
    if not plain.drop_nulls().str.contains(r"^\d{1,4}$").all():
        return plain
    hours = plain.cast(pl.Int64, strict=False).max()
    if isinstance(hours, int) and hours <= 24:
        return plain.str.zfill(2) + ":00"
    return plain.str.zfill(4).str.replace(r"^(\d\d)(\d\d)$", "$1:$2")


def _head(column: pl.Series) -> pl.Series:
    """The first non-empty cells of a column, as text."""
    text = column if column.dtype == pl.String else column.cast(pl.String, strict=False)
    return blank_missing(text).drop_nulls().head(_HEAD)


def _is_clock(column: pl.Series) -> bool:
    """True if a column holds times of day (18:00, 18.00.00, 1800, 18) rather than full stamps."""
    head = _head(column)
    if not len(head):
        return False
    if head.str.contains(_CLOCK).all():
        return True
    figures = head.str.extract(r"^(\d{1,4})(\.0)?$", 1).cast(pl.Int64, strict=False)
    return figures.null_count() == 0 and bool(((figures % 100 < 60) & (figures <= 2400)).all())


def _is_day(column: pl.Series) -> bool:
    """True if a column holds dates without a time of day, or always at midnight."""
    if column.dtype == pl.Date:
        return True
    head = _head(column)
    return len(head) > 0 and bool(
        head.str.contains(
            r"^\D{0,5}\d{1,4}[-/. ]\w{1,9}\.?[-/. ]+\d{2,4}([ T]00:00(:00)?(\.0+)?)?$"
            r"|^(19|20)\d{6}$"
        ).all()
    )


def _may_be_time(column: pl.Series) -> bool:
    """True if the cells of a column with the name of a time can be times."""
    if column.dtype.is_temporal():
        return True
    head = _head(column)
    if are_figures(head) and not column_words.always_time(column.name):
        return bool((head.cast(pl.Float64, strict=False) > _LEAST).all())
    clocks = head.str.contains(r"^\d{1,2}[:.]\d\d([:.]\d\d)?$")
    return not len(head) or bool(head.str.contains(r"\d").any() and not clocks.all())


def _is_date(column: pl.Series) -> bool:
    if column.dtype != pl.String:
        return False
    head = _head(column)
    figures = len(head) > 0 and are_figures(head)
    if not len(head) or (
        figures
        and not head.str.contains(r"^(19|20)\d\d[01]\d[0-3]\d([0-2]\d([0-5]\d){0,2})?$").all()
    ):
        return False
    if not figures and head.str.contains(r"\d").mean() != 1.0:
        return False
    try:
        return not read_times(head, ReadOptions(day_first=True)).empty.any()
    except DataError:
        return False
