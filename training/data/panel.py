"""Panels: histories on the grid of a model, for training and backtests.

Slots are assigned as the service assigns them (`training/data/slots.py`), so a sensor that reads a
few seconds early or late lands in the slot that the service will choose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.history import History, is_missing
from eddycast.service.humanize import many
from eddycast.service.processing.alignment import Verdict
from eddycast.service.processing.missing_codes import Codes
from eddycast.service.records import Float64, Int64
from eddycast.service.sealing.manifest_types import Aggregate
from eddycast.training.data.slots import assign_slots

#: Slots of a gap beyond which a stream's phase is found anew, and a backtest feeds no readings
#: without a value.
MAX_GAP = 512
#: Most cells of a panel (8 bytes each); more means that the interval does not fit the history.
MAX_CELLS = 200_000_000
#: Beyond this many cells, this share of the slots must hold a reading.
SPARSE_CELLS, SPARSE_SHARE = 5_000_000, 0.01

#: Share of readings beyond the first of their slot, above which a history is finer than the grid.
_FINER = 0.01

_DROPPED = [int(verdict) for verdict in (Verdict.DUPLICATE, Verdict.SECOND, Verdict.LATE)]


@dataclass(frozen=True, slots=True)
class Panel:
    """Streams on one contiguous grid. Row t of the grid is the slot that starts at `timestamps[t]`.

    Channels are separate series in `streams` and `values`, those of a stream one after the other,
    named after the channel if there is one stream, else `stream/channel`. For counters, `values`
    are the increases, which are learned and scored, and `readings` the raw values, which the
    service is fed.
    """

    streams: list[str]
    timestamps: Int64  # [T], ms since the epoch: slot * interval_ms
    values: Float64  # [streams, T], NaN = missing
    interval_ms: int
    notes: list[str] = field(default_factory=list)
    channels: tuple[str, ...] = ()  # of every stream; none = one without a name
    readings: Float64 | None = None  # [streams, T], of counters alone
    register: float | None = None  # size of the register that the counters count in
    codes: Codes = ()  # numbers that were taken as missing, by channel; none = no channel
    count: str | None = None  # the channel that is the number of readings of each slot
    aggregate: Aggregate | None = None  # of the readings of each slot; None = there was one

    def __len__(self) -> int:
        """Rows of the grid."""
        return len(self.timestamps)

    @property
    def kind(self) -> Literal["gauge", "counter"]:
        """The kind of the streams."""
        return "gauge" if self.readings is None else "counter"

    @property
    def fed(self) -> Float64:
        """The raw readings [streams, T], as the service reads them."""
        return self.values if self.readings is None else self.readings

    @property
    def observations(self) -> int:
        """Number of cells with a reading."""
        return int(np.count_nonzero(~np.isnan(self.fed)))

    def rows(self, start: int, stop: int) -> Panel:
        """The rows `start <= t < stop` of the grid, as views."""
        readings = None if self.readings is None else self.readings[:, start:stop]
        return replace(
            self,
            timestamps=self.timestamps[start:stop],
            values=self.values[:, start:stop],
            readings=readings,
        )

    @property
    def width(self) -> int:
        """Channels of a stream."""
        return max(len(self.channels), 1)

    def only(self, channels: Sequence[str]) -> Panel:
        """The panel with these of its channels, in this order."""
        places = [self.channels.index(name) for name in channels]
        rows = (np.arange(0, len(self.streams), self.width)[:, None] + places).ravel()
        return replace(
            self,
            streams=[self.streams[row] for row in rows],
            values=self.values[rows],
            channels=tuple(channels),
        )

    def take(self, rows: Sequence[int]) -> Panel:
        """The panel with these of its series, all channels of a stream among them."""
        return replace(
            self,
            streams=[self.streams[row] for row in rows],
            values=self.values[rows],
            readings=None if self.readings is None else self.readings[rows],
        )

    def history(self) -> History:
        """The panel as readings at the start of each slot, from a stream's first value to its last.
        A stream of several channels is named after its first one.

        A missing cell is a reading without a value,
        except in an outage of more than `MAX_GAP` slots.
        """
        names, stamps, values = [], [], []
        first = range(0, len(self.streams), self.width)
        rows = [self.fed[i : i + self.width].T if self.channels else self.fed[i] for i in first]
        for name, row in zip(self.streams[:: self.width], rows, strict=True):
            seen = np.flatnonzero(~is_missing(row))
            if not len(seen):
                continue
            keep = np.ones(len(row), dtype=bool)
            keep[: seen[0]] = keep[seen[-1] + 1 :] = False
            for i in np.flatnonzero(np.diff(seen) > MAX_GAP):
                keep[seen[i] + 1 : seen[i + 1]] = False
            names.append(name)
            stamps.append(self.timestamps[keep])
            values.append(row[keep])
        return History(names, stamps, values, list(self.notes), self.channels, self.codes)


def make_panel(history: History, interval_ms: int, max_gap: int = MAX_GAP) -> Panel:
    """Put every reading into its slot as the service will;
    of several readings in a slot the first is kept.

    The grid spans the slots of all streams. Raises DataError if it does not fit into memory,
    and without readings.
    """
    placed: list[tuple[Int64, Float64]] = []
    dropped = 0
    for stamps, values in zip(history.timestamps, history.values, strict=True):
        slots, verdicts = assign_slots(stamps, interval_ms, max_gap)
        kept = ~np.isin(verdicts, _DROPPED)
        dropped += len(kept) - int(np.count_nonzero(kept))
        placed.append((slots[kept], values[kept]))
    filled = [slots for slots, _ in placed if len(slots)]
    if not filled:
        raise DataError("the history has no readings", "give a file with observations")
    first = min(int(slots.min()) for slots in filled)
    length = max(int(slots.max()) for slots in filled) - first + 1
    width = max(len(history.channels), 1)
    _check_size(np.unique(np.concatenate(filled)), length * len(placed) * width, interval_ms)
    grid = np.full((len(placed), width, length), np.nan)
    for rows, (slots, values) in zip(grid, placed, strict=True):
        rows[:, slots - first] = values.reshape(-1, width).T
    notes = list(history.notes)
    if dropped:
        notes.append(
            f"{dropped:,} readings are second in their {format_duration(interval_ms)} slot: dropped"
        )
    timestamps, values = (np.arange(length) + first) * interval_ms, grid.reshape(-1, length)
    return Panel(
        _series(history),
        timestamps,
        values,
        interval_ms,
        notes,
        history.channels,
        codes=history.codes,
        aggregate="first" if dropped > _FINER * len(history) else None,
    )


def _series(history: History) -> list[str]:
    """Names of the series: one for each channel of each stream."""
    if not history.channels:
        return list(history.streams)
    if len(history.streams) == 1:
        return list(history.channels)
    return [f"{stream}/{channel}" for stream in history.streams for channel in history.channels]


def _check_size(slots: Int64, cells: int, interval_ms: int) -> None:
    """Raises DataError for a grid too large for memory, or a large one that is nearly empty.
    `slots` rise."""
    if cells <= SPARSE_CELLS or (
        cells <= MAX_CELLS and len(slots) > (slots[-1] - slots[0]) * SPARSE_SHARE
    ):
        return
    gap = int(np.argmax(np.diff(slots)))
    before, after = (
        np.datetime64(int(slot) * interval_ms, "ms").astype("M8[s]")
        for slot in slots[gap : gap + 2]
    )
    raise DataError(
        f"{many(len(slots), 'reading')} lie in a grid of {cells:,} cells of "
        f"{format_duration(interval_ms)}, with a gap from {before} to {after}",
        "choose a longer --interval, or repair stamps far from the others",
    )


def fingerprint(panel: Panel) -> str:
    """sha256 over the names, stamps and readings of a panel."""
    digest = hashlib.sha256("\0".join(panel.streams).encode())
    digest.update(np.ascontiguousarray(panel.timestamps).astype("<i8").tobytes())
    for row in panel.fed:
        digest.update(np.where(np.isnan(row), np.nan, row).astype("<f8").tobytes())
    return digest.hexdigest()
