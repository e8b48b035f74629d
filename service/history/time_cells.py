"""Stamps that stand in several columns, joined to one column of text: a day and a clock, or year,
month, day, hour... Imports polars; use it through `eddycast.service.history`."""

from __future__ import annotations

import polars as pl

from eddycast.service.history import column_words
from eddycast.service.history.epochs import are_figures
from eddycast.service.history.numbers import blank_missing

_CLOCK = r"^\s*\d{1,2}[:.]\d\d"
#: A clock with a colon is one whatever its column is called.
_PLAIN_CLOCK = r"^\d{1,2}:\d\d(:\d\d([.,]\d+)?)?( ?[AaPp]\.?[Mm]?\.?)?$"
_MIDNIGHT = r"[ T](00:00|12:00:00 AM)(:00)?(\.0+)?$"
_DAY = (
    r"^\D{0,5}\d{1,4}[-/. ]\w{1,9}\.?[-/. ]+\d{2,4}([ T](00:00|12:00:00 AM)(:00)?(\.0+)?)?$"
    r"|^(19|20)\d{6}$"
)
#: Days of spreadsheets: 1982 to 2064.
_SHEET_DAYS = (30_000, 60_000)
#: Number of cells from which the kind of a column is detected.
_HEAD = 50
_SECONDS = 86_400


def time_cells(frame: pl.DataFrame, time: tuple[str, ...], form: str | None = None) -> pl.Series:
    """The stamps as one column. Several columns are joined as text; with a `form` (--time-format)
    they are joined by blanks, unchanged."""
    if len(time) == 1:
        return frame[time[0]]
    if form:
        plain = [frame[name].cast(pl.String).str.strip_chars() for name in time]
        return frame.select(pl.concat_str(plain, separator=" ").alias(",".join(time))).to_series()
    cells = [_plain(frame[name]) for name in time]
    joined = _day_and_clock(cells) if len(time) == 2 else _parts(list(time), cells)
    return joined.rename(",".join(time))


def head(column: pl.Series) -> pl.Series:
    """The first non-empty cells of a column, as text."""
    text = column if column.dtype == pl.String else column.cast(pl.String, strict=False)
    return blank_missing(text).drop_nulls().head(_HEAD)


def is_clock(column: pl.Series) -> bool:
    """True if a column holds times of day (18:00, 18.00.00, 1800, 18, a fraction of a day of a
    spreadsheet) rather than full stamps."""
    cells = head(column)
    if not len(cells):
        return False
    if cells.str.contains(_CLOCK).all() and not _is_fraction(cells):
        return True
    figures = cells.str.extract(r"^(\d{1,4})(\.0)?$", 1).cast(pl.Int64, strict=False)
    whole = figures.null_count() == 0 and bool(((figures % 100 < 60) & (figures <= 2400)).all())
    return whole or _is_fraction(cells)


def is_plain_clock(column: pl.Series) -> bool:
    """True if a column holds times of day that can be nothing else: 18:00, 6:00 PM."""
    if column.dtype == pl.Time:
        return True
    cells = head(column)
    return len(cells) > 0 and bool(cells.str.contains(_PLAIN_CLOCK).all())


def is_day(column: pl.Series) -> bool:
    """True if a column holds dates without a time of day, or always at midnight."""
    if column.dtype == pl.Date:
        return True
    cells = head(column)
    return len(cells) > 0 and bool(cells.str.contains(_DAY).all() or _is_sheet_day(cells))


def _is_fraction(cells: pl.Series) -> bool:
    values = cells.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    return values.null_count() == 0 and bool(
        ((values >= 0) & (values < 1)).all() and (values * 24 % 1 != values).any()
    )


def _is_sheet_day(cells: pl.Series) -> bool:
    days = cells.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
    first, last = _SHEET_DAYS
    return days.null_count() == 0 and bool(((days >= first) & (days < last)).all())


def _plain(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).str.strip_chars().str.replace(r"\.0$", "")


def _day_and_clock(cells: list[pl.Series]) -> pl.Series:
    day, clock = cells
    if are_figures(day) and _is_sheet_day(day.drop_nulls()):
        known = day.cast(pl.Int64, strict=False) - 25_569
        day = known.cast(pl.Int32).cast(pl.Date).cast(pl.String)
    return day.str.replace(_MIDNIGHT, "") + " " + _clock_text(clock)


def _parts(time: list[str], cells: list[pl.Series]) -> pl.Series:
    """Year, month and day, or year and day of the year, followed by a clock or by hours, minutes
    and seconds."""
    year = cells[0].str.zfill(2).str.replace(r"^([0-6]\d)$", "20$1")
    year = year.str.replace(r"^(\d\d)$", "19$1")
    if column_words.part_of_time(time[1]) == "doy":
        date = (year + "-" + cells[1].str.zfill(3)).str.to_date("%Y-%j", strict=False)
        day, rest = date.cast(pl.String), cells[2:]
    else:
        day, rest = year + "-" + cells[1].str.zfill(2) + "-" + cells[2].str.zfill(2), cells[3:]
    if len(rest) == 1:
        return day + " " + _clock_text(rest[0])
    for mark, cell in zip((" ", ":", ":"), rest, strict=False):
        day = day + mark + cell.str.zfill(2)
    return day if rest else day + " 00:00"


def _clock_text(cells: pl.Series) -> pl.Series:
    """Times of day as HH:MM, also from `18.00.00`, `1800`, `18` and fractions of a day."""
    known = cells.drop_nulls()
    if len(known) and _is_fraction(known):
        values = cells.str.replace(",", ".", literal=True).cast(pl.Float64)
        seconds = (values * _SECONDS).round().cast(pl.Int64)
        clock = (seconds * 1_000_000_000).clip(0, _SECONDS * 1_000_000_000 - 1).cast(pl.Time)
        return clock.cast(pl.String)
    plain = cells.str.replace_all(r"(\d)\.(\d)", "$1:$2").str.replace_all(r"(\d)\.(\d)", "$1:$2")
    if not known.str.contains(r"^\d{1,4}$").all():
        return plain
    hours = plain.cast(pl.Int64, strict=False).max()
    if isinstance(hours, int) and hours <= 24:
        return plain.str.zfill(2) + ":00"
    return plain.str.zfill(4).str.replace(r"^(\d\d)(\d\d)$", "$1:$2")
