"""History: a file of observations as streams. What the trainer, the backtest, `replay` and `simulate` read.

A file is CSV or Parquet, *wide* (one time column, one numeric column a stream) or *long* (stream, time, value a row).
Rows out of order, duplicate stamps and missing cells are normal input: they are repaired and said in `notes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import DataError
from service.records import Float64, Int64


@dataclass(frozen=True, slots=True)
class History:
    """Observations by stream. The three lists are parallel: entry i belongs to `streams[i]`.

    `timestamps[i]` are strictly increasing, ms since the epoch, UTC; `values[i]` has the same length, NaN = missing:
    [n], or [n, channels] where a stream has several. `notes` says in one line each what was found in the file and what
    was done about it.
    """

    streams: list[str]
    timestamps: list[Int64]
    values: list[Float64]
    notes: list[str]
    channels: tuple[str, ...] = ()  # names of them; none = one value a reading

    def __len__(self) -> int:
        """Readings in all streams, missing ones included."""
        return sum(len(stamps) for stamps in self.timestamps)

    @property
    def start_ms(self) -> int:
        """The first stamp of all streams."""
        return min(int(stamps[0]) for stamps in self.timestamps if len(stamps))

    @property
    def end_ms(self) -> int:
        """The last stamp of all streams."""
        return max(int(stamps[-1]) for stamps in self.timestamps if len(stamps))

    def between(self, start_ms: int | None = None, end_ms: int | None = None) -> History:
        """The readings with `start_ms <= stamp < end_ms`; streams without any are dropped. Arrays are views."""
        low = np.iinfo(np.int64).min if start_ms is None else start_ms
        high = np.iinfo(np.int64).max if end_ms is None else end_ms
        cuts = [slice(*np.searchsorted(stamps, [low, high])) for stamps in self.timestamps]
        keep = [i for i, cut in enumerate(cuts) if cut.stop > cut.start]
        return History(
            [self.streams[i] for i in keep],
            [self.timestamps[i][cuts[i]] for i in keep],
            [self.values[i][cuts[i]] for i in keep],
            list(self.notes),
            self.channels,
        )


def is_missing(values: Float64) -> NDArray[np.bool_]:
    """[n] whether readings [n] or [n, channels] hold no value at all."""
    return np.asarray(np.isnan(values).all(axis=tuple(range(1, values.ndim))))


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file where its column names do not say enough. See `read_history`."""

    time_column: str | None = None
    stream_column: str | None = None
    value_column: str | None = None
    columns: tuple[str, ...] | None = None
    timezone: str = "UTC"
    delimiter: str | None = None
    decimal: str | None = None
    missing: tuple[str, ...] = ()
    not_missing: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    stream: str | None = None


def read_history(
    source: str | Path,
    *,
    time_column: str | None = None,
    stream_column: str | None = None,
    value_column: str | None = None,
    columns: Sequence[str] | None = None,
    timezone: str = "UTC",
    delimiter: str | None = None,
    decimal: str | None = None,
    missing: Sequence[str] | None = None,
    not_missing: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    stream: str | None = None,
) -> History:
    """Read a CSV (also .gz) or Parquet file, or `sample:NAME` (real data that pip installs; see `service.samples`).

    `time_column` may name several columns, comma-separated (`year,month,day,hour` or `date,time`). `columns` are the
    columns to take of a wide file, the streams to take of a long one. Stamps without a zone are read in `timezone`.
    `decimal` is the decimal mark; `missing` are further spellings of a missing value, for example `-200`. Codes for one
    that are found by themselves (`service.sentinels`) become missing and are noted, unless `not_missing` names them.
    `channels` are the columns that make the values of one stream, which is named `stream` (the file's name unless
    given), or of every stream of a long file.
    Raises DataError naming the column, the row and what to do.
    """
    options = ReadOptions(
        time_column,
        stream_column,
        value_column,
        None if columns is None else tuple(columns),
        timezone,
        delimiter,
        decimal,
        tuple(missing or ()),
        tuple(not_missing or ()),
        _several(channels),
        stream,
    )
    try:
        from service import samples, tables
    except ImportError as error:
        raise DataError(
            "reading history needs polars, which is not installed", "pip install 'eddycast[data]'"
        ) from error
    if str(source).startswith("sample:"):
        if channels:
            raise DataError("the streams of a sample have one channel", "leave out --channels")
        return samples.read_sample(str(source).removeprefix("sample:"))
    return tables.read_table(Path(source), options)


def _several(channels: Sequence[str] | None) -> tuple[str, ...]:
    """The channels. Raises DataError for one alone, and for one named twice."""
    if channels is None:
        return ()
    if len(set(channels)) < max(2, len(channels)):
        raise DataError(
            f"--channels {','.join(channels)} are not two or more columns", "for one value a reading use --columns"
        )
    return tuple(channels)


def stream_history(name: str, timestamps: Int64, values: Float64) -> tuple[History, int, int]:
    """One stream's history from rows in any order: `(history, rows out of order, duplicate rows dropped)`; values [n]
    or [n, channels].

    Of several rows with one stamp the first that is not missing is kept, as the service keeps the first it receives.
    """
    unsorted = int(np.count_nonzero(np.diff(timestamps) < 0))
    order = np.lexsort((is_missing(values), timestamps))
    stamps = timestamps[order]
    first = np.ones(len(stamps), dtype=bool)
    first[1:] = stamps[1:] != stamps[:-1]
    kept = order[first]
    history = History([name], [timestamps[kept]], [values[kept]], [])
    return history, unsorted, len(timestamps) - len(kept)
