"""Conversion of a table to streams: times and numbers are parsed, rows are sorted by stream,
each decision is noted.

Imports polars; call `eddycast.service.history.read_history`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.clearing import Readings, without_codes
from eddycast.service.history.grids import unfold_hours, unfold_stamps
from eddycast.service.history.history import History, stream_history
from eddycast.service.history.layout import Layout, find_layout
from eddycast.service.history.numbers import Numbers, decimal_marks, numbers
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.pieces import file_notes
from eddycast.service.history.remarks import Cells, Table, cell_notes, check_asked, row_notes
from eddycast.service.history.time_cells import time_cells
from eddycast.service.history.time_columns import find_time
from eddycast.service.history.times import localise, read_times
from eddycast.service.history.told_zones import with_zone
from eddycast.service.history.unit_columns import check_units
from eddycast.service.humanize import many
from eddycast.service.processing.missing_codes import Codes
from eddycast.service.records import Int64


def read_table(table: Table, options: ReadOptions) -> History:
    """Convert a table to streams. Raises DataError."""
    if table.frame.height == 0:
        raise DataError(f"{table.name}: no rows", "give a file with a header line and observations")
    frame, unfolded = unfold_stamps(table.frame)
    time = find_time(frame, options)
    frame, time, of_grid = unfold_hours(frame, time, options)
    folded = len(frame) // len(table.frame)
    form = options.time_format
    if of_grid and form:
        form = f"{form} %H:%M"
    times = read_times(time_cells(frame, time, form), replace(options, time_format=form))
    if times.empty.all():
        raise DataError(
            f"{table.name}: no row has a time in column {', '.join(time)}",
            "name it with --time-column",
        )
    kept = ~times.empty
    _check_headers(frame, time[0])
    beside = frame.drop(time).filter(pl.Series(kept))
    dotted = any("day/month" in note for note in times.notes) and "." in str(frame[time[0]][0])
    decimals = decimal_marks(beside, table.delimiter, options.decimal, dotted)
    read = {
        name: numbers(beside[name], decimals.get(name, "."), options.missing)
        for name in beside.columns
    }
    read |= {name: numbers(beside[name].is_not_null()) for name in table.labels if name not in time}
    layout = find_layout(beside, times.milliseconds[kept], read, options)
    names = _stream_names(beside, layout, np.flatnonzero(kept))
    times, zone, of_zone = with_zone(times, frame, time, options)
    milliseconds, skipped, notes = localise(times.only(kept), zone, names)
    notes += of_zone
    if dropped := int(np.count_nonzero(~kept)) + int(skipped.sum()) - times.unread:
        notes.append(f"{many(dropped, 'row')} without a time skipped")
    rows, milliseconds = np.flatnonzero(kept)[~skipped] // folded, milliseconds[~skipped]
    if skipped.any():
        beside = beside.filter(pl.Series(~skipped))
        read = {name: column.only(~skipped) for name, column in read.items()}
        names = None if names is None else names.filter(pl.Series(~skipped))
    origin = None if table.origin is None else table.origin[rows]
    cells = Cells(table, beside, milliseconds, rows, read, options, origin)
    notes = unfolded + of_grid + notes
    notes += [
        f"{name!r} has a decimal {mark}" for name, mark in _mixed(decimals, layout)
    ] + layout.notes
    check_units(cells, layout, names)
    notes += file_notes(cells, layout)
    if names is None:
        return _wide(cells, layout, notes)
    return _long(cells, layout, names, notes)


def _check_headers(frame: pl.DataFrame, time: str) -> None:
    """Raises DataError if a row is a different header,
    as in files that were concatenated with different columns."""
    texts = [name for name in frame.columns if frame[name].dtype == pl.String]
    if time not in texts:
        return
    again = frame[time].str.strip_chars().str.to_lowercase() == time.lower()
    for row in again.fill_null(False).arg_true():
        cells = [(frame[name][row] or "").strip() for name in texts]
        if [cell.lower() for cell in cells] != [name.lower() for name in texts]:
            raise DataError(
                f"row {row + 1} is a different header: "
                f"{', '.join(cells)} instead of {', '.join(texts)}",
                "split the file there, and pass both parts",
            )


def _mixed(decimals: dict[str, str], layout: Layout) -> list[tuple[str, str]]:
    """Decimal marks of the columns of values, if they differ."""
    words = {".": "point", ",": "comma"}
    marks = [(name, words[decimals[name]]) for name in layout.values if name in decimals]
    return marks if len({mark for _, mark in marks}) > 1 else []


def _stream_names(frame: pl.DataFrame, layout: Layout, rows: Int64) -> pl.Series | None:
    """The stream of each row: its ids joined by slashes. None for a wide table.
    Raises DataError for an empty id."""
    if not layout.ids:
        return None
    for name in layout.ids:
        if frame[name].null_count():
            row = rows[int(frame[name].is_null().arg_true()[0])] + 1
            raise DataError(
                f"column {name!r}, row {row}: the stream is missing", "fill in or remove such rows"
            )
    parts = [_plain_key(frame[name]) for name in layout.ids]
    return frame.select(pl.concat_str(parts, separator="/").alias("key")).to_series()


def _plain_key(column: pl.Series) -> pl.Series:
    if column.dtype.is_float():
        column = column.cast(pl.Int64) if (column == column.round()).all() else column
    return column.cast(pl.String).str.strip_chars()


def _wide(cells: Cells, layout: Layout, notes: list[str]) -> History:
    """One stream per column of numbers, or a single stream with the requested channels."""
    options = cells.options
    if options.channels and options.columns:
        raise DataError(
            f"{cells.table.name}: --channels make a single stream", "leave out --columns"
        )
    if unknown := [name for name in options.columns or () if name not in cells.numbers]:
        raise DataError(
            f"no column {unknown[0]!r}", f"the columns are {', '.join(cells.frame.columns)}"
        )
    taken = {name: cells.numbers[name] for name in layout.values}
    check_asked(cells, taken)
    read = {name: (cells.timestamps, column.values) for name, column in taken.items()}
    read, found, known = without_codes(read, options, list(read) if options.channels else None)
    if options.channels:
        read = {
            options.stream or cells.table.name.split(".")[0]: _side_by_side(list(read.values()))
        }
    parts = [
        stream_history(name, *columns, last=options.duplicates == "last")
        for name, columns in read.items()
    ]
    notes += row_notes(parts[0][1], parts[0][2], options)
    notes += cell_notes(cells, taken) + found
    return _join([part for part, _, _ in parts], notes, "wide", options.channels, known)


def _long(cells: Cells, layout: Layout, keys: pl.Series, notes: list[str]) -> History:
    """One stream per name and column of values, or per name with these columns as channels; in the
    order of their first row, or in the requested order."""
    options, values = cells.options, layout.values
    taken = {name: cells.numbers[name] for name in values}
    names: list[str] = keys.unique(maintain_order=True).to_list()
    place = keys.replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    order = np.argsort(place, kind="stable")
    pieces = np.split(order, np.cumsum(np.bincount(place, minlength=len(names)))[:-1])
    rows = dict(zip(names, pieces, strict=True))
    if options.channels or len(values) == 1:
        check_asked(cells, taken)
    series = {
        (name, value): (cells.timestamps[rows[name]], column.values[rows[name]])
        for name in names
        for value, column in taken.items()
    }
    if options.channels:
        series, found, known = without_codes(series, options, [value for _, value in series])
        read = {name: _side_by_side([series[name, value] for value in values]) for name in names}
        wordy: list[str] = []
    else:
        wordy = [_joined(key, values) for key in series if _is_wordy(taken[key[1]], rows[key[0]])]
        streams = {_joined(key, values): columns for key, columns in series.items()}
        plain = {name: each for name, each in streams.items() if name not in wordy}
        read, found, known = without_codes(plain, options)
    read = _asked_streams(read, options, values, layout.ids)
    parts = [
        stream_history(name, *columns, last=options.duplicates == "last")
        for name, columns in read.items()
    ]
    notes += [f"streams skipped (not numbers): {', '.join(wordy)}"] if wordy else []
    notes += row_notes(sum(part[1] for part in parts), sum(part[2] for part in parts), options)
    notes += cell_notes(cells, taken) + found
    return _join([part for part, _, _ in parts], notes, "long", options.channels, known)


def _joined(key: tuple[str, str], values: Sequence[str]) -> str:
    return key[0] if len(values) == 1 else "/".join(key)


def _is_wordy(column: Numbers, rows: Int64) -> bool:
    words = column.unparsable[rows]
    held = np.count_nonzero(~np.isnan(column.values[rows]) | words)
    return bool(np.count_nonzero(words) * 2 > held > 0)


def _asked_streams(
    read: dict[str, Readings], options: ReadOptions, values: Sequence[str], ids: Sequence[str]
) -> dict[str, Readings]:
    """The streams named by --columns, unless it names columns."""
    wanted = [name for name in options.columns or () if name not in values]
    if unknown := [name for name in wanted if name not in read]:
        there = ", ".join(list(read)[:10])
        raise DataError(
            f"no stream {unknown[0]!r} in column {', '.join(ids)!r}", f"there are {there}"
        )
    return {name: read[name] for name in wanted} if wanted else read


def _side_by_side(channels: list[Readings]) -> Readings:
    """The channels of one stream, which share their stamps, as values [n, channels]."""
    return channels[0][0], np.stack([values for _, values in channels], axis=1)


def _join(
    parts: list[History], notes: list[str], form: str, channels: Sequence[str], known: Codes
) -> History:
    rows = max(len(part) for part in parts)
    several = f" of {len(channels)} channels" if channels else ""
    head = (
        f"{form} table: {many(len(parts), 'stream')}{several}, up to {many(rows, 'reading')} each"
    )
    return History(
        [part.streams[0] for part in parts],
        [part.timestamps[0] for part in parts],
        [part.values[0] for part in parts],
        [head, *notes],
        tuple(channels),
        known,
    )
