"""The cursors of many Avro records that are read in step, and what stands at them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eddycast.service.formats.columns import Contents, Tokens, listed
from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.records import Int64

_VARINT_BYTES: Final = 10
#: Strings up to this size are cut out of a matrix, longer ones one by one.
_SHORT: Final = 32


class Walk:
    """The cursors of the records, and what was found so far."""

    def __init__(self, values: Sequence[bytes], wanted: Sequence[Tokens]) -> None:
        self.raw = b"".join(values)
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        self.ends: Int64 = np.cumsum(sizes)
        self.at: Int64 = self.ends - sizes
        self.bad = np.zeros(len(values), np.bool_)
        # a broken record may lead its cursor beyond the end of all, but no further
        self.limit = len(self.raw) + 1
        self._padded = self.raw + bytes(_SHORT + 2)
        self.bytes = np.frombuffer(self._padded, np.uint8)
        self.found: dict[Tokens, Contents] = {tokens: [ABSENT] * len(values) for tokens in wanted}

    def put(self, tokens: Tokens, rows: Int64, values: Contents) -> None:
        """Note what rows have at a place."""
        if len(rows) == len(self.bad):
            self.found[tokens] = values
            return
        column = list(listed(self.found[tokens]))
        for row, value in zip(rows.tolist(), listed(values), strict=True):
            column[row] = value
        self.found[tokens] = column

    def skip(self, rows: Int64, sizes: Int64 | int) -> None:
        """Move cursors forward, at most to the limit."""
        self.at[rows] = np.minimum(self.at[rows] + sizes, self.limit)

    def varints(self, rows: Int64) -> Int64:
        """Zigzag numbers."""
        at, shift = self.at[rows], 0
        found, more = np.zeros(len(rows), np.uint64), np.ones(len(rows), np.bool_)
        while more.any():
            if shift == 7 * _VARINT_BYTES:
                self.bad[rows[more]] = True
                break
            byte = self.bytes[at]
            if shift == 7 * (_VARINT_BYTES - 1):
                self.bad[rows[more & (byte > 1)]] = True
            found |= np.where(more, byte & 0x7F, 0).astype(np.uint64) << np.uint64(shift)
            at = np.minimum(at + more, self.limit)
            more &= byte >= 0x80
            shift += 7
        self.at[rows] = at
        return (found >> np.uint64(1)).view(np.int64) ^ -((found & np.uint64(1)).view(np.int64))

    def sizes(self, rows: Int64) -> Int64:
        """Sizes of strings or bytes; 0 for a negative one, whose record is broken."""
        sizes = self.varints(rows)
        self.bad[rows[sizes < 0]] = True
        return np.clip(sizes, 0, self.limit)

    def fixed(self, rows: Int64, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Consume an element of `dtype` of each row; of at most _SHORT bytes."""
        at = self.at[rows]
        self.skip(rows, dtype.itemsize)
        return self._elements(at, dtype)

    def _elements(self, at: Int64, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The bytes at each place, as elements of `dtype`."""
        count = len(self._padded) - dtype.itemsize + 1
        found: NDArray[Any] = np.ndarray((count,), dtype, self._padded, strides=(1,))[at]
        return found

    def texts(self, rows: Int64) -> list[Any]:
        """Strings; None for one that is no UTF-8, whose record is broken."""
        sizes = self.sizes(rows)
        at = self.at[rows]
        self.skip(rows, sizes)
        if len(rows) and (found := self._short(at, sizes)) is not None:
            return found
        ends = at + sizes
        if not self._are_ascii(at, ends):
            return self._decoded(rows, at, ends)
        text = self.text
        return [text[a:b] for a, b in zip(at.tolist(), ends.tolist(), strict=True)]

    def _short(self, at: Int64, sizes: Int64) -> list[Any] | None:
        """Strings that are short and ASCII and do not end with a NUL, which an array of strings
        would drop; None if there are others."""
        count, width, least = len(at), int(sizes.max()), int(sizes.min())
        if not 0 < width <= _SHORT:
            return None
        found = self._elements(at, np.dtype(f"V{width}"))
        is_one = least == width and bool((found == found[0]).all())
        if is_one:  # a site, a unit
            found, at, sizes = found[:1], at[:1], sizes[:1]
        codes = found.view(np.uint8).reshape(len(found), width)
        if least < width:
            codes = codes * (np.arange(width) < sizes[:, None])
        last = self.bytes[at + np.maximum(sizes, 1) - 1]
        if (codes >= 0x80).any() or not last[sizes > 0].all():
            return None
        texts: list[Any] = codes.astype(np.uint32).view(f"U{width}")[:, 0].tolist()
        return texts * count if is_one else texts

    def pass_texts(self, rows: Int64) -> None:
        """Pass over strings; a record is broken where one is no UTF-8."""
        sizes = self.sizes(rows)
        at = self.at[rows]
        self.skip(rows, sizes)
        if not self._are_ascii(at, at + sizes):
            self._decoded(rows, at, at + sizes)

    def _decoded(self, rows: Int64, at: Int64, ends: Int64) -> list[Any]:
        places = zip(at.tolist(), ends.tolist(), strict=True)
        texts = [_text(self.raw[a:b]) for a, b in places]
        self.bad[rows[[text is None for text in texts]]] = True
        return texts

    def _are_ascii(self, at: Int64, ends: Int64) -> bool:
        """True if all strings are ASCII: a slice of `text` is then the same as its bytes."""
        last = len(self.others) - 1
        found = self.others[np.minimum(ends, last)] - self.others[np.minimum(at, last)]
        return not found.any()

    @cached_property
    def text(self) -> str:
        """The values with a character for each byte."""
        return self.raw.decode("latin-1")

    @cached_property
    def others(self) -> Int64:
        """Number of bytes before each one that are not ASCII."""
        return np.concatenate([[0], np.cumsum(self.bytes >= 0x80)])


def _text(found: bytes) -> str | None:
    try:
        return found.decode()
    except UnicodeDecodeError:
        return None
