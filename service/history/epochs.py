"""Times written as plain numbers: calendar figures without separators, counts of days or ticks,
epochs."""

from __future__ import annotations

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.dates import MS_PER_DAY, Reading, read_dates
from eddycast.service.history.history import Mask
from eddycast.service.records import LAST_TIMESTAMP, Float64, Int64

_FIGURES = r"^-?\d+([.,]\d+)?([eE][+-]?\d+)?$"
#: Units of epochs by the magnitude of the number.
_EPOCHS = (
    (1e11, "seconds", 1e3),
    (1e14, "milliseconds", 1.0),
    (1e17, "microseconds", 1e-3),
    (np.inf, "nanoseconds", 1e-6),
)
#: Counts of days: name, minimum, maximum, and the number of 1970-01-01.
#: Read as seconds they would all fall in 1970.
_DAYS = (
    ("days of a spreadsheet (day 25569 is 1970-01-01)", 25_569, 60_000, 25_569.0),
    ("modified Julian days", 60_000, 88_069, 40_587.0),
    ("days of MATLAB", 700_000, 790_000, 719_529.0),
    ("Julian days", 2_440_588, 2_490_000, 2_440_587.5),
)
#: The number of 1970-01-01 in each of them.
ZEROS_OF_DAYS = tuple(zero for *_, zero in _DAYS)
#: Rounding of counts of days, whose decimals are limited: (unit, tolerance) in ms.
_WHOLE = ((60_000, 6_000), (1_000, 60))
#: Counts of ticks: name, minimum, maximum (2000 to 2100), the number of 1970-01-01,
#: and ticks per ms.
_TICKS = (
    ("ticks of .NET (100 ns since year 1)", 6.308e17, 6.624e17, 621_355_968_000_000_000, 10_000),
    ("ticks of Windows (100 ns since 1601)", 1.259e17, 1.575e17, 116_444_736_000_000_000, 10_000),
    ("microseconds since 1601", 1.259e16, 1.575e16, 11_644_473_600_000_000, 1_000),
)
#: Epochs before 1980 or after 2100 are refused: such figures are mostly something else.
_FIRST, _LAST = 315_532_800_000, 4_102_444_800_000
#: Maximum share of stamps in another unit than most.
_MIXED = 0.01
_LENGTHS = (6, 8, 10, 12, 14)


def are_figures(cells: pl.Series) -> bool:
    """True if the cells of a text column are numbers (epochs or calendar figures) rather than
    written dates."""
    head = cells.drop_nulls().head(50)
    return len(head) > 0 and bool(head.str.contains(_FIGURES).all())


def read_figures(values: Float64, name: str) -> tuple[Reading, bool]:
    """(reading, in_utc): numbers (NaN = none) as times; `in_utc` is False for local time.
    Raises DataError."""
    known = np.isfinite(values)
    if not known.any():
        raise DataError(
            f"column {name!r} holds no times", "name the time column with --time-column"
        )
    epoch = _epoch(values, known)
    if (calendar := _calendar(values, known)) is not None:
        if not epoch.irregular * 2 < calendar.irregular:
            return calendar, False
        return epoch, True
    short = _calendar(values, known, "20")
    if short is not None and short.irregular * 2 < epoch.irregular:
        return short, False
    if (counted := _counted(values, known)) is not None:
        return counted
    _check_units(values, known, name)
    _check_era(epoch, values, known, name)
    return epoch, True


def is_era(values: Float64) -> bool:
    """True if numbers are rising epochs from 2001 to 2100, in one unit."""
    if len(values) < 2 or (np.diff(values) < 0).any() or values[0] == values[-1]:
        return False
    first, last = 1e12 - 1, _LAST
    return any(
        bool(((values * factor > first) & (values * factor < last)).all())
        for _, _, factor in _EPOCHS
    )


def _counted(values: Float64, known: Mask) -> tuple[Reading, bool] | None:
    """(reading, in_utc) of days or ticks since other moments than 1970,
    if all numbers are in the range of one of them."""
    read = np.zeros(len(values), np.int64)
    for form, first, last, zero in _DAYS:
        if (values[known] >= first).all() and (values[known] < last).all():
            read[known] = _whole((values[known] - zero) * MS_PER_DAY)
            return Reading(form, read, known), False
    for form, least, most, start, per_ms in _TICKS:
        if (values[known] >= least).all() and (values[known] < most).all():
            read[known] = (np.rint(values[known]).astype(np.int64) - start) // per_ms
            return Reading(form, read, known), True
    return None


def _check_era(epoch: Reading, values: Float64, known: Mask, name: str) -> None:
    """Raises DataError if most times are before 1980 or after 2100, or one is beyond the last valid
    stamp."""
    away = np.abs(epoch.milliseconds)
    unlikely = known & ((away < _FIRST) | ((away > _LAST) & (away <= LAST_TIMESTAMP)))
    if unlikely.sum() * 2 > known.sum():
        row = int(np.argmax(unlikely))
        moment = np.datetime64(int(epoch.milliseconds[row]), "ms").astype("M8[s]")
        raise DataError(
            f"column {name!r}, row {row + 1}: {values[row]:.15g} would be {moment} in {epoch.form}",
            "name the form with --time-format (for example %y%m%d%H; %s for seconds since 1970, "
            "or since the start of a recording), or another column with --time-column",
        )
    if (outside := known & (np.abs(epoch.milliseconds) > LAST_TIMESTAMP)).any():
        row = int(np.argmax(outside))
        unit = epoch.form.split()[0]
        raise DataError(
            f"column {name!r}, row {row + 1}: {values[row]:.6g} "
            f"is no time of this era in {unit} since the epoch",
            "repair or remove the row, or name the time column with --time-column",
        )


def _check_units(values: Float64, known: Mask, name: str) -> None:
    """Raises DataError for epochs in several units, as of files that were written differently."""
    limits = [limit for limit, *_ in _EPOCHS]
    units = np.searchsorted(limits, np.abs(np.where(known, values, 0.0)))
    factors = np.array([factor for *_, factor in _EPOCHS])
    stamps = np.where(known, values, 0.0) * factors[units]
    known = known & (stamps > _FIRST) & (stamps < _LAST)
    held, first, counts = np.unique(units[known], return_index=True, return_counts=True)
    if len(held) > 1 and np.sort(counts)[:-1].sum() > _MIXED * known.sum():
        rows = np.flatnonzero(known)[first[:2]]
        one, other = (f"row {row + 1}: {values[row]:.15g}" for row in rows)
        raise DataError(
            f"column {name!r} mixes {_EPOCHS[held[0]][1]} ({one}) with "
            f"{_EPOCHS[held[1]][1]} ({other})",
            "write all stamps in one unit",
        )


def _epoch(values: Float64, known: Mask) -> Reading:
    typical = float(np.median(np.abs(values[known])))
    unit, factor = next((unit, factor) for limit, unit, factor in _EPOCHS if typical < limit)
    scaled = np.clip(np.where(known, values * factor, 0.0), -9e18, 9e18)
    return Reading(f"{unit} since the epoch", np.rint(scaled).astype(np.int64), known)


def _calendar(values: Float64, known: Mask, century: str = "") -> Reading | None:
    """Numbers as YYYYMM, YYYYMMDD or YYYYMMDD with HH, HHMM or HHMMSS,
    after prefixing the `century`; None if one is not."""
    held = values[known]
    if (held != np.rint(held)).any() or held.min() < 10**5 or held.max() >= 10**14:
        return None
    lengths = np.unique(np.floor(np.log10(held)).astype(int) + 1)
    if len(lengths) != 1 or lengths[0] not in _LENGTHS:
        return None
    size = int(lengths[0]) + len(century)
    text = century + pl.Series(held.astype(np.int64)).cast(pl.String)
    if size > _LENGTHS[-1]:
        return None
    read = read_dates(text + "01" if size == 6 else text)[0]
    years = read.milliseconds // (MS_PER_DAY * 365) + 1970
    if not read.valid.all() or years.min() < 1900 or years.max() > 2100:
        return None
    stamps = np.zeros(len(values), np.int64)
    stamps[known] = read.milliseconds
    form = "YYYYMMDDHHMMSS"[len(century) : size]
    return Reading(f"read as {form} (--time-format reads them otherwise)", stamps, known)


def _whole(stamps: Float64) -> Int64:
    for unit, near in _WHOLE:
        rounded = np.rint(stamps / unit) * unit
        if (np.abs(stamps - rounded) <= near).all():
            return rounded.astype(np.int64)
    return np.rint(stamps).astype(np.int64)
