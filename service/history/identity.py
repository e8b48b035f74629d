"""Detection of the columns that identify the streams of a long table:
those that make the stamps unique.

A repeated stamp with another value belongs to another stream. The streams are identified by the
smallest set of columns (a device, or a device and a metric) within which at most one reading in a
hundred has a repeated stamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from eddycast.service.errors import DataError
from eddycast.service.history import column_words
from eddycast.service.history.dates import MS_PER_DAY
from eddycast.service.history.forms import looks_like_time
from eddycast.service.history.numbers import Numbers
from eddycast.service.history.time_cells import head
from eddycast.service.records import Float64, Int64

#: Maximum share of readings that may be dropped because their stamp is repeated.
LOST = 0.01
#: Minimum share of stamps at which a number must occur to identify a stream.
PRESENT = 0.2
#: Maximum number of columns combined, of candidates tried, and of value columns compared.
_TOGETHER, _TRIED, _VALUES = 3, 10, 4
_WORDS_OF_BOOLEANS = ("true", "false", "yes", "no", "on", "off")
_TIME = "\0time"


class RepeatedStampsError(DataError):
    """Raised where stamps repeat with other values. The user names what tells the rows apart."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column that may identify streams. `rank` comes from its name (`column_words.stream_rank`;
    0 is best)."""

    name: str
    rank: int
    text: bool
    distinct: int
    place: int

    @property
    def order(self) -> tuple[int, int, int, int]:
        return self.rank, column_words.stream_order(self.name), not self.text, self.place


class Identity:
    """The rows of a table by stamp, and the search for columns that make the stamps unique."""

    def __init__(
        self, frame: pl.DataFrame, milliseconds: Int64, columns: dict[str, Numbers]
    ) -> None:
        self._frame = frame.with_columns(pl.Series(_TIME, milliseconds))
        self._times = milliseconds
        self._columns = columns
        self.candidates = [
            found
            for place, name in enumerate(frame.columns)
            if (found := self._candidate(name, place))
        ]

    def lost(self, ids: Sequence[str], values: Sequence[str]) -> float:
        """The share of readings whose stamp occurs before with another value in the same stream, as
        identified by `ids`. A single such reading is ignored."""
        gone = held = 0
        for name in [name for name in values if name not in ids][:_VALUES]:
            reading = pl.Series("\0value", self._columns[name].values)
            rows = (
                self._frame.select(_TIME, *(each for each in ids))
                .with_columns(reading)
                .filter(reading.is_not_nan())
            )
            held += len(rows)
            gone += rows.n_unique() - rows.drop("\0value").n_unique()
        return gone / held if gone > 1 else 0.0

    def find(self, values: Sequence[str], base: tuple[str, ...] = ()) -> tuple[str, ...] | None:
        """The columns that make stamps unique, `base` included; empty if none is needed, None if
        there are none. Raises DataError if two sets do so in different ways."""
        if self.lost(base, values) <= LOST:
            return base or self._beside(values)
        others = sorted(
            (each for each in self.candidates if each.name not in base), key=lambda each: each.order
        )

        def suffices(columns: tuple[Candidate, ...]) -> bool:
            return self.lost((*base, *(column.name for column in columns)), values) <= LOST

        for size in range(1, _TOGETHER + 1):
            sets = [each for each in combinations(others[:_TRIED], size) if suffices(each)]
            if sets:
                return (*base, *self._best(sets))
        return None

    def _candidate(self, name: str, place: int) -> Candidate | None:
        """The column as a candidate if it has few distinct words or whole numbers, which are no
        times; else None."""
        cells, numeric = self._frame[name], self._columns[name].is_numeric
        if cells.dtype.is_float() or cells.dtype.is_nested() or cells.null_count():
            return None
        if not numeric and all(map(looks_like_time, head(cells))):
            return None
        known = self._columns[name].values
        if numeric and not (np.rint(known) == known).all():
            return None
        distinct = cells.n_unique()
        rank = column_words.stream_rank(name)
        few = len(cells) // (10 if numeric and rank == 2 else 2)
        if distinct < 2 or distinct > few or self._is_boolean(cells, rank):
            return None
        if numeric and rank == 2 and self._is_measured(known, distinct):
            return None
        return Candidate(name, rank, not numeric, distinct, place)

    def _is_measured(self, known: Float64, distinct: int) -> bool:
        """True if whole numbers are readings or times of day: each occurs at few stamps, or they
        number the parts of days whose stamps have no time of day."""
        stamps = np.unique(self._times)
        if len(known) < PRESENT * len(stamps) * distinct and len(stamps) < len(self._times):
            return True
        days = (
            not (stamps % MS_PER_DAY).any()
            and known.min() in (0, 1)
            and known.max() - known.min() + 1 == distinct
        )
        return bool(days and any(abs(distinct - parts) * 24 <= parts for parts in (24, 48, 96)))

    @staticmethod
    def _is_boolean(cells: pl.Series, rank: int) -> bool:
        held = cells.cast(pl.String).str.to_lowercase().str.strip_chars().unique()
        known = _WORDS_OF_BOOLEANS if rank < 2 else (*_WORDS_OF_BOOLEANS, "0", "1")
        return cells.dtype == pl.Boolean or bool(held.is_in(known).all())

    def _best(self, sets: list[tuple[Candidate, ...]]) -> tuple[str, ...]:
        """The set with the best rank; among sets that give the same streams, the one with most
        text. Raises DataError for two sets of equal rank that give different streams."""
        ranked = sorted(sets, key=lambda each: (_rank(each), *(column.order for column in each)))
        best = ranked[0]
        streams = self._count(best)
        same = [best]
        for rival in ranked[1:]:
            together = self._frame.select({column.name for column in (*best, *rival)}).n_unique()
            if together == streams == self._count(rival):
                same.append(rival)
            elif together > max(streams, self._count(rival)) and _rank(rival) == _rank(best):
                one, other = (
                    ", ".join(repr(column.name) for column in each) for each in (best, rival)
                )
                options = " or ".join(
                    f"--stream-column {','.join(column.name for column in each)}"
                    for each in (best, rival)
                )
                raise DataError(
                    f"stamps repeat with other values; {one} and {other} both separate the rows",
                    f"use {options}",
                )
        readable = max(same, key=lambda each: sum(column.text for column in each))
        return tuple(
            column.name for column in sorted(readable, key=lambda each: (each.rank, each.place))
        )

    def _count(self, ids: tuple[Candidate, ...]) -> int:
        return self._frame.select(column.name for column in ids).n_unique()

    def _beside(self, values: Sequence[str]) -> tuple[str, ...]:
        """A column that identifies streams although no stamp repeats: it is named like a sensor, or
        its streams are regular or smooth one by one but not together."""
        for each in sorted(self.candidates, key=lambda candidate: candidate.order):
            if (
                each.rank == 0 and (each.text or each.name.lower().endswith("id"))
            ) or self._interleaved(each, values):
                return (each.name,)
        return ()

    def _interleaved(self, candidate: Candidate, values: Sequence[str]) -> bool:
        codes = self._frame[candidate.name].rank("dense").to_numpy().astype(np.int64)
        order = np.argsort(self._times, kind="stable")
        changes = np.diff(codes[order]) != 0
        together = _regularity(np.diff(np.unique(self._times)))
        within = np.lexsort((self._times, codes))
        same = np.diff(codes[within]) == 0
        steps = np.diff(self._times[within])
        alone = _regularity(steps[same])
        if changes.mean() < 0.2 or together > 0.8:
            return candidate.rank < 2 and changes.mean() > 0.8 and alone > 0.9
        if alone > together + 0.3:
            return True
        ratios = [
            _jumps(self._columns[name].values, within, same, order) for name in values[:_VALUES]
        ]
        known = [ratio for ratio in ratios if np.isfinite(ratio)]
        return bool(known) and min(known) < 0.5 and max(known) < 1.1


def _rank(ids: tuple[Candidate, ...]) -> int:
    return sum(column.rank for column in ids)


def _regularity(steps: NDArray[Any]) -> float:
    """The share of the most frequent step."""
    return float(np.unique(steps, return_counts=True)[1].max() / len(steps)) if len(steps) else 0.0


def _jumps(
    values: Float64, within: Int64, same: np.ndarray[tuple[int], np.dtype[np.bool_]], order: Int64
) -> float:
    """Mean absolute change between rows inside streams, relative to that between all rows;
    NaN if undefined."""
    inside, between = np.abs(np.diff(values[within]))[same], np.abs(np.diff(values[order]))
    if np.isnan(inside).all() or np.isnan(between).all() or not np.nanmean(between):
        return float("nan")
    return float(np.nanmean(inside) / np.nanmean(between))
