"""Sums of scores by stream, window of time and lead, in buckets that are used in turns.

A window is six buckets: the one in progress and the five before it, so it covers five to six
sixths of its length. Time is stream time: each window ends with the stream's own last reading.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Int64

#: Windows and their lengths, ms.
WINDOWS = {"hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
#: Buckets of a window.
PARTS = 6
#: Sums of a bucket: forecasts scored, absolute error, pinball loss, covered, absolute error of the
#: last value with its count, absolute error of the seasonal naive forecast with its count.
MEASURES = (
    "n", "error", "pinball", "covered", "last_n", "last_error", "season_n", "season_error",
)  # fmt: skip
_PART_MS = np.array([length // PARTS for length in WINDOWS.values()], np.int64)


class Windows:
    """Sums of the `MEASURES` of `limit` series at `leads` leads."""

    def __init__(self, limit: int, leads: int) -> None:
        shape = (limit, len(WINDOWS), PARTS)
        self._epochs = np.zeros(shape, np.int32)
        self._sums = np.zeros((*shape, leads, len(MEASURES)), np.float32)

    @property
    def row_bytes(self) -> int:
        """Bytes of one series."""
        return int(self._epochs[0].nbytes + self._sums[0].nbytes)

    def add(self, rows: NDArray[np.intp], stamps: Int64, measures: NDArray[np.float64]) -> None:
        """Add measures [n, leads, measures] of forecasts due at `stamps`. Rows are sorted, and the
        stamps of one row rise."""
        for window, part_ms in enumerate(_PART_MS.tolist()):
            epochs = (stamps // part_ms).astype(np.int32)
            begins = np.flatnonzero(
                np.r_[True, (rows[1:] != rows[:-1]) | (epochs[1:] != epochs[:-1])]
            )
            sums = np.add.reduceat(measures, begins, axis=0)
            self._add(window, rows[begins], epochs[begins], sums)

    def _add(
        self,
        window: int,
        rows: NDArray[np.intp],
        epochs: NDArray[np.int32],
        sums: NDArray[np.float64],
    ) -> None:
        """Add sums of different buckets; those that later ones of the same row push out are left
        out, so that no place stands twice."""
        last = np.searchsorted(rows, rows, side="right") - 1
        stays = epochs > epochs[last] - PARTS
        rows, epochs, sums = rows[stays], epochs[stays], sums[stays]
        parts = epochs % PARTS
        stale = self._epochs[rows, window, parts] != epochs
        self._sums[rows[stale], window, parts[stale]] = 0
        self._epochs[rows, window, parts] = epochs
        self._sums[rows, window, parts] += sums.astype(np.float32)

    def totals(
        self, window: str, rows: NDArray[np.intp] | slice, last_stamps: Int64
    ) -> NDArray[np.float64]:
        """Sums [n, leads, measures] over a window that ends with each row's last stamp."""
        which = list(WINDOWS).index(window)
        inside = self._inside(which, rows, last_stamps)
        sums = self._sums[rows, which].astype(np.float64)
        total: NDArray[np.float64] = np.einsum("np,nplm->nlm", inside.astype(np.float64), sums)
        return total

    def one_step(
        self, window: str, rows: NDArray[np.intp], last_stamps: Int64
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Number of scored one-step forecasts and sum of their absolute errors, as `totals`."""
        which = list(WINDOWS).index(window)
        inside = self._inside(which, rows, last_stamps)
        sums = self._sums[rows, which, :, 0, :2].astype(np.float64)
        count, error = np.where(inside[..., None], sums, 0.0).sum(axis=1).T
        return count, error

    def _inside(
        self, which: int, rows: NDArray[np.intp] | slice, last_stamps: Int64
    ) -> NDArray[np.bool_]:
        """True for buckets of a window that ends with each row's last stamp."""
        newest = (last_stamps // _PART_MS[which])[:, None]
        epochs = self._epochs[rows, which]
        inside: NDArray[np.bool_] = (epochs > newest - PARTS) & (epochs <= newest)
        return inside

    def forget(self, row: int) -> None:
        """Forget the sums of a series."""
        self._sums[row] = 0
        self._epochs[row] = 0
