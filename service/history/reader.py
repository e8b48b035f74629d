"""Reading of DATA, in general and for a bundle. polars is imported only when something is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eddycast.service.errors import DataError
from eddycast.service.history.history import History
from eddycast.service.history.options import ReadOptions
from eddycast.service.humanize import many

if TYPE_CHECKING:
    from eddycast.service.bundle import Manifest

SAMPLE = "sample:"
DEFAULTS = ReadOptions()


def read_history(
    source: str | Path | Sequence[str | Path], options: ReadOptions = DEFAULTS
) -> History:
    """Read files, folders or globs of CSV, JSON lines or Parquet, or `sample:NAME` (real data that
    pip installs; see `eddycast.service.history.samples`).

    Raises DataError naming the column, the row and the remedy.
    """
    several = source if isinstance(source, (list, tuple)) else [source]
    sources = [str(each) for each in several]
    try:
        from eddycast.service.history import samples
        from eddycast.service.history.sources import read_sources
    except ImportError as error:
        raise DataError(
            "reading history needs polars, which is not installed", "pip install 'eddycast[data]'"
        ) from error
    if len(sources) == 1 and sources[0].startswith(SAMPLE):
        if options.channels:
            raise DataError("the streams of a sample have one channel", "leave out --channels")
        return samples.read_sample(sources[0].removeprefix(SAMPLE))
    return read_sources(sources, options)


def read_for_bundle(source: Sequence[str], options: ReadOptions, manifest: Manifest) -> History:
    """Read history as input of a bundle, as the service reads records: with the bundle's channels,
    unless `options` name others, and with its codes for a missing value. Raises DataError."""
    read = manifest.read_channels
    own = read if len(read) > 1 else ()
    codes = manifest.channel_codes[: len(read)] if manifest.contract > 1 else None
    history = read_history(source, replace(options, channels=options.channels or own, codes=codes))
    if len(history.channels) != len(own):
        raise DataError(
            f"{manifest.label} takes {many(len(read), 'channel')}, "
            f"--channels names {len(history.channels)}",
            f"its channels are {', '.join(read)}",
        )
    return history
