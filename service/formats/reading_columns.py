"""Readings of a batch as columns, with the record that each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from eddycast.service.formats.outcomes import Reading
from eddycast.service.records import Float64, Int64


@dataclass(frozen=True, slots=True)
class ReadingColumns:
    """Readings in the order of their records."""

    rows: Int64  # index of the record of each reading, ascending
    streams: list[bytes]
    timestamps: Int64  # ms
    values: Float64  # [n, channels]; NaN = missing
    places: list[str]  # inside the record; "" = the whole

    @classmethod
    def of(cls, found: Sequence[tuple[int, Reading]], channels: int) -> Self:
        """Columns of readings, each with the index of its record."""
        return cls(
            np.array([row for row, _ in found], np.int64),
            [reading.stream for _, reading in found],
            np.array([reading.timestamp for _, reading in found], np.int64),
            np.array([reading.values for _, reading in found], np.float64).reshape(-1, channels),
            [reading.place for _, reading in found],
        )

    def merged(self, other: ReadingColumns) -> ReadingColumns:
        """Return the readings of both, which belong to different records."""
        if not len(other.rows) or not len(self.rows):
            return self if len(self.rows) else other
        rows = np.concatenate([self.rows, other.rows])
        order = np.argsort(rows, kind="stable")
        at = order.tolist()
        streams, places = self.streams + other.streams, self.places + other.places
        return ReadingColumns(
            rows[order],
            [streams[i] for i in at],
            np.concatenate([self.timestamps, other.timestamps])[order],
            np.concatenate([self.values, other.values])[order],
            [places[i] for i in at],
        )
