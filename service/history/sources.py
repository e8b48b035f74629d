"""Files, folders and globs as one history. Imports polars; call
`eddycast.service.history.read_history`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.clearing import merged
from eddycast.service.history.csv_table import read_csv
from eddycast.service.history.history import History
from eddycast.service.history.json_lines import looks_like_json, read_json, without_forecasts
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.remarks import Table
from eddycast.service.history.tables import read_table
from eddycast.service.humanize import many

_PARQUET = (".parquet", ".pq")
_JSON = (".jsonl", ".ndjson", ".json")
_TEXT = (".csv", ".txt", ".tsv", ".dat", ".tab")
_PACKED = (".gz", ".bz2", ".xz")
#: Name of the column of file names, which is added where the stamps of several files overlap.
FILE = "file"


@dataclass(frozen=True, slots=True)
class _Found:
    """A file, and the partition values in the names of its folders (`day=2024-03-01`)."""

    path: Path
    partitions: dict[str, str]


def read_sources(sources: Sequence[str], options: ReadOptions) -> History:
    """Read the streams of one or many files. Raises DataError."""
    files = [found for source in sources for found in _find(source)]
    tables, notes = [], []
    for found in files:
        table, said = _read(found, options)
        tables.append(table)
        notes += said if len(files) == 1 else [f"{found.path.name}: {note}" for note in said]
    if len(tables) == 1:
        history = read_table(tables[0], options)
        return replace(history, notes=[history.notes[0], *notes, *history.notes[1:]])
    return _beside([_read_group(group, options) for group in _groups(tables)], notes, len(files))


def _find(source: str) -> list[_Found]:
    """The files named by `source`: a file, all files below a folder,
    or the matches of a pattern."""
    path = Path(source)
    if path.is_file():
        return [_Found(path, {})]
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
    return [_Found(each, _partitions(each)) for each in files]


def _fitting(pattern: Path) -> list[Path]:
    """The paths that match a pattern with `*`, `?` or `**`."""
    plain = list(takewhile(lambda part: not set(part) & set("*?["), pattern.parts))
    rest = pattern.parts[len(plain) :]
    return list(Path(*plain).glob("/".join(rest))) if rest else []


def _is_data(path: Path) -> bool:
    suffixes = [suffix for suffix in path.suffixes if suffix not in _PACKED]
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return not hidden and bool(suffixes) and suffixes[-1].lower() in (*_PARQUET, *_JSON, *_TEXT)


def _partitions(path: Path) -> dict[str, str]:
    return dict(part.split("=", 1) for part in path.parts[:-1] if "=" in part)


def _read(found: _Found, options: ReadOptions) -> tuple[Table, list[str]]:
    path, notes = found.path, list[str]()
    try:
        if path.suffix in _PARQUET:
            table = Table(
                without_forecasts(pl.read_parquet(path, hive_partitioning=False), notes), path.name
            )
        elif path.suffix in _JSON or _begins_as_json(path):
            table, notes = read_json(path, options)
        else:
            table, notes = read_csv(path, options)
    except (pl.exceptions.PolarsError, OSError) as error:
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


def _begins_as_json(path: Path) -> bool:
    with path.open("rb") as file:
        return looks_like_json(file.read(4096))


def _groups(tables: list[Table]) -> list[list[Table]]:
    """Tables grouped by their columns."""
    groups: dict[tuple[str, ...], list[Table]] = {}
    for table in tables:
        groups.setdefault(tuple(sorted(table.frame.columns)), []).append(table)
    return list(groups.values())


def _read_group(tables: list[Table], options: ReadOptions) -> History:
    """Read files with the same columns as one table;
    where their stamps overlap, the file name identifies the streams."""
    if len(tables) == 1:
        return read_table(tables[0], options)
    frames = [
        table.frame.with_columns(pl.lit(table.name.split(".")[0]).alias(FILE))
        for table in tables
        if len(table.frame)
    ]
    if not frames:
        return read_table(tables[0], options)
    whole = pl.concat(frames, how="diagonal_relaxed")
    try:
        return read_table(replace(tables[0], frame=whole.drop(FILE)), options)
    except DataError as error:
        if options.stream_column or options.channels:
            raise
        try:
            return read_table(
                replace(tables[0], frame=whole, labels=(*tables[0].labels, FILE)),
                replace(options, stream_column=FILE),
            )
        except DataError:
            raise error from None


def _beside(parts: list[History], notes: list[str], files: int) -> History:
    """Combine histories of different columns. Raises DataError for a stream that is in several of
    them."""
    names = [name for part in parts for name in part.streams]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise DataError(
            f"stream {again!r} is in files of different columns",
            "read them one by one, or use --columns",
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
