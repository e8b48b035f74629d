"""The id of a schema in front of a record, as the serializers for Confluent's registry write it.

    0x00, number of the schema (4 bytes, big-endian), record
    0x01, GUID of the schema (16 bytes), record

or the same first bytes in a header of the record, and its value or key without them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final
from uuid import UUID

#: The frame of a record: 0 and the number of its schema.
FRAME: Final = struct.Struct(">bI")
#: First byte of such a record, which no JSON text begins with.
FRAMED: Final = b"\0"
#: Sizes of a frame, by its first byte.
SIZES: Final = {b"\0": 5, b"\1": 17}
#: Headers that hold the frame of a record's key and value.
KEY_HEADER, VALUE_HEADER = "__key_schema_id", "__value_schema_id"
#: The number or the GUID of a schema.
SchemaId = int | str


def schema_id_of(value: bytes) -> tuple[SchemaId, int]:
    """The id in front of a record, and the size of its frame. Raises ValueError."""
    size = SIZES.get(value[:1])
    if size is None:
        raise ValueError("no schema id is in front of it")
    if len(value) < size:
        raise ValueError("it ends within the id of its schema")
    if size == FRAME.size:
        return int(FRAME.unpack_from(value)[1]), size
    return str(UUID(bytes=value[1:size])), size


def unframed(value: bytes) -> bytes:
    """The payload behind a schema id; a value without one is returned as it is."""
    return value[SIZES.get(value[:1], 0) :]


def framed(value: bytes, headers: Sequence[tuple[str, bytes]], name: str) -> bytes:
    """A value or key behind its frame, which may be in the header `name`."""
    for header, content in headers:
        if header == name and SIZES.get(content[:1]) == len(content):
            return content + value
    return value
