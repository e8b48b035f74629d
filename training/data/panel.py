"""What the trainer and the backtest see of a history: a panel on the model's grid, cut by time.

The slots of a panel are the service's own (`service.processing.alignment.assign_slots`), so a sensor that reads a few
seconds early or late lands where the service will put it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from service.errors import DataError
from service.history import History, is_missing
from service.humanize import many
from service.processing.alignment import Verdict
from service.processing.missing_codes import Codes
from service.records import Float64, Int64
from training.data.slots import assign_slots

#: A gap beyond this many slots makes the service start a stream afresh, unless a manifest says otherwise.
MAX_GAP = 512
#: Cells that a panel may have (8 bytes each): more means that the interval does not fit the history.
MAX_CELLS = 200_000_000
#: From so many cells on, so large a share of the slots has to hold a reading.
SPARSE_CELLS, SPARSE_SHARE = 5_000_000, 0.01

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_LONGEST_MS = 1_000 * 366 * _UNITS_MS["d"]
_DROPPED = [int(verdict) for verdict in (Verdict.DUPLICATE, Verdict.SECOND, Verdict.LATE)]


@dataclass(frozen=True, slots=True)
class Panel:
    """Streams on one contiguous grid. Row t of the grid is the slot that starts at `timestamps[t]`.

    Where a stream has several channels, each stands for itself in `streams` and `values`, those of a stream one after
    the other, under the channel's name if there is one stream, else under `stream/channel`. Of counters `values` are
    the increases, which are learned and judged, and `readings` what the service is fed.
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

    def __len__(self) -> int:
        """Rows of the grid."""
        return len(self.timestamps)

    @property
    def kind(self) -> Literal["gauge", "counter"]:
        """What the streams are."""
        return "gauge" if self.readings is None else "counter"

    @property
    def fed(self) -> Float64:
        """[streams, T] what sensors sent, as the service reads it."""
        return self.values if self.readings is None else self.readings

    @property
    def observations(self) -> int:
        """Cells that hold a reading."""
        return int(np.count_nonzero(~np.isnan(self.fed)))

    def rows(self, start: int, stop: int) -> Panel:
        """The rows `start <= t < stop` of the grid, as views."""
        readings = None if self.readings is None else self.readings[:, start:stop]
        return replace(
            self, timestamps=self.timestamps[start:stop], values=self.values[:, start:stop], readings=readings
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
            self, streams=[self.streams[row] for row in rows], values=self.values[rows], channels=tuple(channels)
        )

    def history(self) -> History:
        """The panel as readings at the start of each slot, from a stream's first value to its last; a stream of several
        channels under the name of its first.

        A missing cell is a reading without a value, except in an outage of more than `MAX_GAP` slots.
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
    """Put every reading into its slot, as the service will: of several readings in a slot the first is kept.

    The grid runs from the first slot of all streams to the last. Raises DataError if it does not fit into memory.
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
        notes.append(f"{dropped:,} readings are second in their {format_duration(interval_ms)} slot: dropped")
    timestamps, values = (np.arange(length) + first) * interval_ms, grid.reshape(-1, length)
    return Panel(_series(history), timestamps, values, interval_ms, notes, history.channels, codes=history.codes)


def _series(history: History) -> list[str]:
    """What each channel of each stream is called."""
    if not history.channels:
        return list(history.streams)
    if len(history.streams) == 1:
        return list(history.channels)
    return [f"{stream}/{channel}" for stream in history.streams for channel in history.channels]


def _check_size(slots: Int64, cells: int, interval_ms: int) -> None:
    """Raises DataError for a grid too large for memory, or a large one that is all but empty. `slots` rise."""
    if cells <= SPARSE_CELLS or (cells <= MAX_CELLS and len(slots) > (slots[-1] - slots[0]) * SPARSE_SHARE):
        return
    gap = int(np.argmax(np.diff(slots)))
    before, after = (np.datetime64(int(slot) * interval_ms, "ms").astype("M8[s]") for slot in slots[gap : gap + 2])
    raise DataError(
        f"{many(len(slots), 'reading')} lie in a grid of {cells:,} cells of {format_duration(interval_ms)}, with a gap "
        f"from {before} to {after}",
        "choose a longer --interval, or repair stamps far from the others",
    )


@dataclass(frozen=True, slots=True)
class Split:
    """Where a panel is cut: rows [0, train_end), [train_end, validation_end), and hold-out [validation_end, end)."""

    train_end: int
    validation_end: int
    end: int

    @classmethod
    def parse(cls, text: str | None, rows: int) -> Split:
        """`8640,2880,2880` (rows of the grid) or `.7,.1,.2` (fractions of it): train, validation, hold-out, from the
        first row on. None = `.7,.1,.2`. Raises DataError."""
        text = text or ".7,.1,.2"
        try:
            parts = [float(part) for part in text.split(",")]
        except ValueError:
            parts = []
        if len(parts) != 3 or not all(0 < part < math.inf for part in parts):
            raise DataError(f"--split {text!r} is not three positive numbers", "for example 8640,2880,2880 or .7,.1,.2")
        if all(part < 1 for part in parts):
            if sum(parts) > 1 + 1e-9:
                raise DataError(
                    f"--split {text!r}: the fractions are {sum(parts):g} together", "they must not exceed 1"
                )
            cuts = [round(rows * cut) for cut in np.cumsum(parts).tolist()]
        elif any(part != int(part) for part in parts):
            raise DataError(f"--split {text!r} mixes rows and fractions", "give three of the one or of the other")
        else:
            cuts = [int(cut) for cut in np.cumsum(parts).tolist()]
        if cuts[2] > rows:
            raise DataError(f"--split {text!r} needs {cuts[2]:,} rows, the grid has {rows:,}", "give smaller parts")
        if not 0 < cuts[0] < cuts[1] < cuts[2]:
            raise DataError(f"--split {text!r} leaves a part of {rows:,} rows empty", "give larger parts or more data")
        return cls(*cuts)


def fingerprint(panel: Panel) -> str:
    """sha256 over the names, stamps and readings of a panel: the same data, the same word."""
    digest = hashlib.sha256("\0".join(panel.streams).encode())
    digest.update(np.ascontiguousarray(panel.timestamps).astype("<i8").tobytes())
    for row in panel.fed:
        digest.update(np.where(np.isnan(row), np.nan, row).astype("<f8").tobytes())
    return digest.hexdigest()


def parse_duration(text: str) -> int:
    """`500ms`, `90s`, `15min` or `15m`, `1h`, `7d`, `2w`, or several together (`1h30m`), to ms. Raises DataError."""
    plain = text.replace(" ", "").lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|min|s|m|h|d|w)", plain)
    total = sum(float(count) * _UNITS_MS[unit] for count, unit in parts)
    if (
        not parts
        or "".join(count + unit for count, unit in parts) != plain
        or not 1 <= total <= _LONGEST_MS
        or total != int(total)
    ):
        raise DataError(f"{text!r} is not a duration", "for example 30s, 15min, 1h, 24h or 7d")
    return int(total)


def format_duration(milliseconds: int) -> str:
    """The shortest exact way to write it: 3,600,000 -> `1h`."""
    for unit in ("w", "d", "h", "min", "s"):
        if milliseconds % _UNITS_MS[unit] == 0 and (unit != "w" or milliseconds > _UNITS_MS["w"]):
            return f"{milliseconds // _UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms"


def parse_season(text: str | None, interval_ms: int) -> int | None:
    """A season in ms, or None for none. Raises DataError unless it is a whole number, at least two, of intervals."""
    if text is None or text.strip().lower() in ("", "none", "no", "0"):
        return None
    season_ms = parse_duration(text)
    if season_ms % interval_ms or season_ms < 2 * interval_ms:
        interval = format_duration(interval_ms)
        raise DataError(f"a season of {text} is not a whole number of intervals of {interval}", "change --season")
    return season_ms


def parse_seasons(text: str | None, interval_ms: int) -> tuple[int, ...]:
    """No, one or two seasons in ms (`24h,7d`). Raises DataError for more, and unless the second is the longer."""
    seasons = tuple(filter(None, (parse_season(word, interval_ms) for word in (text or "").split(","))))
    if len(seasons) > 2:
        raise DataError(f"--season {text!r} names {len(seasons)} seasons", "name one or two, as 24h,7d")
    if seasons != tuple(sorted(set(seasons))):
        raise DataError(f"--season {text!r}: the second season is not the longer one", "name the shorter first")
    return seasons


def format_seasons(seasons_ms: tuple[int, ...]) -> str:
    """For people: `no season`, `season 1d`, `seasons 1d and 7d`."""
    if not seasons_ms:
        return "no season"
    return f"season{'s' * (len(seasons_ms) > 1)} {' and '.join(map(format_duration, seasons_ms))}"


def trailing_means(values: Float64, width: int) -> Float64:
    """[streams, T] the mean of the observed among each row and the `width` - 1 before it; NaN where there are none."""
    if width == 1:
        return values
    padded = np.concatenate([np.full((len(values), width - 1), np.nan), values], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    observed = np.count_nonzero(~np.isnan(windows), axis=2)
    return np.where(observed > 0, np.nansum(windows, axis=2) / np.maximum(observed, 1), np.nan)
