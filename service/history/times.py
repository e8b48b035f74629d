"""Parsing of the time column (text, figures or typed) to ms UTC. Imports polars; use it through
`eddycast.service.history`.

All rows of a column are read in the same format. Where several formats fit (day or month first),
the one that gives a regular series is used; if none is clearly more regular than the others, the
column is refused.

Where a spelling is understood: `spellings.py` (the same parts at unusual places), `dates.py` (order
of day, month and year, clocks, names of months), `epochs.py` (plain figures), `zones.py`; and
`forms.py`, by which a cell is known to be a stamp at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.dates import Reading, read_dates, settle
from eddycast.service.history.epochs import are_figures, read_figures
from eddycast.service.history.history import Mask
from eddycast.service.history.numbers import blank_missing
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.spellings import usual_order, without_ends
from eddycast.service.history.zones import offset_ms, pair_of, without_zones, zones_of
from eddycast.service.humanize import many
from eddycast.service.records import Int64

_ZONED = "stamps with a time zone"
#: An epoch as .NET writes it in JSON: `/Date(1709251200000)/`.
_INSIDE = r"^\\?/Date\((-?\d+)(?:[+-]\d{4})?\)\\?/$"
_BEGINS = "stamps are intervals: read their start"
#: Longer than any clock change.
_BEFORE = timedelta(hours=4)
#: Maximum share of rows without a valid time, and maximum number of rows with words below the
#: table.
_UNREAD_SHARE, _LAST_WORDS = 0.01, 5


@dataclass(frozen=True, slots=True)
class Times:
    """A column of times before conversion to UTC: `milliseconds` [rows] since the epoch, in UTC if
    `zoned`, else in local time; `empty` [rows] marks rows without a time, of which `unread` rows
    hold something else. `zone` is that of local times, if the stamps name it."""

    milliseconds: Int64
    empty: Mask
    zoned: bool
    unread: int
    notes: tuple[str, ...]
    zone: str | None = None

    def only(self, rows: Mask) -> Times:
        """The column restricted to some rows."""
        return replace(self, milliseconds=self.milliseconds[rows], empty=self.empty[rows])


def read_times(column: pl.Series, options: ReadOptions) -> Times:
    """Read a column as times. Raises DataError naming the column and the first row that is not a
    time."""
    if options.time_format:
        return _told(column.cast(pl.String).str.strip_chars(), options.time_format)
    if column.dtype == pl.String:
        cells = blank_missing(column)
        if (inside := cells.str.extract(_INSIDE, 1)).null_count() == cells.null_count():
            cells = inside
        if are_figures(cells):
            return _figures(
                cells.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False), column
            )
        return _texts(cells, options.day_first)
    if column.dtype.is_numeric():
        return _figures(column.cast(pl.Float64), column)
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        zoned = getattr(column.dtype, "time_zone", None) is not None
        epoch = column.cast(pl.Datetime("ms", getattr(column.dtype, "time_zone", None))).dt.epoch(
            "ms"
        )
        note = (_ZONED,) if zoned else ()
        return Times(
            epoch.fill_null(0).to_numpy().astype(np.int64),
            epoch.is_null().to_numpy(),
            zoned,
            0,
            note,
        )
    raise DataError(
        f"column {column.name!r} holds {column.dtype}, not times",
        "name the time column with --time-column",
    )


def localise(times: Times, zone: str, keys: pl.Series | None) -> tuple[Int64, Mask, list[str]]:
    """(ms UTC, rows without a time, notes) of times; `keys` [rows] are the streams of a long table.

    In the hour that is repeated when clocks go back, a stamp belongs to the first pass, and a
    repetition of it in the same stream to the second. A stamp in the hour that is skipped is
    converted with the offset before the change (right for loggers that stamp the end of an hour),
    and dropped if that moment has a stamp already.
    """
    if times.zoned:
        return times.milliseconds, times.empty, list(times.notes)
    naive = (
        pl.Series("time", times.milliseconds)
        .cast(pl.Datetime("ms"))
        .set(pl.Series(times.empty), None)
    )
    key = pl.Series("key", times.empty) if keys is None else keys.alias("key")
    again = pl.struct("time", "key").is_first_distinct().not_()
    side = pl.when(again).then(pl.lit("latest")).otherwise(pl.lit("earliest"))
    try:
        read, before = (
            pl.DataFrame([naive, key])
            .select(
                pl.col("time")
                .dt.replace_time_zone(zone, ambiguous=side, non_existent="null")
                .dt.epoch("ms"),
                (pl.col("time") - _BEFORE)
                .dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
                .dt.epoch("ms")
                .alias("before"),
            )
            .get_columns()
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"unknown time zone {zone!r}", "use a name like UTC or Europe/Berlin"
        ) from error
    before = before + _BEFORE // timedelta(milliseconds=1)
    skipped = read.is_null() & naive.is_not_null()
    free = skipped & ~before.is_in(read.drop_nulls().implode())
    note = f"stamps without a zone are read as {zone} (override: --timezone)"
    if count := int(free.sum()):
        note += (
            f"; {many(count, 'stamp')} in the hour skipped by "
            "the clock change: read with the offset before it"
        )
    if count := int((skipped & ~free).sum()):
        note += (
            f"; {many(count, 'stamp')} in the hour skipped by the "
            "clock change: dropped, as their moment has another"
        )
    read = read.zip_with(~free, before)
    return (
        read.fill_null(0).to_numpy().astype(np.int64),
        read.is_null().to_numpy(),
        [*times.notes, note],
    )


def _told(cells: pl.Series, form: str) -> Times:
    """Times in the requested format. Hours without minutes are full hours;
    `%s`, seconds since the epoch, is UTC."""
    zoned = any(part in form for part in ("%z", "%Z", "%s"))
    hours = re.search("%-?[HIkl]", form) and not re.search("%-?[MTRXcr]", form)
    texts, whole = (cells + " 00", form + " %M") if hours else (cells, form)
    try:
        read = texts.str.to_datetime(
            whole, strict=False, time_unit="ms", time_zone="UTC" if zoned else None
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"--time-format {form!r}: {str(error).splitlines()[0]}",
            "use for example %Y-%m-%d %H:%M:%S",
        ) from error
    if read.null_count() == len(read):
        raise DataError(
            f"column {cells.name!r}, row 1: {cells[0]!r} does not have the --time-format {form!r}",
            "as in %Y-%m-%d %H:%M:%S",
        )
    epoch = read.dt.epoch("ms")
    reading = Reading(
        form, epoch.fill_null(0).to_numpy().astype(np.int64), read.is_not_null().to_numpy()
    )
    return _finish(blank_missing(cells), reading, zoned, (_ZONED,) if zoned else ())


def _figures(values: pl.Series, column: pl.Series) -> Times:
    reading, zoned = read_figures(values.to_numpy().astype(np.float64), column.name)
    return Times(reading.milliseconds, ~reading.valid, zoned, 0, (f"times are {reading.form}",))


def _texts(cells: pl.Series, day_first: bool | None) -> Times:
    cells, zone = pair_of(usual_order(cells))
    cells, spans = without_ends(cells)
    zones = zones_of(cells)
    zoned = zones.null_count() < len(zones)
    if (
        zoned
        and (
            unzoned := zones.is_null() & cells.is_not_null() & cells.str.contains(r"\d:\d\d")
        ).any()
    ):
        row = int(unzoned.arg_true()[0])
        raise DataError(
            f"column {cells.name!r}, row {row + 1}: "
            f"{cells[row]!r} has no time zone, other rows have one",
            "add a time zone to every stamp",
        )
    reading, notes = settle(cells.name, cells, read_dates(without_zones(cells)), day_first)
    if zoned:
        reading = Reading(reading.form, reading.milliseconds - offset_ms(zones), reading.valid)
    begins = (_BEGINS,) if spans else ()
    times = _finish(cells, reading, zoned, (*notes, *begins, *((_ZONED,) if zoned else ())))
    return replace(times, zone=zone)


def _finish(cells: pl.Series, reading: Reading, zoned: bool, notes: tuple[str, ...]) -> Times:
    """The times without rows that hold something else, if these are few or words below the table.
    Raises DataError otherwise."""
    empty = cells.is_null().to_numpy()
    bad = ~reading.valid & ~empty
    if bad.any():
        rows = np.flatnonzero(bad)
        words = rows[-1] == np.flatnonzero(~empty)[-1] and len(rows) <= min(
            _LAST_WORDS, (~empty).sum() // 4
        )
        below = words and rows[0] > np.flatnonzero(reading.valid)[-1]
        if not below and len(rows) > _UNREAD_SHARE * len(cells):
            raise DataError(
                f"column {cells.name!r}, row {rows[0] + 1}: "
                f"{cells[int(rows[0])]!r} is not a time like the others",
                "use ISO 8601 (2024-01-31 08:00) or an epoch, or name the form with "
                "--time-format, for example %d.%m.%Y %H:%M, or another column with --time-column",
            )
        first = f"row {rows[0] + 1}, {cells[int(rows[0])]!r}"
        notes = (
            *notes,
            f"{many(len(rows), 'row')} without a valid time skipped; the first is {first}",
        )
    return Times(
        np.where(reading.valid, reading.milliseconds, 0),
        ~reading.valid,
        zoned,
        int(bad.sum()),
        notes,
    )
