"""Rows that become more where they are: a million of them are not copied, and nobody waits, when there must be two."""

from __future__ import annotations

import contextlib
import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: From this size on the system is asked for large pages: fewer of them are to be made ready, two to four times faster.
_LARGE = 4 << 20


class Growing:
    """An array [rows, ...] in memory of its own; rows not written yet are zeros and take up nothing."""

    #: All rows. `grow` replaces it: whoever keeps it makes growing copy, and looks at the rows as they were.
    array: NDArray[Any]

    def __init__(self, rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self._row_bytes = dtype.itemsize * math.prod(shape)
        self._memory = _zeros(rows * self._row_bytes)
        self.array = self._seen(rows)

    def grow(self, rows: int) -> None:
        """Room for `rows` rows at least; what is in them stays. Raises MemoryError, and everything is as before, where
        the system has none to give."""
        if rows <= len(self.array):
            return
        before, size, held = len(self.array), rows * self._row_bytes, len(self.array) * self._row_bytes
        if not size:
            self.array = self._seen(rows)
            return
        del self.array
        try:
            try:
                self._memory.resize(size)
                _large_pages(self._memory)
            except (BufferError, SystemError):  # somebody still has the array, or this system moves no memory
                old, self._memory = self._memory, _zeros(size)
                np.frombuffer(self._memory, np.uint8)[:held] = np.frombuffer(old, np.uint8)[:held]
        except OSError as error:
            self.array = self._seen(before)
            raise MemoryError(f"the system gives no {size >> 20} MB for {rows} rows: {error.strerror}") from error
        self.array = self._seen(rows)

    def _seen(self, rows: int) -> NDArray[Any]:
        entries = rows * math.prod(self._shape)
        return np.frombuffer(self._memory, self._dtype, entries).reshape(rows, *self._shape)


def _zeros(size: int) -> mmap.mmap:
    """Of this process alone: only such memory can grow."""
    memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _large_pages(memory)
    return memory


def _large_pages(memory: mmap.mmap) -> None:
    """As numpy asks for its own large arrays; where there are none, small ones do."""
    if len(memory) >= _LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
