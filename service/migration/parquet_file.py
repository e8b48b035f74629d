"""Exports as Parquet files: one row per stream, a column per prefix field and per tensor,
bit-exact.

Tensors are arrays of their own dtype and shape, readable by any Parquet reader; the `Header` is
stored in the file's metadata. Imports polars.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError
from pydantic import ValidationError

from eddycast.service.bundle import Manifest, TensorSpec
from eddycast.service.errors import DataError, StateError
from eddycast.service.migration.export import Exported, Header
from eddycast.service.records import ROW_PREFIX
from eddycast.service.sealing.parts import CORE
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.adoption import other_meaning
from eddycast.service.state.changelog import RowCodec
from eddycast.service.state.model_record import ModelRecord, initial_record, kept_parts
from eddycast.service.state.own_tensors import row_specs

#: Key of the `Header` in the file's metadata.
KEY = "eddycast.state"
_EXPORT_AGAIN = "export again with `eddycast state export`"


def write_export(exported: Exported, path: Path) -> None:
    """Write an export atomically. Raises DataError if the file cannot be written."""
    columns = {
        "stream": pl.Series([stream.decode() for stream in exported.streams], dtype=pl.String),
        "partition": pl.Series(exported.partition),
        **{
            name: pl.Series(np.ascontiguousarray(exported.prefix[name]))
            for name in ROW_PREFIX.names or ()
        },
        **{
            f"state.{name}": pl.Series(np.ascontiguousarray(t))
            for name, t in exported.tensors.items()
        },
    }
    part = path.with_name(f".{path.name}.part")
    try:
        pl.DataFrame(columns).write_parquet(part, metadata={KEY: exported.header.model_dump_json()})
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error}", "choose a file in a writable directory"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def read_export(path: Path, manifest: Manifest, time: TimeSettings) -> Exported:
    """Read a file that `write_export` wrote; parts that the bundle does not keep are zeros, and so
    is what the settings of `time` ask for and the file does not have.

    Raises DataError for a damaged or foreign file, StateError for rows that the bundle cannot use.
    """
    try:
        text = pl.read_parquet_metadata(path).get(KEY)
    except (OSError, PolarsError) as error:
        raise DataError(
            f"{path} is not a Parquet file: {_first_line(error)}", _EXPORT_AGAIN
        ) from error
    if text is None:
        raise DataError(
            f"{path} is a Parquet file that `eddycast state export` did not write", _EXPORT_AGAIN
        )
    header = _header(path, text)
    specs = row_specs(manifest, time)
    new = initial_record(manifest, RowCodec(specs).layout)
    kept = _kept(path, header, new, bool(manifest.parts))
    try:
        frame = pl.read_parquet(path)
        kept |= _own(frame, specs[len(manifest.state) :])
        exported = _columns(header, frame, specs, kept)
        _check_whole(exported)
    except (OSError, PolarsError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {_first_line(error)}", _EXPORT_AGAIN) from error
    return exported


def _own(frame: pl.DataFrame, specs: Sequence[TensorSpec]) -> set[str]:
    """Return the names of the service's own tensors that a file has."""
    return {spec.name for spec in specs if f"state.{spec.name}" in frame.columns}


def _kept(path: Path, header: Header, new: ModelRecord, declares_parts: bool) -> set[str]:
    """Return the names of the tensors that the bundle keeps.
    Raises StateError if it cannot use the rows."""
    old = header.rows_of
    if old is None:
        if header.layout != new.layout or declares_parts:
            what = (
                f"{path}: rows of {header.model} without a record "
                f"of their meaning cannot be used by {new.model}"
            )
            raise StateError(what, f"set bundle.directory to the bundle of {header.model}")
        return {spec.name for part in new.parts for spec in part.tensors}
    names = kept_parts(old, new)
    if CORE not in names:
        raise other_meaning(str(path), old, new)
    return {spec.name for part in new.parts if part.name in names for spec in part.tensors}


def _header(path: Path, text: str) -> Header:
    try:
        header = Header.model_validate_json(text)
    except ValidationError as error:
        raise DataError(
            f"{path}: written by another version of Eddycast", "import it with that version"
        ) from error
    if any(not 0 <= part.partition < header.partitions for part in header.parts):
        raise DataError(
            f"{path} is damaged: it names a partition that does not exist", _EXPORT_AGAIN
        )
    return header


def _columns(
    header: Header, frame: pl.DataFrame, specs: Sequence[TensorSpec], taken: Collection[str]
) -> Exported:
    """Return the rows with the tensors `taken` from the file and zeros for the others.

    Raises PolarsError for a missing column, ValueError or TypeError for one of the wrong dtype or
    shape.
    """
    prefix = np.zeros(len(frame), ROW_PREFIX)
    for name in ROW_PREFIX.names or ():
        prefix[name] = _numbers(frame, name, ROW_PREFIX[name], ())

    def tensor(spec: TensorSpec) -> NDArray[Any]:
        if spec.name not in taken:
            return np.zeros((len(frame), *spec.shape), spec.dtype)
        return _numbers(frame, f"state.{spec.name}", np.dtype(spec.dtype), tuple(spec.shape))

    return Exported(
        header,
        [stream.encode() for stream in frame["stream"].to_list()],
        _numbers(frame, "partition", np.dtype(np.int64), ()),
        prefix,
        {spec.name: tensor(spec) for spec in specs},
    )


def _check_whole(exported: Exported) -> None:
    """Raise ValueError unless the rows match the header."""
    partitions, counts = np.unique(exported.partition, return_counts=True)
    expected = {part.partition: part.streams for part in exported.header.parts if part.streams}
    if dict(zip(partitions.tolist(), counts.tolist(), strict=True)) != expected:
        raise ValueError("the number of rows differs from the header")
    if len(set(exported.streams)) != len(exported.streams):
        raise ValueError("a stream has two rows")


def _numbers(
    frame: pl.DataFrame, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Return a column as an array [n, *shape]; raises ValueError for another dtype or shape."""
    found = frame[name].to_numpy()
    if found.dtype != dtype or found.shape != (len(frame), *shape):
        raise ValueError(f"column {name} is {found.dtype} {found.shape[1:]}, not {dtype} {shape}")
    return found


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
