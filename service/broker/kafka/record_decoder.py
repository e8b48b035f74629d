"""Records in Kafka's record format, version 2: from the bytes after a batch's header to columns.
Independent of the client.

    record = size, attributes (1 byte), time - first time, offset - first offset,
             key size, key, value size, value,
             number of headers, and for each: name size, name, value size, value

Sizes and differences are zigzag varints; a size of -1 means null. A batch is decoded with one short
loop over its records, which finds where each begins; everything else works on whole columns. For
records of a few bytes the columns take many times their memory, so a batch of very many records is
decoded in parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Damage, Headers, Int64

#: Maximum number of records in one part of a batch.
PART = 1 << 14
#: Bytes that count as one record of a poll; a larger record counts as several.
_BYTES_A_RECORD = 8_192

_LONGEST = 28  # bits of a size before its last byte
#: The encoded headers of a record that has none.
NO_HEADERS = b"\0"
#: Name of the header that stands for headers that cannot be read.
MALFORMED = "__eddycast.malformed_headers"


class EncodedHeaders(Sequence[Headers]):
    """Headers of records as they are encoded, each decoded when it is asked for."""

    def __init__(self, encoded: list[bytes]) -> None:
        self.encoded = encoded

    def __len__(self) -> int:
        return len(self.encoded)

    @overload
    def __getitem__(self, at: int) -> Headers: ...
    @overload
    def __getitem__(self, at: slice) -> EncodedHeaders: ...
    def __getitem__(self, at: int | slice) -> Headers | EncodedHeaders:
        if isinstance(at, slice):
            return EncodedHeaders(self.encoded[at])
        return decoded_headers(self.encoded[at])


class MalformedBatch(Exception):
    """The bytes do not follow the format."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Records in offset order, one entry per record."""

    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps: Int64  # ms
    offsets: Int64
    weight: int = 1  # records of a poll that each entry counts as: more where they are large
    damage: Damage | None = None  # set if the only entry replaces records that cannot be read
    headers: Sequence[Headers] | None = None  # None = no record has any

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, begin: int, end: int) -> Columns:
        """Records `begin` up to, not including, `end`."""
        columns = (
            self.keys[begin:end],
            self.values[begin:end],
            self.timestamps[begin:end],
            self.offsets[begin:end],
        )
        headers = None if self.headers is None else self.headers[begin:end]
        return Columns(*columns, self.weight, self.damage, headers)


def weight(size: int, count: int) -> int:
    """Number of records of a poll that each of `count` records counts as;
    they have `size` bytes together."""
    return max(1, -(-size // (max(count, 1) * _BYTES_A_RECORD)))


def decode(data: bytes, count: int, first_offset: int, first_time: int) -> Iterator[Columns]:
    """The `count` records in `data` (decompressed, without the batch's header), in parts of at most
    PART records.

    Raises MalformedBatch.
    """
    raw, at = np.frombuffer(data, np.uint8), 0
    for start in range(0, count, PART):
        columns, at = _decode(data, raw, at, min(PART, count - start), first_offset, first_time)
        if start + PART >= count and at != len(data):
            raise MalformedBatch(f"{len(data) - at} bytes follow its records")
        yield columns


def _decode(
    data: bytes, raw: NDArray[np.uint8], begin: int, count: int, first_offset: int, first_time: int
) -> tuple[Columns, int]:
    """`count` records from the position `begin` on, and the position after them."""
    try:
        begins, ends = _bodies(data, begin, count)
        times, at = _varints(raw, begins + 1)
        offsets, at = _varints(raw, at)
        key_sizes, key_at = _varints(raw, at)
        key_ends = key_at + np.maximum(key_sizes, 0)
        value_sizes, value_at = _varints(raw, key_ends)
        value_ends = value_at + np.maximum(value_sizes, 0)
        _, behind = _varints(raw, value_ends)  # every record has at least a number of headers
    except IndexError as error:
        raise MalformedBatch("a record ends beyond its batch") from error
    if (behind > ends).any() or max(key_sizes.max(), value_sizes.max()) > len(data):
        raise MalformedBatch("a record's fields exceed its size")
    end = int(ends[-1])
    columns = Columns(
        _cut(data, key_at, key_ends, key_sizes),
        _cut(data, value_at, value_ends, value_sizes),
        first_time + times,
        first_offset + offsets,
        weight(end - begin, count),
        headers=_encoded_headers(data, raw, value_ends, ends),
    )
    return columns, end


def _encoded_headers(
    data: bytes, raw: NDArray[np.uint8], begins: Int64, ends: Int64
) -> EncodedHeaders | None:
    """The headers in `data[begins:ends]` of each record; None if no record has any."""
    if not raw[begins].any():  # a number of 0 each
        return None
    return EncodedHeaders(
        [data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    )


def decoded_headers(encoded: bytes) -> Headers:
    """Headers of one record. Bytes that do not follow the format become one header named
    MALFORMED."""
    try:
        count, at = _varint(encoded, 0)
        found: Headers = []
        for _ in range(count):
            size, at = _varint(encoded, at)
            name, at = encoded[at : at + size].decode(errors="surrogateescape"), at + size
            size, at = _varint(encoded, at)
            found.append((name, encoded[at : at + max(size, 0)]))
            at += max(size, 0)
    except IndexError:
        return [(MALFORMED, encoded)]
    return found if at == len(encoded) else [(MALFORMED, encoded)]


def _varint(encoded: bytes, at: int) -> tuple[int, int]:
    """The zigzag varint at a position, and the position after it. Raises IndexError."""
    value = shift = 0
    while True:
        byte = encoded[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value >> 1 ^ -(value & 1), at


def _bodies(data: bytes, at: int, count: int) -> tuple[Int64, Int64]:
    """Begin (after its size) and end of each record's body from `at` on; int64 [count] each."""
    begins, ends = [], []
    for _ in range(count):
        size = data[at]
        at += 1
        if size >= 0x80:
            size, shift = size & 0x7F, 7
            while (more := data[at]) >= 0x80:
                size |= (more & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if shift > _LONGEST:
                    raise MalformedBatch("a record's size has too many bytes")
            size |= more << shift
            at += 1
        begins.append(at)
        at += size >> 1
        ends.append(at)
    return np.array(begins, np.int64), np.array(ends, np.int64)


def _varints(raw: NDArray[np.uint8], at: Int64) -> tuple[Int64, Int64]:
    """Values of the zigzag varints at the positions `at` [n], and the positions after them.
    Raises IndexError."""
    byte = raw[at]
    value, at = (byte & 0x7F).astype(np.int64), at + 1
    rows = np.flatnonzero(byte >= 0x80)
    for shift in range(7, 70, 7):
        if not len(rows):
            break
        byte = raw[at[rows]]
        value[rows] |= (byte & 0x7F).astype(np.int64) << shift
        at[rows] += 1
        rows = rows[byte >= 0x80]
    return (value >> 1 & 0x7FFF_FFFF_FFFF_FFFF) ^ -(value & 1), at


def _cut(data: bytes, begins: Int64, ends: Int64, sizes: Int64) -> list[bytes | None]:
    """A slice per record; None where the size is negative."""
    cut: list[bytes | None] = [
        data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]
    for row in np.flatnonzero(sizes < 0).tolist():
        cut[row] = None
    return cut
