"""Dates in figures or with month names as ms: all orders of day, month and year that fit a column,
and the choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.history import Mask
from eddycast.service.history.month_names import MONTHS
from eddycast.service.records import Int64

MS_PER_DAY = 86_400_000

_CLOCK = (
    r"(?:[\sT_,:-]+(?P<hour>\d{1,2})(?:[:.h](?P<minute>\d{2}))?(?:[:.](?P<second>\d{2})(?:[.,:](?P<fraction>\d{1,9}))?)?"
    r"\s*(?:(?P<half>[AaPp])(?:\.?\s?[Mm]\.?)?)?(?:\s*Uhr)?)?$"
)
_DATE = (
    r"^(?P<a>\d{1,4}|\p{L}{3,9})\.?[-/. ,]+"
    r"(?P<b>\d{1,2}|\p{L}{3,9})\.?(?P<mark>[-/. ,])[-/. ,]*(?P<c>\d{1,4})" + _CLOCK
)
_COMPACT = (
    r"^(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    r"(?:[T _:/-]?(?P<hour>\d\d)(?::?(?P<minute>\d\d)"
    r"(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?)?$"
)
#: A day and a month, then a clock; the hour is no year.
_YEARLESS = r"^(\d{1,2}|\p{L}{3,9})\.?[-/. ](\d{1,2}|\p{L}{3,9})\.?,?[T ]+\d{1,2}:\d\d"
#: The year 100, in ms.
_YEAR_100 = -59_011_459_200_000
#: Years of two digits, as in POSIX: 69 to 99 are 1969 to 1999.
_PIVOT = 69
_ORDERS = {
    "year/month/day": "abc",
    "day/month/year": "cba",
    "month/day/year": "cab",
    "year/day/month": "acb",
}
#: Factor by which another order must be more regular than the customary one to be taken.
_MUCH = 10
_OPTIONS = {"day/month/year": "--day-first", "month/day/year": "--month-first"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A column parsed with one order of fields: `milliseconds` [rows] where `valid` [rows]. `usual`
    marks the order that is customary for this notation."""

    form: str
    milliseconds: Int64
    valid: Mask
    usual: bool = False

    @property
    def irregular(self) -> int:
        """Number of steps between stamps that differ from the most frequent step;
        0 for calendar months."""
        stamps = np.unique(self.milliseconds[self.valid])
        steps = np.diff(stamps)
        if not len(steps):
            return 0
        days = stamps.astype("M8[ms]").astype("M8[D]")
        months = days.astype("M8[M]")
        same = (
            len(np.unique((days - months).astype(int))) == 1
            and len(np.unique(stamps % MS_PER_DAY)) == 1
        )
        if same and len(np.unique(np.diff(months.astype(int)))) == 1:
            return 0
        return int(len(steps) - np.unique(steps, return_counts=True)[1].max())


def read_dates(cells: pl.Series) -> list[Reading]:
    """The column parsed with every order of day, month and year that its notation allows.
    Raises DataError for stamps without a year."""
    iso = cells.str.replace(r"^(\d{4}-\d\d-\d\d)[tT]", "$1 ").str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="ms"
    )
    if iso.null_count() == cells.null_count() and iso.null_count() < len(cells):
        epoch = iso.dt.epoch("ms").fill_null(0).to_numpy().astype(np.int64)
        # polars reads 24-03-01 as a day of the year 24
        if epoch.min() >= _YEAR_100 or cells.drop_nulls().str.contains(r"^\d{4}-").all():
            return [Reading("year/month/day", epoch, iso.is_not_null().to_numpy(), usual=True)]
    plain = cells.str.strip_chars()
    yearless = plain.str.contains(_YEARLESS).fill_null(False)
    if yearless.sum() * 2 > cells.count():
        row = int(yearless.arg_true()[0])
        raise DataError(
            f"column {cells.name!r}, row {row + 1}: {cells[row]!r} has no year",
            "add the year to the stamps",
        )
    compact = plain.str.extract_groups(_COMPACT).struct.unnest()
    fields = plain.str.extract_groups(_DATE).struct.unnest()
    if fields["c"].null_count() > compact["day"].null_count():
        parts = [_number(compact[name]) for name in ("year", "month", "day")]
        return [_assemble("year/month/day", parts, _clock(compact), usual=True)]
    return _orders(fields)


def settle(
    name: str, cells: pl.Series, readings: list[Reading], day_first: bool | None
) -> tuple[Reading, tuple[str, ...]]:
    """The reading that fits the column best, and a note if it was a choice.
    Raises DataError if two fit equally well."""
    most = max(int(reading.valid.sum()) for reading in readings)
    fitting = [reading for reading in readings if int(reading.valid.sum()) == most]
    if day_first is not None:
        form = "day/month/year" if day_first else "month/day/year"
        asked = [reading for reading in readings if reading.form == form]
        if asked and asked[0].valid.any():
            return asked[0], (f"dates are {form}",)
    best = min(fitting, key=lambda reading: (not reading.usual, reading.irregular))
    rivals = [reading for reading in fitting if reading is not best]
    if best.usual:
        regular = min(fitting, key=lambda reading: reading.irregular)
        best = regular if regular.irregular * _MUCH < best.irregular else best
        rivals = []
    for rival in rivals:
        differ = np.flatnonzero(
            best.valid & rival.valid & (best.milliseconds != rival.milliseconds)
        )
        if len(differ) and not best.irregular * 2 < rival.irregular:
            raise _ambiguous(name, cells, int(differ[0]), best, rival)
    plain = best.form == "year/month/day" and best.usual
    return best, () if plain else (f"dates are {best.form}",)


def _ambiguous(name: str, cells: pl.Series, row: int, best: Reading, rival: Reading) -> DataError:
    one, other = (
        f"{np.datetime64(int(each.milliseconds[row]), 'ms').astype('M8[D]')} as {each.form}"
        for each in (best, rival)
    )
    return DataError(
        f"column {name!r}, row {row + 1}: {cells[row]!r} "
        f"is {one} or {other}, and both fit all rows",
        " or ".join(_OPTIONS.get(each.form, "--time-format '%y-%m-%d'") for each in (best, rival)),
    )


def _orders(fields: pl.DataFrame) -> list[Reading]:
    """Readings of the three fields of a date in every order that their lengths and month names
    allow."""
    numbers = {each: _number(_unnamed(fields[each])) for each in "abc"}
    clock = _clock(fields)
    held = max(fields["c"].count(), 1)
    long = {each: int((fields[each].str.len_chars() == 4).sum()) * 2 > held for each in "ac"}
    text = {each: bool(fields[each].str.contains(r"^\p{L}").any()) for each in "ab"}
    if long["a"]:
        allowed = ["year/month/day"] if text["b"] else ["year/month/day", "year/day/month"]
    elif text["a"]:
        allowed = ["month/day/year"]
    else:
        allowed = [
            "day/month/year",
            *([] if text["b"] else ["month/day/year"]),
            *([] if long["c"] else ["year/month/day"]),
        ]
    dotted = bool((fields["mark"] == ".").any())
    usual = (
        "year/month/day"
        if long["a"]
        else "day/month/year"
        if dotted or (text["b"] and long["c"])
        else ""
    )
    return [
        _assemble(form, [numbers[each] for each in _ORDERS[form]], clock, usual=form == usual)
        for form in allowed
    ]


def _assemble(form: str, parts: list[Int64], clock: tuple[Int64, Mask], usual: bool) -> Reading:
    """Combine years, months and days (-1 = none) and ms of the day into ms since the epoch."""
    years, months, days = parts
    years = np.where(
        (years >= 0) & (years < 100), years + np.where(years < _PIVOT, 2000, 1900), years
    )
    first = ((years - 1970) * 12 + months - 1).astype("M8[M]")
    length = ((first + 1).astype("M8[D]") - first.astype("M8[D]")).astype(np.int64)
    milliseconds, told = clock
    valid = told & (years > 0) & (months >= 1) & (months <= 12) & (days >= 1) & (days <= length)
    stamps = (first.astype("M8[D]").astype(np.int64) + days - 1) * MS_PER_DAY + milliseconds
    return Reading(form, np.where(valid, stamps, 0), valid, usual)


def _clock(fields: pl.DataFrame) -> tuple[Int64, Mask]:
    """ms of the day, and where they are valid. 24:00 is the end of the day."""
    hour, minute, second = (
        np.maximum(_number(fields[name]), 0) for name in ("hour", "minute", "second")
    )
    fraction = _number(fields["fraction"].str.pad_end(9, "0"))
    if "half" in fields.columns:
        half = fields["half"].str.to_lowercase()
        known = half.is_not_null().to_numpy()
        afternoon = (half == "p").fill_null(False).to_numpy()
        hour = np.where(known, hour % 12 + 12 * afternoon, hour)
    milliseconds = (
        hour * 3_600_000 + minute * 60_000 + second * 1000 + np.maximum(fraction, 0) // 1_000_000
    )
    valid = (minute < 60) & (second <= 60) & (milliseconds <= MS_PER_DAY)
    return milliseconds, valid


def _number(texts: pl.Series) -> Int64:
    """Text as whole numbers; -1 = none."""
    return texts.cast(pl.Int64, strict=False).fill_null(-1).to_numpy().astype(np.int64)


def _unnamed(texts: pl.Series) -> pl.Series:
    """Text with month names replaced by month numbers."""
    if not texts.str.contains(r"^\p{L}").any():
        return texts
    names = texts.str.to_lowercase().str.replace_all(r"[.]", "")
    unique = names.drop_nulls().unique().to_list()
    numbers = {
        name: str(MONTHS[name[:size]])
        for name in unique
        for size in (9, 4, 3)
        if name[:size] in MONTHS
    }
    return names.replace(numbers)
