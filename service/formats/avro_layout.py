"""The bytes of many Avro records of one shape as rows of a matrix.

Where every number of a record exists, its encoding has a fixed size: branches of unions, counts of
blocks, constant fields and names of targets are the same bytes in each record, and numbers stand at
fixed places. So a chunk of records is a matrix that is filled with one template row, into which
whole columns of numbers are written. A null is written by removing the bytes of its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Int64
from eddycast.service.varint import varint

#: Branches of a union of null and something.
_NULL, _SOME = 0, 2
_END = b"\0"  # of an array's or map's blocks


class Piece(NamedTuple):
    """Part of a record: its layout in memory, and its bytes where each number exists."""

    dtype: np.dtype[Any]
    template: bytes


def constant(data: bytes) -> Piece:
    """The same bytes in each record."""
    return Piece(np.dtype(f"V{len(data)}"), data)


def flag() -> Piece:
    """A boolean."""
    return Piece(np.dtype(np.bool_), b"\0")


def number(dtype: np.dtype[Any]) -> Piece:
    """A union of null and a number."""
    little = dtype.newbyteorder("<")
    return Piece(
        np.dtype([("branch", np.uint8), ("number", little)]), bytes([_SOME]) + bytes(dtype.itemsize)
    )


def optional(piece: Piece) -> Piece:
    """A union of null and `piece`, for `Rows.leave_out`."""
    return sequence({"branch": constant(bytes([_SOME])), "some": piece})


def array(piece: Piece, count: int) -> Piece:
    """An array of `count` > 0 pieces, in the field `items`."""
    items = Piece(np.dtype((piece.dtype, (count,))), piece.template * count)
    return sequence({"count": constant(varint(count)), "items": items, "end": constant(_END)})


def by_name(piece: Piece, names: Sequence[str]) -> Piece:
    """A map with a piece for each name, in the fields `0`, `1`, ..."""
    fields = {"count": constant(varint(len(names)))}
    for index, name in enumerate(names):
        fields |= {f"key {index}": constant(text(name)), str(index): piece}
    return sequence(fields | {"end": constant(_END)})


def sequence(fields: Mapping[str, Piece]) -> Piece:
    """Pieces one after the other, as fields of the dtype."""
    dtype = np.dtype([(name, piece.dtype) for name, piece in fields.items()])
    return Piece(dtype, b"".join(piece.template for piece in fields.values()))


def text(string: str) -> bytes:
    """A string with its size."""
    encoded = string.encode()
    return varint(len(encoded)) + encoded


class Varints(NamedTuple):
    """Varints of a column, each at the begin of its row."""

    raw: NDArray[np.uint8]  # [n, size of the largest]
    sizes: Int64  # [n]

    @classmethod
    def of(cls, column: Int64) -> Self:
        """Zigzag varints of numbers [n], n > 0."""
        left = ((column << 1) ^ (column >> 63)).astype(np.uint64)
        size = len(varint(int(left.max()) >> 1))
        parts = left[:, None] >> np.arange(0, 7 * size, 7, dtype=np.uint64)
        sizes = np.maximum((parts > 0).sum(axis=1), 1)
        more = np.arange(1, size + 1) < sizes[:, None]
        return cls((parts & 0x7F | more * np.uint64(0x80)).astype(np.uint8), sizes)


class Rows:
    """Records as they are filled in, all bytes of the template first."""

    def __init__(self, piece: Piece, count: int) -> None:
        self._dtype = piece.dtype
        self._raw = np.empty((count, len(piece.template)), np.uint8)
        self._raw[:] = np.frombuffer(piece.template, np.uint8)
        self._rows = self._raw.view(piece.dtype)[:, 0]
        self._written: NDArray[np.bool_] | None = None  # None = every byte
        self._is_whole = np.ones(count, np.bool_)

    def put_varints(self, column: Varints) -> None:
        """Write the first field, which has the size of the largest."""
        size = column.raw.shape[1]
        self._raw[:, :size] = column.raw
        if column.sizes.min() < size:
            self._is_whole &= column.sizes == size
            self._marks()[:, :size] = np.arange(size) < column.sizes[:, None]

    def put_flags(self, name: str, column: NDArray[np.bool_]) -> None:
        """Write a field of `flag`."""
        self._rows[name] = column

    def put(self, path: Sequence[str], column: NDArray[Any]) -> None:
        """Write the field of `number`s that a path of names leads to; NaN and infinities are
        null."""
        there = np.isfinite(column)
        cells = _at(self._rows, path)
        cells["number"] = column
        if not there.all():
            cells["branch"] = np.where(there, _SOME, _NULL)
            marks = self._marks().view(_marks_of(self._dtype))[:, 0]
            _at(marks, path)["number"] = there[..., None]
            self._is_whole &= there.reshape(len(there), -1).all(axis=1)

    def leave_out(self, name: str, there: NDArray[np.bool_]) -> None:
        """Make an `optional` field null where not `there` [n]. Called after its numbers are put."""
        if there.all():
            return
        fields: Mapping[str, Any] = self._dtype.fields or {}
        dtype, at = fields[name][:2]
        self._is_whole &= there
        self._raw[~there, at] = _NULL
        self._marks()[~there, at + 1 : at + dtype.itemsize] = False

    def cut(self) -> list[bytes]:
        """The bytes of each record."""
        size, data = self._raw.shape[1], self._raw.tobytes()
        cut = [data[at : at + size] for at in range(0, len(data), size)]
        if self._written is not None:
            rows = np.flatnonzero(~self._is_whole)
            written = self._written[rows]
            data, ends = self._raw[rows][written].tobytes(), np.cumsum(written.sum(axis=1)).tolist()
            for row, begin, end in zip(rows.tolist(), [0, *ends], ends, strict=False):
                cut[row] = data[begin:end]
        return cut

    def _marks(self) -> NDArray[np.bool_]:
        if self._written is None:
            self._written = np.ones(self._raw.shape, np.bool_)
        return self._written


def _at(rows: NDArray[Any], path: Sequence[str]) -> NDArray[Any]:
    for name in path:
        rows = rows[name]
    return rows


def _marks_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same layout with a bool for each byte."""
    if dtype.names is not None and dtype.fields is not None:
        return np.dtype([(name, _marks_of(dtype.fields[name][0])) for name in dtype.names])
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((_marks_of(base), shape))
    return np.dtype((np.bool_, (dtype.itemsize,)))
