"""Columns of time stamps."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.columns import Contents, listed
from eddycast.service.formats.mapping import Mapping
from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.records import Int64

Bool = NDArray[np.bool_]
_NOTHING = {NoneType, type(ABSENT)}


class StampColumns:
    """Time stamps of readings, from the places that the settings name, in their order."""

    def __init__(self, mapping: Mapping) -> None:
        self._stamps = mapping.stamps
        self._is_record = [place.name == "record" for place, _ in mapping.times]

    def read(self, columns: Sequence[Contents], times: Int64, latest: Int64) -> tuple[Int64, Bool]:
        """Return the stamps [n], ms, and which of them are none.

        `columns` are what the places hold, ABSENT or None = nothing; `times` [n] the records'
        broker times; `latest` [n] the largest stamps allowed.
        """
        first = columns[0]
        if isinstance(first, np.ndarray) and first.dtype == np.int64:
            stamps, wrong = self._stamps.of_column(first)
        else:
            stamps, wrong = self._first([listed(column) for column in columns], times)
        return stamps, wrong | (stamps < 0) | (stamps > latest)

    def _first(self, columns: Sequence[Sequence[Any]], times: Int64) -> tuple[Int64, Bool]:
        """The stamps from the first place that holds something."""
        first = 0
        while not self._is_record[first] and set(map(type, columns[first])) <= _NOTHING:
            first += 1
            if first == len(columns):
                return times, np.ones(len(times), np.bool_)
        if self._is_record[first]:
            return times, np.zeros(len(times), np.bool_)
        kinds = set(map(type, columns[first]))
        if kinds == {int}:
            try:
                return self._stamps.of_column(np.array(columns[first], np.int64))
            except OverflowError:
                return times, np.ones(len(times), np.bool_)
        if kinds <= {int, float} and (known := self._stamps.of_floats(columns[first])) is not None:
            return known
        if kinds == {str} and (found := self._stamps.of_text(columns[first])) is not None:
            return found, np.zeros(len(times), np.bool_)
        return self._one_by_one(columns, times)

    def _one_by_one(self, columns: Sequence[Sequence[Any]], times: Int64) -> tuple[Int64, Bool]:
        stamps, wrong = times.copy(), np.zeros(len(times), np.bool_)
        rows = zip(zip(*columns, strict=True), times.tolist(), strict=True)
        for i, (found, time) in enumerate(rows):
            held = [place for place, value in enumerate(found) if type(value) not in _NOTHING]
            if not held:
                wrong[i] = True
            elif not self._is_record[held[0]]:
                try:
                    stamps[i] = self._stamps.milliseconds(found[held[0]], "", time)
                except Unreadable:
                    wrong[i] = True
        return stamps, wrong
