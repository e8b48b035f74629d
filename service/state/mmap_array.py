"""Arrays that grow in place: a million rows are not copied, and nothing stalls,
when room for two is needed."""

from __future__ import annotations

import contextlib
import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bytes from which on large pages are requested:
#: fewer page faults make first use two to four times faster.
_LARGE = 4 << 20


class MmapArray:
    """An array [rows, ...] in its own memory map;
    rows never written are zeros and take no memory."""

    #: All rows. `grow` replaces this array; a reference kept elsewhere forces a copy and then goes
    #: stale.
    array: NDArray[Any]

    def __init__(self, rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self._row_bytes = dtype.itemsize * math.prod(shape)
        self._memory = _zeros(rows * self._row_bytes)
        self.array = self._seen(rows)

    def grow(self, rows: int) -> None:
        """Make room for at least `rows` rows and keep the content.

        Raises MemoryError, with the array unchanged, if the system has no memory.
        """
        if rows <= len(self.array):
            return
        before, size, held = (
            len(self.array),
            rows * self._row_bytes,
            len(self.array) * self._row_bytes,
        )
        if not size:
            self.array = self._seen(rows)
            return
        del self.array
        try:
            try:
                self._memory.resize(size)
                _large_pages(self._memory)
            except (BufferError, SystemError):
                # a reference to the array exists, or mremap is not supported
                old, self._memory = self._memory, _zeros(size)
                np.frombuffer(self._memory, np.uint8)[:held] = np.frombuffer(old, np.uint8)[:held]
        except OSError as error:
            self.array = self._seen(before)
            raise MemoryError(
                f"no {size >> 20} MB available for {rows} rows: {error.strerror}"
            ) from error
        self.array = self._seen(rows)

    def _seen(self, rows: int) -> NDArray[Any]:
        entries = rows * math.prod(self._shape)
        return np.frombuffer(self._memory, self._dtype, entries).reshape(rows, *self._shape)


def _zeros(size: int) -> mmap.mmap:
    """Return a private anonymous map of zeros: only such maps can grow."""
    memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _large_pages(memory)
    return memory


def _large_pages(memory: mmap.mmap) -> None:
    """Request large pages, as numpy does for its own large arrays; ignored where unsupported."""
    if len(memory) >= _LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
