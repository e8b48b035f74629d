"""Avro records behind the id of their schema, as the objects that the same records are in JSON."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

from eddycast.service.errors import MissingExtra, SettingsError
from eddycast.service.formats.avro_encoder import FRAME
from eddycast.service.formats.avro_schema import Schema

#: First byte of such a record, which no JSON text begins with.
FRAMED: Final = b"\0"
#: Callable from an id to its schema, None if there is none; implemented by
#: `SchemaRegistry.schema_of`.
SchemaOf = Callable[[int], Schema | None]
_Read = Callable[[io.BytesIO], Any]


def no_schemas(_: int) -> Schema | None:
    """`SchemaOf` where there is no registry."""
    raise SettingsError(
        "the forecasts are Avro records, whose schema is in a schema registry",
        "set schema_registry.url",
    )


class AvroReader:
    """Reads records of any schema that the registry knows."""

    def __init__(self, schema_of: SchemaOf) -> None:
        self._schema_of = schema_of
        self._readers: dict[int, _Read] = {}  # by id of the schema

    def read(self, value: bytes) -> dict[str, Any]:
        """The fields of a record. Raises ValueError if it is none of a schema that is known,
        MissingExtra without fastavro, and what `schema_of` raises."""
        if len(value) < FRAME.size:
            raise ValueError("it ends within the id of its schema")
        schema_id = int(FRAME.unpack_from(value)[1])
        if (read := self._readers.get(schema_id)) is None:
            schema = self._schema_of(schema_id)
            if schema is None or (read := _reader_of(schema)) is None:
                raise ValueError(f"no schema of records has the id {schema_id}")
            self._readers[schema_id] = read
        stream = io.BytesIO(value)
        stream.seek(FRAME.size)
        try:
            found = read(stream)
        except Exception as error:  # a decoder may raise anything at foreign bytes
            raise ValueError(f"it does not follow the schema {schema_id}") from error
        if stream.tell() < len(value):
            raise ValueError(f"bytes follow the record of the schema {schema_id}")
        if not isinstance(found, dict):
            raise ValueError(f"the schema {schema_id} is not that of a record")
        return found


def _reader_of(schema: Schema) -> _Read | None:
    """Callable from the bytes of a record to its fields; None for a schema that is not valid."""
    try:
        import fastavro
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "the forecasts are Avro records, and fastavro is not installed",
            "pip install 'eddycast[avro]'",
        ) from error
    try:
        parsed = fastavro.parse_schema(_plain(schema))
    except Exception:  # noqa: BLE001 - as above
        return None
    return lambda stream: fastavro.schemaless_reader(stream, parsed, None)


def _plain(schema: Any) -> Any:
    """The schema without logical types: a stamp stays a number, as in JSON."""
    if isinstance(schema, dict):
        return {name: _plain(own) for name, own in schema.items() if name != "logicalType"}
    if isinstance(schema, list):
        return [_plain(own) for own in schema]
    return schema
