"""Observations by stream, independent of the file format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddycast.service.processing.missing_codes import Codes
from eddycast.service.records import Float64, Int64

Mask = NDArray[np.bool_]
#: The channel of a stream that has only one.
UNNAMED = ("value",)


@dataclass(frozen=True, slots=True)
class History:
    """Observations by stream. The three lists are parallel: entry i belongs to `streams[i]`.

    `timestamps[i]` [n] are strictly increasing, ms since the epoch, UTC. `values[i]` are [n], or
    [n, channels] where a stream has several channels; NaN = missing. `notes` are one line each
    about how the file was read.
    """

    streams: list[str]
    timestamps: list[Int64]
    values: list[Float64]
    notes: list[str]
    channels: tuple[str, ...] = ()  # empty = one value per reading
    # by channel: numbers that stood for missing values and are a reading in no stream
    codes: Codes = ()

    def __len__(self) -> int:
        """Number of readings in all streams, missing ones included."""
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
        """The readings with `start_ms <= stamp < end_ms`; streams without any are dropped.
        Arrays are views."""
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
            self.codes,
        )


def is_missing(values: Float64) -> Mask:
    """bool [n]: True where readings [n] or [n, channels] have no value at all."""
    return np.asarray(np.isnan(values).all(axis=tuple(range(1, values.ndim))))


def stream_history(
    name: str, timestamps: Int64, values: Float64, last: bool = False
) -> tuple[History, int, int]:
    """(history, number of rows out of order, number of duplicates dropped) of one stream, from rows
    in any order; values are [n] or [n, channels].

    Among rows with the same stamp the first one that is not missing is kept, as in the service,
    or the last such one with `last`.
    """
    unsorted = int(np.count_nonzero(np.diff(timestamps) < 0))
    place = np.arange(len(timestamps))
    order = np.lexsort((-place if last else place, is_missing(values), timestamps))
    stamps = timestamps[order]
    first = np.ones(len(stamps), dtype=bool)
    first[1:] = stamps[1:] != stamps[:-1]
    kept = order[first]
    history = History([name], [timestamps[kept]], [values[kept]], [])
    return history, unsorted, len(timestamps) - len(kept)
