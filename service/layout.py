"""Which columns of a table mean what, told by their names. Imports polars: read through `service.history`."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from service.cells import blank_missing, looks_numeric, numbers, stamps
from service.errors import DataError
from service.history import ReadOptions
from service.records import Float64

_TIME = ("timestamp", "datetime", "time", "ts", "ds", "date", "epoch", "unixtime", "timestampms", "epochms")
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_STREAM = ("stream", "series", "sensor", "device", "meter", "station", "item", "unique", "tag", "key", "id", "name")
_VALUE = ("value", "y", "reading", "measurement", "target", "val")
_COUNTER = ("", "column1", "no", "index", "row", "rownumber", "unnamed0", "id")


@dataclass(frozen=True, slots=True)
class Layout:
    """`time`: the columns that make a stamp. `stream`: the column of a long table that names it, None = wide; then
    `values` are the columns of its values: one, or the channels."""

    time: tuple[str, ...]
    stream: str | None = None
    values: tuple[str, ...] = ()


def find_layout(frame: pl.DataFrame, options: ReadOptions) -> Layout:
    """Tell wide from long by the column names; what `options` name comes first. Raises DataError."""
    wanted = [options.stream_column, options.value_column, *options.channels, *(options.time_column or "").split(",")]
    for name in filter(None, wanted):
        require(frame.columns, name)
    time = tuple(options.time_column.split(",")) if options.time_column else _find_time(frame)
    others = [name for name in frame.columns if name not in (*time, *options.channels)]
    stream = options.stream_column or _guess_stream(frame, others)
    if options.channels:
        return Layout(time, stream, options.channels)
    value = options.value_column or _named([name for name in others if name != stream], _VALUE)
    if stream and value is None and len(others) == 2:
        value = next(name for name in others if name != stream)
    if stream and value:
        return Layout(time, stream, (value,))
    if options.stream_column:
        raise DataError(f"long table: which of {', '.join(others)} is the value?", "name it with --value-column")
    if options.value_column:
        raise DataError(f"long table: which of {', '.join(others)} names the stream?", "name it with --stream-column")
    return Layout(time)


def require(columns: list[str], name: str) -> None:
    """Raises DataError, with the columns that there are, unless `name` is one of them."""
    if name not in columns:
        raise DataError(f"no column {name!r}", f"the columns are {', '.join(columns)}")


def is_counter(name: str, values: Float64) -> bool:
    """Whether a column only numbers the rows: called so, and one more in every row."""
    return _plain(name) in _COUNTER and len(values) > 2 and bool((np.diff(values) == 1).all())


def time_cells(frame: pl.DataFrame, time: tuple[str, ...]) -> pl.Series:
    """The stamp column; several columns (a date and a clock, or year, month, day, hour) are joined into one text."""
    if len(time) == 1:
        return frame[time[0]]
    cells = [frame[name].cast(pl.String).str.strip_chars() for name in time]
    if len(time) == 2:
        joined = cells[0] + " " + cells[1].str.replace_all(".", ":", literal=True)
    else:
        parts = [cell.str.zfill(2) for cell in cells]
        joined = parts[0] + "-" + parts[1] + "-" + parts[2] + " "
        joined = joined + (parts[3] if len(parts) > 3 else "00")
        for i in (4, 5):
            joined = joined + ":" + (parts[i] if len(parts) > i else "00")
    return joined.rename(",".join(time))


def _plain(name: str) -> str:
    """`Time (UTC)` -> `time`, `date_time` -> `datetime`: names are compared in this form."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[(\[].*", "", name.lower()))


def _named(columns: list[str], names: tuple[str, ...]) -> str | None:
    """The column with the first of `names` that occurs."""
    plain = {_plain(name): name for name in reversed(columns)}
    return next((plain[name] for name in names if name in plain), None)


def _guess_stream(frame: pl.DataFrame, columns: list[str]) -> str | None:
    name = _named(columns, tuple(spelling for word in _STREAM for spelling in (word, word + "id")))
    if name is None or is_counter(name, numbers(frame[name]).values):
        return None
    return name


def _find_time(frame: pl.DataFrame) -> tuple[str, ...]:
    plain = {_plain(name): name for name in frame.columns}
    if "date" in plain and "time" in plain and _is_clock(frame[plain["time"]]):
        return plain["date"], plain["time"]
    if found := _named(frame.columns, _TIME):
        return (found,)
    if set(_PARTS[:3]) <= set(plain):
        return tuple(plain[part] for part in _PARTS if part in plain)
    for name in frame.columns:
        if frame[name].dtype.is_temporal() or _is_date(frame[name]):
            return (name,)
    raise DataError(f"no time column among {', '.join(frame.columns)}", "name it with --time-column")


def _is_clock(column: pl.Series) -> bool:
    """Whether a text column holds times of day (18:00, 18.00.00) rather than whole stamps."""
    return column.dtype == pl.String and bool(column.drop_nulls().head(50).str.contains(r"^\s*\d{1,2}[:.]\d\d").all())


def _is_date(column: pl.Series) -> bool:
    if column.dtype != pl.String:
        return False
    head = blank_missing(column).drop_nulls().head(50)
    if not len(head) or looks_numeric(head):
        return False
    try:
        return not stamps(head).empty.any()
    except DataError:
        return False
