"""Records in Avro as the records of the same content in JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.avro_frame import KEY_HEADER, SIZES, VALUE_HEADER, framed
from eddycast.service.formats.avro_reader import AvroReader, UnknownSchema
from eddycast.service.formats.outcomes import Record
from eddycast.service.formats.schemas import SchemaOf
from eddycast.service.records import PartitionBatch

#: Number of keys that are remembered.
_REMEMBERED = 1 << 16
#: Keys behind a frame sort before all others.
_UNFRAMED = bytes([max(SIZES)[0] + 1])


class AvroDocuments:
    """Reads keys and values; the frame of either may be in a header."""

    def __init__(self, schema_of: SchemaOf) -> None:
        self.reader = AvroReader(schema_of)
        self._key = lru_cache(_REMEMBERED)(self._read_key)

    def opened(self, record: Record) -> Record:
        """The record with a key of text, and its frame in front of the value."""
        headers = record.headers
        key = None if record.key is None else framed(record.key, headers, KEY_HEADER)
        value = framed(record.value, headers, VALUE_HEADER)
        return replace(record, key=self._plain(key), value=value)

    def opened_batch(self, batch: PartitionBatch) -> PartitionBatch:
        """The same for all records of a batch."""
        keys: Sequence[bytes | None] = batch.keys
        values: Sequence[bytes | None] = batch.values
        if batch.headers is not None and any(batch.headers):
            rows = list(zip(keys, values, batch.headers, strict=True))
            keys = [None if key is None else framed(key, own, KEY_HEADER) for key, _, own in rows]
            values = [None if v is None else framed(v, own, VALUE_HEADER) for _, v, own in rows]
        if min(filter(None, keys), default=_UNFRAMED) < _UNFRAMED:
            keys = [self._plain(key) for key in keys]
        return replace(batch, keys=list(keys), values=list(values))

    def document(self, value: bytes) -> Any:
        """The record in a value. Raises Unreadable."""
        try:
            return self.reader.read_any(value)
        except UnknownSchema as error:
            raise Unreadable("unknown_schema", str(error)) from None
        except ValueError as error:
            raise Unreadable("not_avro", f"the value is no Avro record: {error}") from None

    def _plain(self, key: bytes | None) -> bytes | None:
        if not key or key[:1] not in SIZES:
            return key
        try:
            return self._key(key)
        except ValueError:  # not remembered: a schema may be registered later
            return key

    def _read_key(self, key: bytes) -> bytes:
        """The key as text: a single value, or the only field of a record; other records as JSON.
        Raises ValueError for one that cannot be read, which is left as it is, to become a dead
        letter."""
        found = self.reader.read_any(key)
        if isinstance(found, dict) and len(found) == 1:
            (found,) = found.values()
        text = found if isinstance(found, str) else json.dumps(found, default=repr)
        return text.encode()
