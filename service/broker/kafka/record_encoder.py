"""Records in Kafka's record format, version 2: from columns to the bytes after a batch's header.
`record_decoder.py` is the inverse, and draws the format. Independent of the client.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from eddycast.service.records import Headers
from eddycast.service.varint import varint

#: Numbers below this have their varints prepared; also the maximum number of records in a batch.
_MANY = 1 << 14
_NONE = b"\x01"  # size -1: null


def encode(
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Headers] | None,
    limit: int,
) -> Iterator[tuple[bytes, int]]:
    """Encoded records of batches of at most `limit` bytes each, with their number: (bytes, count).

    Every record has the first timestamp of its batch.
    A record beyond the limit gets a batch of its own.
    """
    parts: list[bytes] = []
    size = count = 0
    small = _SMALL
    for row, (key, value) in enumerate(zip(keys, values, strict=True)):
        key_head = (
            _NONE if key is None else small[len(key)] if len(key) < _MANY else varint(len(key))
        )
        value_head = (
            _NONE
            if value is None
            else small[len(value)]
            if len(value) < _MANY
            else varint(len(value))
        )
        tail = _headers(headers[row]) if headers is not None and headers[row] else b"\0"
        body = b"\0\0%b%b%b%b%b%b" % (
            small[count],
            key_head,
            key or b"",
            value_head,
            value or b"",
            tail,
        )
        grows = len(body) + 5
        if count and (size + grows > limit or count + 1 >= _MANY):
            yield b"".join(parts), count
            parts, size, count = [], 0, 0
            body = b"\0\0%b%b%b%b%b%b" % (
                small[0],
                key_head,
                key or b"",
                value_head,
                value or b"",
                tail,
            )
        parts += (small[len(body)] if len(body) < _MANY else varint(len(body)), body)
        size, count = size + grows, count + 1
    if count:
        yield b"".join(parts), count


def _headers(headers: Headers) -> bytes:
    parts = [varint(len(headers))]
    for name, value in headers:
        size = len(value)
        parts += (_name(name), _SMALL[size] if size < _MANY else varint(size), value)
    return b"".join(parts)


@lru_cache(1024)
def _name(name: str) -> bytes:
    """Encoded name of a header with its size; cached,
    since the same few names occur in many records."""
    encoded = name.encode(errors="surrogateescape")
    return varint(len(encoded)) + encoded


_SMALL = [varint(number) for number in range(_MANY)]
