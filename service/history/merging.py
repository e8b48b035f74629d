"""Readings of a history in the order of their stamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eddycast.service.errors import DataError
from eddycast.service.history.history import History
from eddycast.service.records import Float64, Int64


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of all streams in the order of their stamps: columns of [n] rows;
    `stream` indexes `streams`."""

    streams: list[str]
    stream: Int64
    timestamps: Int64  # ms since the epoch, UTC
    values: Float64  # [n, channels], NaN = missing

    def __len__(self) -> int:
        return len(self.timestamps)


def merge(history: History, *, streams: Sequence[str] = (), limit: int | None = None) -> Readings:
    """The first `limit` readings of `streams` (empty = all) by stamp.
    Raises DataError for an unknown stream."""
    if unknown := [name for name in streams if name not in history.streams]:
        raise DataError(
            f"there is no stream {unknown[0]!r}", f"there are {', '.join(history.streams[:9])}"
        )
    chosen = (
        [history.streams.index(name) for name in streams]
        if streams
        else list(range(len(history.streams)))
    )
    stamps = np.concatenate([history.timestamps[i] for i in chosen])
    order = np.argsort(stamps, kind="stable")[:limit]
    stream = np.repeat(np.arange(len(chosen)), [len(history.timestamps[i]) for i in chosen])
    width = max(len(history.channels), 1)
    values = np.concatenate([history.values[i].reshape(-1, width) for i in chosen])
    return Readings(
        [history.streams[i] for i in chosen], stream[order], stamps[order], values[order]
    )
