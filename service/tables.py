"""Tables to streams: open the file, read the cells, say what was found and done.

Imports polars: read through `service.history.read_history`.
"""

from __future__ import annotations

import gzip
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TypeVar, cast

import numpy as np
import polars as pl

from service.cells import Numbers, codes, numbers, stamps
from service.errors import DataError
from service.header import ragged_row, refuse_other_than_text, require_header
from service.history import History, ReadOptions, stream_history
from service.layout import find_layout, is_counter, require, time_cells
from service.records import Float64, Int64
from service.sentinels import find_codes
from service.wording import many

#: A stream as the file has it: stamps [n], values [n], or [n, channels].
_Readings = tuple[Int64, Float64]
_Name = TypeVar("_Name")


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows that have a time: `rows` are their places in the file, counted from 0."""

    frame: pl.DataFrame
    timestamps: Int64
    rows: Int64
    options: ReadOptions

    def numbers(self, name: str) -> Numbers:
        return numbers(self.frame[name], self.options.decimal or ".", self.options.missing)


def read_table(path: Path, options: ReadOptions) -> History:
    """Read one file. Raises DataError."""
    frame, options = _open(path, options)
    if frame.height == 0:
        raise DataError(f"{path}: no rows", "give a file with a header line and observations")
    layout = find_layout(frame, options)
    keys = frame[layout.stream] if layout.stream else None
    times = stamps(time_cells(frame, layout.time), options.timezone, keys)
    rows = np.flatnonzero(~times.empty)
    if not len(rows):
        raise DataError(f"{path}: no row has a time in {', '.join(layout.time)}", "name it with --time-column")
    notes = [times.note]
    if dropped := frame.height - len(rows):
        notes.append(f"{many(dropped, 'row')} without a time: left out")
        frame = frame.filter(pl.Series(~times.empty))
    table = _Table(frame.drop(layout.time), times.timestamps[rows], rows, options)
    if layout.stream:
        return _long(table, layout.stream, layout.values, notes)
    if options.channels and options.columns:
        raise DataError(f"{path}: one stream has all of its --channels", "leave out --columns")
    return _wide(table, options.stream or path.name.split(".")[0], notes)


def _open(path: Path, options: ReadOptions) -> tuple[pl.DataFrame, ReadOptions]:
    """The table, text cells unread, and the options completed with the delimiter and decimal mark found."""
    if not path.is_file():
        raise DataError(f"{path}: no such file", "name a CSV or Parquet file, or sample:sensors")
    try:
        if path.suffix in (".parquet", ".pq"):
            return pl.read_parquet(path), options
        with _bytes(path) as file:
            refuse_other_than_text(path, file.read(4096))
        delimiter = options.delimiter or _delimiter(path)
        frame = pl.read_csv(path, separator=delimiter, infer_schema=False, encoding="utf8-lossy")
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path}: the file is empty", "give a file with a header line and observations") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path}: {_trouble(path, options.delimiter, error)}", "check the file and --delimiter"
        ) from error
    require_header(path, frame.columns)
    names = [_name(place, name) for place, name in enumerate(frame.columns, 1)]
    if len(set(names)) == len(names):
        frame.columns = names
    decimal = options.decimal or ("," if delimiter != "," and _has_decimal_comma(frame) else ".")
    return frame, replace(options, delimiter=delimiter, decimal=decimal)


def _name(place: int, name: str) -> str:
    """A column as the header has it: polars says `_duplicated_0` where a name, or no name, comes again."""
    plain, _, again = name.partition("_duplicated_")
    if not plain.strip():
        return f"column {place}"
    return f"{plain.strip()} ({int(again) + 2})" if again.isdecimal() else name.strip()


def _bytes(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _trouble(path: Path, delimiter: str | None, error: Exception) -> str:
    """Why a table could not be read: the row that is too long, or what the reader said."""
    said = f"cannot be read as a table: {str(error).splitlines()[0]}"
    if isinstance(error, OSError) or path.suffix in (".parquet", ".pq"):
        return said
    with _bytes(path) as file:
        return ragged_row(io.TextIOWrapper(file, errors="replace"), delimiter or _delimiter(path)) or said


def _delimiter(path: Path) -> str:
    with _bytes(path) as file:
        header = re.sub(r'"[^"]*"', "", file.readline().decode(errors="replace"))
    return max((",", ";", "\t", "|"), key=header.count)


def _has_decimal_comma(frame: pl.DataFrame) -> bool:
    head = frame.head(1000)
    return any(head[name].str.contains(r"^\s*-?\d+,\d+\s*$").any() for name in head.columns)


def _wide(table: _Table, stream: str, notes: list[str]) -> History:
    """One stream a column of numbers, or `stream` with the channels asked for; other columns are left out and said,
    unless they were asked for."""
    channels = table.options.channels
    asked = table.options.columns or channels
    taken: dict[str, Numbers] = {}
    left_out: dict[str, list[str]] = {}
    for name in asked or table.frame.columns:
        require(table.frame.columns, name)
        column = table.numbers(name)
        reason = _unfit(name, column)
        if reason and asked:
            what, option = ("a channel", "--channels") if channels else ("a stream", "--columns")
            raise DataError(f"column {name!r} cannot be {what}: {reason}", f"leave it out of {option}")
        if reason:
            left_out.setdefault(reason, []).append(name)
        else:
            taken[name] = column
    if not taken:
        beside = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in left_out.items()) or "no other column"
        raise DataError(f"no numbers beside the time ({beside})", "check --delimiter and --decimal")
    notes += [f"columns left out ({reason}): {', '.join(names)}" for reason, names in left_out.items()]
    read = {name: (table.timestamps, column.values) for name, column in taken.items()}
    read, found = _without_codes(read, table.options)
    if channels:
        read = {stream: _side_by_side(list(read.values()))}
    parts = [stream_history(name, *columns) for name, columns in read.items()]
    notes += _row_notes(parts[0][1], parts[0][2])
    notes += _cell_notes(table, taken) + found
    return _join([part for part, _, _ in parts], notes, "wide", channels)


def _long(table: _Table, stream: str, values: tuple[str, ...], notes: list[str]) -> History:
    """One stream a key, its values in one column or a column a channel; streams stand in the order of their first row,
    or in the order asked for."""
    taken = {name: table.numbers(name) for name in values}
    for name, column in taken.items():
        if reason := _unfit(name, column):
            raise DataError(f"column {name!r} cannot be the value: {reason}", "name it with --value-column")
    keys = table.frame[stream].cast(pl.String)
    if keys.null_count():
        row = table.rows[int(keys.is_null().arg_true()[0])]
        raise DataError(f"column {stream!r}, row {row + 1}: no stream is named", "fill in or remove such rows")
    names: list[str] = keys.unique(maintain_order=True).to_list()
    codes = keys.replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    order = np.argsort(codes, kind="stable")
    pieces = np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    rows = dict(zip(names, pieces, strict=True))
    wanted = table.options.columns or tuple(names)
    if unknown := [name for name in wanted if name not in rows]:
        raise DataError(f"no stream {unknown[0]!r} in column {stream!r}", f"there are {', '.join(names[:10])}")
    series = {
        (name, value): (table.timestamps[rows[name]], column.values[rows[name]])
        for name in wanted
        for value, column in taken.items()
    }
    series, found = _without_codes(series, table.options)
    channels = table.options.channels
    read = {
        name: _side_by_side([series[name, value] for value in values]) if channels else series[name, values[0]]
        for name in wanted
    }
    parts = [stream_history(name, *columns) for name, columns in read.items()]
    notes += _row_notes(sum(part[1] for part in parts), sum(part[2] for part in parts))
    notes += _cell_notes(table, taken) + found
    return _join([part for part, _, _ in parts], notes, "long", channels)


def _side_by_side(channels: list[_Readings]) -> _Readings:
    """The channels of one stream, read at the same stamps, as values [n, channels]."""
    return channels[0][0], np.stack([values for _, values in channels], axis=1)


def _without_codes(read: dict[_Name, _Readings], options: ReadOptions) -> tuple[dict[_Name, _Readings], list[str]]:
    """The streams (or channels of them) with codes for a missing value made missing, and one note a code."""
    kept = tuple(codes(options.not_missing, options.decimal or "."))
    counts: dict[float, list[int]] = {}
    cleared = dict(read)
    for name, (times, values) in read.items():
        if found := find_codes(values, kept):
            cleared[name] = times, np.where(np.isin(values, list(found)), np.nan, values)
            for code, count in found.items():
                counts.setdefault(code, []).append(count)
    notes = [
        f"{code:g} stands for a missing value {many(sum(each), 'time')} in {len(each)} of {many(len(read), 'stream')}: "
        f"taken as missing; --not-missing {code:g} keeps it"
        for code, each in counts.items()
    ]
    return cleared, notes


def _unfit(name: str, column: Numbers) -> str:
    """Why a column is not a stream of numbers; empty if it is."""
    if column.cells == 0:
        return "empty"
    if int(np.count_nonzero(column.unparsable)) * 2 > column.cells:
        return "not numbers"
    return "a row counter" if is_counter(name, column.values) else ""


def _row_notes(unsorted: int, duplicates: int) -> list[str]:
    notes = []
    if unsorted:
        notes.append(f"{many(unsorted, 'row')} earlier than the row before: sorted by time")
    if duplicates:
        notes.append(f"{many(duplicates, 'duplicate stamp')}: the first reading that is not missing is kept")
    return notes


def _cell_notes(table: _Table, columns: dict[str, Numbers]) -> list[str]:
    notes = []
    if missing := sum(column.missing for column in columns.values()):
        holed = sum(column.missing > 0 for column in columns.values())
        notes.append(f"{many(missing, 'missing cell')} in {holed} of {many(len(columns), 'column')}: kept as missing")
    bad = {name: column.unparsable for name, column in columns.items() if column.unparsable.any()}
    if bad:
        name, where = next(iter(bad.items()))
        row = int(np.argmax(where))
        count = sum(int(np.count_nonzero(flags)) for flags in bad.values())
        first = f"column {name!r}, row {table.rows[row] + 1}: {table.frame[name][row]!r}"
        notes.append(f"{many(count, 'cell')} not a number: taken as missing; the first is {first}")
    return notes


def _join(parts: list[History], notes: list[str], form: str, channels: tuple[str, ...]) -> History:
    rows = max(len(part) for part in parts)
    several = f" of {len(channels)} channels" if channels else ""
    head = f"{form} table: {many(len(parts), 'stream')}{several}, up to {many(rows, 'reading')} each"
    return History(
        [part.streams[0] for part in parts],
        [part.timestamps[0] for part in parts],
        [part.values[0] for part in parts],
        [head, *notes],
        channels,
    )
