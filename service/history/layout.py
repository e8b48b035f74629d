"""Detection of a table's layout: columns that identify streams, columns of values, and the rest.
Imports polars; use it through `eddycast.service.history`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history import column_words
from eddycast.service.history.identity import LOST, Identity, RepeatedStampsError
from eddycast.service.history.numbers import Numbers
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.second_clocks import is_clock, is_counter, is_part_of_time
from eddycast.service.history.time_columns import require
from eddycast.service.history.told_zones import holds_zones
from eddycast.service.records import Int64

#: Names of a column that identifies the streams of a table with one column of values,
#: even if no stamp repeats.
_STREAM = (
    "stream",
    "series",
    "sensor",
    "device",
    "meter",
    "station",
    "item",
    "unique",
    "tag",
    "key",
    "id",
    "name",
)
#: Reasons why a column can neither be a stream nor identify streams.
_OF_TIME = ("a part of the time", "a second clock")
#: Maximum number of different flags.
_FLAGS = 12
#: Tables with fewer rows may have a different stream in every row.
_FEW = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """`ids`: columns that together identify a stream (none for a wide table). `values`: columns of
    numbers, each a stream or a channel. `left_out`: the other columns, by reason."""

    ids: tuple[str, ...]
    values: tuple[str, ...]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_layout(
    frame: pl.DataFrame, milliseconds: Int64, numbers: dict[str, Numbers], options: ReadOptions
) -> Layout:
    """Detect a wide or long layout from the uniqueness of stamps;
    columns in `options` take precedence. Raises DataError."""
    told = _several(options.stream_column, frame.columns)
    asked = tuple(options.channels) or _asked_columns(frame.columns, options)
    for name in filter(None, (*told, *asked, options.value_column)):
        require(frame.columns, name)
    unfit = {
        name: reason
        for name in frame.columns
        if (reason := _unfit(name, numbers[name], milliseconds))
    }
    fit = [name for name in frame.columns if name not in unfit and name not in told]
    value = options.value_column or column_words.value_column(fit)
    judged = asked or (
        (value,) if value else tuple(name for name in fit if not _is_name_of_place(name))
    )
    clocks = {name for name, reason in unfit.items() if reason in _OF_TIME}
    clocks |= {name for name in frame.columns if holds_zones(frame[name])}
    beside = frame.drop(clocks)
    ids = told or _find_ids(beside, milliseconds, numbers, judged, value, options)
    _check_unique(Identity(frame, milliseconds, numbers), ids, judged, options)
    if options.value_column and not ids:
        others = [name for name in frame.columns if name != value]
        raise DataError(
            f"long table: none of {', '.join(others)} identifies the streams",
            "name it with --stream-column",
        )
    if asked or options.value_column:
        return Layout(ids, asked or (options.value_column or "",))
    return _guessed(frame, numbers, ids, value, fit, unfit, guessed=ids != told)


def _several(names: str | None, columns: list[str]) -> tuple[str, ...]:
    """A comma-separated list of columns, unless the whole text is the name of one column."""
    if not names or names in columns:
        return (names,) if names else ()
    return tuple(name.strip() for name in names.split(","))


def _asked_columns(columns: list[str], options: ReadOptions) -> tuple[str, ...]:
    """The names in --columns if one of them is a column;
    otherwise they are streams of a long table."""
    asked = tuple(options.columns or ())
    found = tuple(name for name in asked if name in columns)
    return asked if found else ()


def _unfit(name: str, column: Numbers, milliseconds: Int64) -> str:
    """Reason why a column cannot be a stream of numbers; empty if it can."""
    if column.cells == 0:
        return "empty"
    if not column.is_numeric:
        return "not numbers"
    if is_counter(name, column.values):
        return "a row counter"
    if is_part_of_time(name, column.values, milliseconds):
        return _OF_TIME[0]
    return _OF_TIME[1] if is_clock(name, column.values, milliseconds) else ""


def _is_name_of_place(name: str) -> bool:
    return column_words.place_word(name) or column_words.flag_word(name)


def _find_ids(
    frame: pl.DataFrame,
    milliseconds: Int64,
    numbers: dict[str, Numbers],
    values: Sequence[str],
    value: str | None,
    options: ReadOptions,
) -> tuple[str, ...]:
    """The columns that identify the streams; none for a wide table."""
    identity = Identity(frame, milliseconds, numbers)
    found = identity.find(values)
    if found:
        return found
    guess = _guess(frame, numbers)
    if guess is None or not (
        value or len(frame.columns) - len(options.channels) == 2 or options.channels
    ):
        return found or ()
    if found is not None:
        return (guess,)
    return identity.find(values, (guess,)) or (guess,)


def _guess(frame: pl.DataFrame, numbers: dict[str, Numbers]) -> str | None:
    """The column with a name for streams that is not a row counter."""
    name = column_words.named(
        frame.columns, tuple(spelling for word in _STREAM for spelling in (word, word + "id"))
    )
    if name is None or is_counter(name, numbers[name].values):
        return None
    return name if len(frame) < _FEW or frame[name].n_unique() * 2 <= len(frame) else None


def _check_unique(
    identity: Identity, ids: tuple[str, ...], values: Sequence[str], options: ReadOptions
) -> None:
    """Raises DataError if more than one reading in a hundred would be dropped because its stamp is
    repeated."""
    lost = identity.lost(ids, values)
    if lost <= LOST or options.duplicates:
        return
    told = f"under {', '.join(map(repr, ids))} " if ids else ""
    more = identity.find(values, ids) if ids else None
    streams = (
        f"--stream-column {','.join(more)}"
        if more
        else "--stream-column, if a column tells them apart"
    )
    raise RepeatedStampsError(
        f"{told}{lost:.0%} of the readings repeat a stamp with another value: they belong to "
        "several streams, or were sent again",
        f"use {streams}, or --duplicates first (or last) to keep one reading per stamp",
    )


def _guessed(
    frame: pl.DataFrame,
    numbers: dict[str, Numbers],
    ids: tuple[str, ...],
    value: str | None,
    fit: list[str],
    unfit: dict[str, str],
    guessed: bool,
) -> Layout:
    """The layout without requested columns: the column named like a value in a long table,
    else all measurements."""
    left_out: dict[str, list[str]] = {}
    for name, reason in unfit.items():
        if name not in ids:
            left_out.setdefault(reason, []).append(name)
    fit = [name for name in fit if name not in ids]
    flags = [name for name in fit if _is_flag(name, numbers[name])]
    if flags and len(flags) < len(fit):
        left_out["flags of quality"] = flags
        fit = [name for name in fit if name not in flags]
    still = [name for name in fit if _is_still(frame, name, numbers[name], ids)]
    values = [name for name in fit if name not in still]
    if not values:
        values, still = still, []
    if still:
        left_out["constant ids, places and flags"] = still
    if ids and value in values and len(values) > 1:
        left_out[f"not the value, which is {value!r}"] = [name for name in values if name != value]
        values = [value] if value else values
    if not values:
        beside = (
            "; ".join(f"{', '.join(names)}: {reason}" for reason, names in left_out.items())
            or "no other column"
        )
        if value := column_words.named(list(unfit), ("value", "y", "reading")) if ids else None:
            raise DataError(
                f"column {value!r} cannot be the value: {unfit[value]}",
                "name it with --value-column",
            )
        raise DataError(
            f"no column of numbers apart from the time ({beside})",
            "check --delimiter and --decimal",
        )
    notes = (
        [f"streams are identified by {', '.join(ids)} (override: --stream-column)"]
        if ids and guessed
        else []
    )
    notes += [
        f"columns left out ({reason}): {', '.join(names)}" for reason, names in left_out.items()
    ]
    return Layout(ids, tuple(values), left_out, notes)


def _is_flag(name: str, column: Numbers) -> bool:
    """True for a few whole numbers in a column that is named like the quality of readings."""
    known = np.unique(column.values[~np.isnan(column.values)])
    whole = bool((known == np.rint(known)).all())
    return column_words.quality_word(name) and whole and 1 < len(known) <= _FLAGS


def _is_still(frame: pl.DataFrame, name: str, column: Numbers, ids: tuple[str, ...]) -> bool:
    """True for a column named like an id, a place or a flag that is constant within each stream."""
    named = _is_name_of_place(name) or column_words.stream_rank(name) < 2
    if not named or len(column.values) < 3:
        return False
    rows = (
        frame.select(*ids, pl.Series("\0value", column.values))
        .drop_nulls()
        .filter(pl.col("\0value").is_not_nan())
    )
    return bool(rows.n_unique() == (rows.select(ids).n_unique() if ids else 1))
