"""Notes on the cells of a table, and errors for cells that are refused. Imports polars; use it
through `eddycast.service.history`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.history import Mask
from eddycast.service.history.numbers import Numbers
from eddycast.service.history.options import ReadOptions
from eddycast.service.humanize import many
from eddycast.service.records import Int64

#: Maximum share of cells with figures that are not valid numbers.
_UNREAD_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Table:
    """Raw cells of a table, with the `delimiter` of its text; `labels` are columns added from
    folder or file names. `origin` [rows] is the file of each row, if there are several."""

    frame: pl.DataFrame
    name: str
    delimiter: str = ","
    labels: tuple[str, ...] = ()
    origin: pl.Series | None = None


@dataclass(frozen=True, slots=True)
class Cells:
    """The rows with a time; `rows` are their indices in the table, `origin` their files."""

    table: Table
    frame: pl.DataFrame
    timestamps: Int64
    rows: Int64
    numbers: dict[str, Numbers]
    options: ReadOptions
    origin: pl.Series | None = None


def check_asked(cells: Cells, columns: dict[str, Numbers]) -> None:
    """Raises DataError for a requested column that does not hold numbers."""
    channels = bool(cells.options.channels)
    what, option = ("a channel", "--channels") if channels else ("a stream", "--columns")
    for name, column in columns.items():
        reason = "empty" if column.cells == 0 else "" if column.is_numeric else "not numbers"
        if reason and cells.options.value_column == name:
            raise DataError(
                f"column {name!r} cannot be the value: {reason}", "name another with --value-column"
            )
        if reason:
            raise DataError(
                f"column {name!r} cannot be {what}: {reason}", f"leave it out of {option}"
            )


def row_notes(unsorted: int, duplicates: int, options: ReadOptions) -> list[str]:
    notes = []
    if unsorted:
        notes.append(f"{many(unsorted, 'row')} earlier than the previous row: sorted by time")
    if duplicates:
        which = options.duplicates or "first"
        notes.append(
            f"{many(duplicates, 'duplicate stamp')}: kept the {which} reading that is not missing"
        )
    return notes


def cell_notes(cells: Cells, columns: dict[str, Numbers]) -> list[str]:
    """Notes on missing and unparsable cells. Raises DataError if more than one cell in a hundred of
    a column has figures that are not a valid number."""
    notes = []
    if missing := sum(column.missing for column in columns.values()):
        holed = sum(column.missing > 0 for column in columns.values())
        notes.append(
            f"{many(missing, 'missing cell')} in {holed} of "
            f"{many(len(columns), 'column')}: missing values"
        )
    if units := [f"{column.unit!r} in {name!r}" for name, column in columns.items() if column.unit]:
        notes.append(f"units removed from the cells: {', '.join(units)}")
    for name, column in columns.items():
        if (count := int(np.count_nonzero(column.figures))) > _UNREAD_SHARE * column.cells:
            raise DataError(
                f"column {name!r}, {_first(cells, name, column.figures)} and "
                f"{many(count - 1, 'more cell')} are not numbers like the others",
                f"use --missing {_cell(cells, name, column.figures)!r} if that is not a reading, "
                "another --decimal, or --columns without this one",
            )
    bad = {name: column.unparsable for name, column in columns.items() if column.unparsable.any()}
    if bad:
        name, where = next(iter(bad.items()))
        count = sum(int(np.count_nonzero(flags)) for flags in bad.values())
        first = f"column {name!r}, {_first(cells, name, where)}"
        notes.append(f"{many(count, 'cell')} not a number: read as missing; the first is {first}")
    return notes


def _first(cells: Cells, name: str, where: Mask) -> str:
    return f"row {cells.rows[int(np.argmax(where))] + 1}: {_cell(cells, name, where)!r}"


def _cell(cells: Cells, name: str, where: Mask) -> object:
    return cells.frame[name][int(np.argmax(where))]
