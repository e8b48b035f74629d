"""The open slots of one partition and the readings that change them, in columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddycast.service.processing.slots import OPEN, Grid, Stream
from eddycast.service.records import Float64, Int64

Bool = NDArray[np.bool_]


@dataclass(slots=True)
class Rows:
    """Columns [r] of the open slots of one partition; changed in place."""

    status: Int64
    slot: Int64
    due: Int64
    newest: Int64  # stamp of the newest reading, ms
    late_timestamp: Int64
    late_run: Int64
    figures: Float64  # [r, 5, channels]

    @property
    def is_open(self) -> Bool:
        """Bool [r]: rows with an open slot."""
        return self.status >= OPEN

    def at(self, row: int, grid: Grid, times: Int64) -> Stream:
        """One row as a stream, to be read one reading at a time."""
        return Stream(
            grid,
            times,
            int(self.status[row]),
            int(self.slot[row]),
            int(self.due[row]),
            int(self.newest[row]),
            int(self.late_timestamp[row]),
            int(self.late_run[row]),
            self.figures[row].copy(),
        )

    def put(self, row: int, stream: Stream) -> None:
        """Store a stream that was read."""
        self.status[row], self.slot[row], self.due[row] = stream.status, stream.slot, stream.due
        self.newest[row], self.figures[row] = stream.newest, stream.figures
        self.late_timestamp[row], self.late_run[row] = stream.late_timestamp, stream.late_run


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings [m] sorted by row, those of one row in the order of their records."""

    row: Int64
    position: Int64  # among all readings of the partition
    stamps: Int64
    values: Float64  # [m, channels]

    def of(self, which: Bool) -> Readings:
        """Those of some rows; `which` bool [m]."""
        return Readings(
            self.row[which], self.position[which], self.stamps[which], self.values[which]
        )
