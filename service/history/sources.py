"""Files, folders and globs as one history. Imports polars; call
`eddycast.service.history.read_history`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from zipfile import BadZipFile

import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.archives import Source, members
from eddycast.service.history.clearing import merged
from eddycast.service.history.csv_table import read_csv, read_lines
from eddycast.service.history.history import History
from eddycast.service.history.identity import RepeatedStampsError
from eddycast.service.history.json_lines import looks_like_json, read_json, without_forecasts
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.pieces import FILE, labels
from eddycast.service.history.remarks import Table
from eddycast.service.history.tables import read_table
from eddycast.service.history.workbooks import SUFFIXES, read_sheet
from eddycast.service.humanize import many

_PARQUET = (".parquet", ".pq")
_JSON = (".jsonl", ".ndjson", ".json")
_TEXT = (".csv", ".txt", ".tsv", ".dat", ".tab")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


@dataclass(frozen=True, slots=True)
class _Found:
    """A file or a member of an archive, and the partition values in the names of its folders
    (`day=2024-03-01`)."""

    path: Source
    partitions: dict[str, str]


def read_sources(sources: Sequence[str], options: ReadOptions) -> History:
    """Read the streams of one or many files. Raises DataError."""
    files = [found for source in sources for found in _find(source)]
    tables, notes = [], []
    for found, label in zip(
        files, labels([Path(str(found.path)).parts for found in files]), strict=True
    ):
        table, said = _read(found, options)
        tables.append(replace(table, origin=_column(label, table)))
        notes += said if len(files) == 1 else [f"{found.path.name}: {note}" for note in said]
    if len(tables) == 1:
        history = read_table(tables[0], options)
        return replace(history, notes=[history.notes[0], *notes, *history.notes[1:]])
    parts = [_read_group(group, options) for group in _groups(tables, options)]
    return _beside(parts, notes, len(files))


def _find(source: str) -> list[_Found]:
    """The files named by `source`: a file, all files below a folder,
    or the matches of a pattern."""
    path = Path(source)
    if path.is_file():
        return [_Found(each, {}) for each in members(path, _is_data)]
    if path.is_dir():
        files = sorted(
            each for each in path.rglob("*") if each.is_file() and _is_data(each.relative_to(path))
        )
    else:
        files = sorted(each for each in _fitting(path) if each.is_file())
    if not files:
        what = "contains no data files" if path.is_dir() else "no such file"
        raise DataError(
            f"{source}: {what}",
            "name a CSV, JSON lines or Parquet file, a folder, or sample:sensors",
        )
    return [_Found(each, _partitions(file)) for file in files for each in members(file, _is_data)]


def _fitting(pattern: Path) -> list[Path]:
    """The paths that match a pattern with `*`, `?` or `**`."""
    plain = list(takewhile(lambda part: not set(part) & set("*?["), pattern.parts))
    rest = pattern.parts[len(plain) :]
    return list(Path(*plain).glob("/".join(rest))) if rest else []


def _is_data(path: Path) -> bool:
    suffixes = [suffix for suffix in path.suffixes if suffix not in _PACKED]
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return (
        not hidden
        and bool(suffixes)
        and suffixes[-1].lower() in (*_PARQUET, *_JSON, *_TEXT, *SUFFIXES)
    )


def _partitions(path: Path) -> dict[str, str]:
    return dict(part.split("=", 1) for part in path.parts[:-1] if "=" in part)


def _read(found: _Found, options: ReadOptions) -> tuple[Table, list[str]]:
    path, notes = found.path, list[str]()
    try:
        if path.suffix in _PARQUET:
            file = path if isinstance(path, Path) else BytesIO(path.read_bytes())
            frame = pl.read_parquet(file, hive_partitioning=False)
            table = Table(without_forecasts(frame, notes), path.name)
        elif isinstance(path, Path) and path.suffix.lower() in SUFFIXES:
            text, notes = read_sheet(path, options.sheet)
            table, notes = read_lines(path, text, notes, replace(options, delimiter=","))
        elif path.suffix in _JSON or _begins_as_json(path):
            table, notes = read_json(path, options)
        else:
            table, notes = read_csv(path, options)
    except (pl.exceptions.PolarsError, OSError, BadZipFile, zlib.error) as error:
        said = str(error).splitlines()[0]
        raise DataError(
            f"{path}: cannot be read as a table: {said}", "check the file and --delimiter"
        ) from error
    fresh = [
        pl.lit(value).alias(name)
        for name, value in found.partitions.items()
        if name not in table.frame.columns
    ]
    labels = tuple(name for name in found.partitions if name not in table.frame.columns)
    return replace(table, frame=table.frame.with_columns(fresh), labels=labels), notes


def _begins_as_json(path: Source) -> bool:
    with path.open("rb") as file:
        return looks_like_json(file.read(4096))


def _column(label: str, table: Table) -> pl.Series:
    """The file of each row."""
    return pl.Series(FILE, [label], dtype=pl.String).new_from_index(0, len(table.frame))


def _groups(tables: list[Table], options: ReadOptions) -> list[list[Table]]:
    """Tables grouped by their columns; all together if each has the requested columns."""
    asked = {*options.columns, *options.channels} - {""}
    if asked and all(asked <= set(table.frame.columns) for table in tables):
        return [tables]
    groups: dict[tuple[str, ...], list[Table]] = {}
    for table in tables:
        groups.setdefault(tuple(sorted(table.frame.columns)), []).append(table)
    return list(groups.values())


def _read_group(tables: list[Table], options: ReadOptions) -> History:
    """Read files with the same columns as one table; where their stamps overlap, the file name
    identifies the streams, too."""
    tables = [table for table in tables if len(table.frame)] or tables[:1]
    whole = pl.concat([table.frame for table in tables], how="diagonal_relaxed")
    origin = pl.concat([table.origin for table in tables if table.origin is not None])
    table_ = replace(tables[0], frame=whole, origin=origin)
    apart = replace(table_, frame=whole.with_columns(origin), labels=(*tables[0].labels, FILE))
    if FILE in (options.stream_column or "").split(",") and FILE not in whole.columns:
        return read_table(apart, options)
    try:
        return read_table(table_, options)
    except RepeatedStampsError as error:
        if FILE in whole.columns or len(tables) == 1:
            raise
        try:
            return read_table(apart, options)
        except RepeatedStampsError:
            raise error from None


def _beside(parts: list[History], notes: list[str], files: int) -> History:
    """Combine histories of different columns. Raises DataError for a stream that is in several of
    them."""
    names = [name for part in parts for name in part.streams]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise DataError(
            f"stream {again!r} is in files of different columns",
            f"use --stream-column {FILE} for a stream of each file, or --columns for columns that "
            "all files have",
        )
    if len({part.channels for part in parts}) > 1:
        raise DataError("the files have different channels", "use --channels")
    return History(
        names,
        [stamps for part in parts for stamps in part.timestamps],
        [values for part in parts for values in part.values],
        [
            f"{many(files, 'file')} in {many(len(parts), 'table')}",
            *notes,
            *(note for part in parts for note in part.notes),
        ],
        parts[0].channels,
        merged([part.codes for part in parts]),
    )
