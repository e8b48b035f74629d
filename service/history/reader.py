"""The door to the readers of files, without polars at import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from service.errors import DataError
from service.history.history import History
from service.history.options import ReadOptions

SAMPLE = "sample:"


def read_history(source: str | Path | Sequence[str | Path], **options: Any) -> History:
    """Read files, folders or globs of CSV, JSON lines or Parquet, or `sample:NAME` (real data that pip installs; see
    `service.history.samples`). `options` are fields of `ReadOptions`; None = as if not given.

    Raises DataError naming the column, the row and what to do.
    """
    several = source if isinstance(source, (list, tuple)) else [source]
    sources = [str(each) for each in several]
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := set(given) - {field.name for field in fields(ReadOptions)}:
        raise TypeError(f"read_history has no option {min(unknown)!r}")
    chosen = ReadOptions(**given).checked()
    try:
        from service.history import samples
        from service.history.sources import read_sources
    except ImportError as error:
        raise DataError(
            "reading history needs polars, which is not installed", "pip install 'eddycast[data]'"
        ) from error
    if len(sources) == 1 and sources[0].startswith(SAMPLE):
        if chosen.channels:
            raise DataError("the streams of a sample have one channel", "leave out --channels")
        return samples.read_sample(sources[0].removeprefix(SAMPLE))
    return read_sources(sources, chosen)
