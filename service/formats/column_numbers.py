"""Columns of numbers, of values as a document has them."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.columns import Contents
from eddycast.service.mapping.cells import Cells
from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.records import LARGEST, Float64

Bool = NDArray[np.bool_]
_NUMBERS = {float, int, NoneType}


class Numbers:
    """Converts columns of values."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def read(self, found: Contents) -> tuple[Float64, Bool]:
        """Return the numbers [n], NaN = missing, and which of them are none."""
        if isinstance(found, np.ndarray):
            numbers = found.astype(np.float64)
            return numbers, abs(numbers) > LARGEST
        if set(map(type, found)) <= _NUMBERS:
            try:
                numbers = np.array(found, np.float64)
            except OverflowError:
                return np.full(len(found), np.nan), np.ones(len(found), np.bool_)
            return numbers, abs(numbers) > LARGEST
        numbers, wrong = np.full(len(found), np.nan), np.zeros(len(found), np.bool_)
        number = self._cells.number
        for i, value in enumerate(found):
            try:
                if value is ABSENT:
                    wrong[i] = True
                else:
                    numbers[i] = value if type(value) is float else number(value, "")
            except Unreadable:
                wrong[i] = True
        return numbers, wrong | (abs(numbers) > LARGEST)

    def read_some(self, found: Sequence[Any], *, wild: bool) -> tuple[Float64, Bool, Bool]:
        """Return the numbers [n], which of them are none, and which are passed over: text and
        booleans among fields that were not named (`wild`)."""
        passed = np.zeros(len(found), np.bool_)
        if not wild or set(map(type, found)) <= _NUMBERS:
            return *self.read(found), passed
        is_number = self._cells.is_number
        for i, value in enumerate(found):
            if type(value) is not float and not is_number(value):
                passed[i] = True
        numbers, wrong = self.read(
            [None if skip else value for value, skip in zip(found, passed.tolist(), strict=True)]
        )
        return numbers, wrong, passed
