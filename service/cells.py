"""Cells of a table to numbers and stamps. Imports polars: read through `service.history.read_history`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from service.errors import DataError
from service.observation import LAST_TIMESTAMP
from service.records import LARGEST, Float64, Int64

#: Spellings of a missing value, compared without case and outer blanks.
MISSING = ("", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "?")

_ZONE = r"(?i):\d\d(?:\.\d+)?\s*(z|utc|[+-]\d\d(?::?\d\d)?)$"
#: Tried in this order; the first that reads every stamp of the column is the column's format.
_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%m/%d/%Y %H:%M:%S%.f",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M:%S%.f",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%Y%m%d",
)
_ZONED = "stamps name their zone"
#: Further back than any clock change reaches.
_BEFORE = timedelta(hours=4)
#: Whole numbers are epochs; by size: seconds, milliseconds, microseconds, nanoseconds.
_EPOCHS = (
    (1e11, "seconds", 1e3),
    (1e14, "milliseconds", 1.0),
    (1e17, "microseconds", 1e-3),
    (np.inf, "nanoseconds", 1e-6),
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column as numbers: `values` [rows], NaN where `missing` cells were or where `unparsable` [rows] is set."""

    values: Float64
    missing: int
    unparsable: np.ndarray[tuple[int], np.dtype[np.bool_]]

    @property
    def cells(self) -> int:
        """Cells that hold something."""
        return len(self.values) - self.missing


@dataclass(frozen=True, slots=True)
class Stamps:
    """A column as times: `timestamps` [rows], ms UTC, 0 where `empty` [rows] is set. `note` says how it was read."""

    timestamps: Int64
    empty: np.ndarray[tuple[int], np.dtype[np.bool_]]
    note: str


def numbers(column: pl.Series, decimal: str = ".", missing: tuple[str, ...] = ()) -> Numbers:
    """Read a column as numbers. Those beyond LARGEST are unparsable. Never raises: the caller judges the counts."""
    if column.dtype == pl.String:
        cells = blank_missing(column, missing)
        plain = cells
        if decimal == ",":
            plain = cells.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        values = plain.cast(pl.Float64, strict=False)
    elif column.dtype.is_numeric():
        cells = column.cast(pl.Float64).fill_nan(None)
        values = cells
    else:
        return Numbers(np.full(len(column), np.nan), column.null_count(), column.is_not_null().to_numpy())
    array = values.fill_null(float("nan")).to_numpy().astype(np.float64)
    for code in codes(missing, decimal):
        array = np.where(array == code, np.nan, array)
        cells = cells.set(pl.Series(array).is_nan() & values.is_not_null(), None)
    array = np.where(np.abs(array) <= LARGEST, array, np.nan)
    return Numbers(array, cells.null_count(), np.isnan(array) & cells.is_not_null().to_numpy())


def blank_missing(column: pl.Series, missing: tuple[str, ...] = ()) -> pl.Series:
    """A text column without outer blanks, null where a cell spells a missing value."""
    cells = column.str.strip_chars()
    spellings = [*MISSING, *(word.strip().lower() for word in missing)]
    return cells.set(cells.str.to_lowercase().is_in(spellings).fill_null(True), None)


def stamps(column: pl.Series, zone: str = "UTC", keys: pl.Series | None = None) -> Stamps:
    """Read a column as times: ISO 8601 with or without zone, day formats with slashes or dots, epochs.

    `zone` counts where a stamp names none; `keys` [rows] are the streams of a long table. Raises DataError
    naming the column and the first row that is not a time.
    """
    if column.dtype == pl.String:
        cells = blank_missing(column)
        if looks_numeric(cells) and not cells.str.contains(r"^(19|20)\d\d[01]\d[0-3]\d$").all():
            return _epochs(cells.cast(pl.Float64, strict=False), column.name)
        return _texts(cells, zone, keys)
    if column.dtype.is_numeric():
        return _epochs(column.cast(pl.Float64), column.name)
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        named = getattr(column.dtype, "time_zone", None)
        times = column.cast(pl.Datetime("ms", named))
        return _finish(*((times.dt.epoch("ms"), _ZONED) if named else _localise(times, zone, keys)))
    raise DataError(
        f"column {column.name!r} holds {column.dtype}, not times", "name the time column with --time-column"
    )


def looks_numeric(cells: pl.Series) -> bool:
    """Whether the first cells of a text column are plain numbers (hence epochs, not dates)."""
    head = cells.drop_nulls().head(50)
    return len(head) > 0 and bool(head.str.contains(r"^-?\d+(\.\d+)?$").all())


def codes(spellings: tuple[str, ...], decimal: str = ".") -> list[float]:
    """The spellings that are numbers: `-200` also stands for -200.0."""
    found = []
    for word in spellings:
        try:
            found.append(float(word.replace(decimal, ".")))
        except ValueError:
            continue
    return found


def _epochs(values: pl.Series, name: str) -> Stamps:
    array = values.to_numpy().astype(np.float64)
    empty = ~np.isfinite(array)
    if empty.all():
        raise DataError(f"column {name!r} holds no time", "name the time column with --time-column")
    typical = float(np.median(np.abs(array[~empty])))
    unit, factor = next((unit, factor) for limit, unit, factor in _EPOCHS if typical < limit)
    milliseconds = np.where(empty, 0.0, array * factor)
    if (outside := np.abs(milliseconds) > LAST_TIMESTAMP).any():
        row = int(np.argmax(outside))
        raise DataError(
            f"column {name!r}, row {row + 1}: {array[row]:.6g} is no time of this era in {unit} since the epoch",
            "repair or remove the row, or name the time column with --time-column",
        )
    return Stamps(np.rint(milliseconds).astype(np.int64), empty, f"times are {unit} since the epoch")


def _texts(cells: pl.Series, zone: str, keys: pl.Series | None) -> Stamps:
    zones = cells.str.extract(_ZONE, 1).str.to_lowercase()
    plain = cells.str.replace(r"(?i)\s*(z|utc)$", "").str.replace(r"(:\d\d(?:\.\d+)?)\s*[+-]\d\d(?::?\d\d)?$", "$1")
    plain = plain.str.replace(r"(?i)^(\d{4}[-/]\d\d?[-/]\d\d?)t", "$1 ")
    times, form = _parse(plain)
    if zones.null_count() == len(zones):
        stamps = _finish(*_localise(times, zone, keys))
    elif (zones.is_null() & cells.is_not_null()).any():
        row = int((zones.is_null() & cells.is_not_null()).arg_true()[0])
        raise DataError(
            f"column {cells.name!r}, row {row + 1}: {cells[row]!r} names no zone, other rows do",
            "give every stamp a zone",
        )
    else:
        stamps = _finish(times.dt.epoch("ms") - _offset_ms(zones), _ZONED)
    if form.startswith(("%m", "%d/")):
        order = "month/day/year" if form.startswith("%m") else "day/month/year"
        return Stamps(stamps.timestamps, stamps.empty, f"dates are {order}; {stamps.note}")
    return stamps


def _parse(plain: pl.Series) -> tuple[pl.Series, str]:
    """The column under the first format that reads all of it; raises for the first cell the best one cannot read."""
    best, best_form = plain.str.to_datetime(_FORMATS[0], strict=False, time_unit="ms"), _FORMATS[0]
    for form in _FORMATS[1:]:
        if best.null_count() == plain.null_count():
            break
        times = plain.str.to_datetime(form, strict=False, time_unit="ms")
        if times.null_count() < best.null_count():
            best, best_form = times, form
    bad = best.is_null() & plain.is_not_null()
    if bad.any():
        row = int(bad.arg_true()[0])
        raise DataError(
            f"column {plain.name!r}, row {row + 1}: {plain[row]!r} is not a time like the others",
            "use ISO 8601 (2024-01-31 08:00), M/D/YYYY H:MM or an epoch, or name the time column with --time-column",
        )
    return best, best_form


def _localise(times: pl.Series, zone: str, keys: pl.Series | None) -> tuple[pl.Series, str]:
    """ms UTC of times without a zone, and how they were read. Of the hour that the clock goes back, a stamp is in the
    first pass where its stream has it once, and in the second where it comes again. One that it skips is read by the
    clock before (right for loggers that name the end of their hours); null if a stamp of that moment is there."""
    frame = pl.DataFrame({"time": times, "before": times - _BEFORE, "key": times.is_null() if keys is None else keys})
    again = pl.struct("time", "key").is_first_distinct().not_()
    side = pl.when(again).then(pl.lit("latest")).otherwise(pl.lit("earliest"))
    try:
        plain, before = frame.select(
            pl.col("time").dt.replace_time_zone(zone, ambiguous=side, non_existent="null").dt.epoch("ms"),
            pl.col("before").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.epoch("ms"),
        ).get_columns()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"unknown time zone {zone!r}", "use a name like UTC or Europe/Berlin") from error
    before = before + _BEFORE // timedelta(milliseconds=1)
    skipped = plain.is_null() & times.is_not_null()
    free = skipped & ~before.is_in(plain.drop_nulls().implode())
    note = f"stamps without a zone are read as {zone}"
    if count := int(free.sum()):
        note += f"; {count:,} that the clock change skips there are read by the clock before it"
    if count := int((skipped & ~free).sum()):
        note += f"; {count:,} that the clock change skips there, where another has their moment, are left out"
    return plain.zip_with(~free, before), note


def _offset_ms(zones: pl.Series) -> pl.Series:
    """`+01:00` -> 3,600,000; `z` and `utc` -> 0."""
    digits = zones.str.replace_all(r"[^0-9]", "").str.pad_end(4, "0")
    hours, minutes = (digits.str.slice(start, 2).cast(pl.Int64, strict=False) for start in (0, 2))
    sign = zones.str.starts_with("-").cast(pl.Int64) * -2 + 1
    return ((hours * 60 + minutes) * sign * 60_000).fill_null(0)


def _finish(milliseconds: pl.Series, note: str) -> Stamps:
    return Stamps(milliseconds.fill_null(0).to_numpy().astype(np.int64), milliseconds.is_null().to_numpy(), note)
