"""Avro records behind the id of their schema, as the objects that the same records are in JSON.

Logical types are numbers and text, as in JSON: a stamp is a number. Decimals are numbers as well.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from eddycast.service.errors import MissingExtra
from eddycast.service.formats.avro_bounds import is_bounded
from eddycast.service.formats.avro_frame import SchemaId, schema_id_of
from eddycast.service.formats.avro_schema import Schema
from eddycast.service.formats.schemas import SchemaOf

_Read = Callable[[io.BytesIO], Any]
#: Logical type of decimals while fastavro reads them, which has no reader of its own for it.
DECIMAL = "eddycast-decimal"


class UnknownSchema(ValueError):
    """The registry has no such schema, or none of Avro."""


class AvroReader:
    """Reads records of any schema that the registry knows."""

    def __init__(self, schema_of: SchemaOf) -> None:
        self._schema_of = schema_of
        self._schemas: dict[SchemaId, Schema] = {}  # as fastavro has parsed them
        self._readers: dict[SchemaId, _Read] = {}

    def read(self, value: bytes) -> dict[str, Any]:
        """The fields of a record. Raises ValueError if it is none, UnknownSchema,
        MissingExtra without fastavro, and what `schema_of` raises."""
        found = self.read_any(value)
        if not isinstance(found, dict):
            raise ValueError(f"the schema {schema_id_of(value)[0]} is not that of a record")
        return found

    def read_any(self, value: bytes) -> Any:
        """A record, or anything else that a schema describes. Raises as `read`."""
        schema_id, size = schema_id_of(value)
        if (read := self._readers.get(schema_id)) is None:
            read = self._readers[schema_id] = _reader_of(self.schema(schema_id))
        stream = io.BytesIO(value)
        stream.seek(size)
        try:
            found = read(stream)
        except Exception as error:  # a decoder may raise anything at foreign bytes
            raise ValueError(f"it does not follow the schema {schema_id}") from error
        if stream.tell() < len(value):
            raise ValueError(f"bytes follow the record of the schema {schema_id}")
        return found

    def schema(self, schema_id: SchemaId) -> Schema:
        """A schema with full names, without logical types but DECIMAL. Raises as `read`."""
        if schema_id not in self._schemas:
            found = self._schema_of(schema_id)
            parsed = None if found is None else _parsed(found)
            if parsed is None:
                raise UnknownSchema(f"no schema of records has the id {schema_id}")
            self._schemas[schema_id] = parsed
        return self._schemas[schema_id]


def number_of(digits: bytes, schema: dict[str, Any] | None, _: object = None) -> float:
    """A decimal of Avro: the bytes of a whole number, and the scale that its schema has."""
    return float(
        int.from_bytes(digits, "big", signed=True) / 10 ** int((schema or {}).get("scale", 0))
    )


def _parsed(schema: Schema) -> Schema | None:
    """A schema as fastavro reads by it, None if it is not valid."""
    try:
        import fastavro
        from fastavro.read import LOGICAL_READERS
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "the records are Avro, and fastavro is not installed", "pip install 'eddycast[avro]'"
        ) from error
    LOGICAL_READERS[f"bytes-{DECIMAL}"] = LOGICAL_READERS[f"fixed-{DECIMAL}"] = number_of
    try:
        found: Schema = fastavro.parse_schema(_plain(schema))  # type: ignore[assignment]
        return found if is_bounded(found) else None
    except Exception:  # noqa: BLE001 - a parser may raise anything at foreign schemas
        return None


def _reader_of(parsed: Schema) -> _Read:
    from fastavro import schemaless_reader

    return lambda stream: schemaless_reader(stream, parsed, None)


def _plain(schema: Any) -> Any:
    """The schema without logical types: a stamp stays a number, as in JSON."""
    if isinstance(schema, list):
        return [_plain(own) for own in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(own) for name, own in schema.items() if name != "logicalType"}
    is_decimal = schema.get("logicalType") == "decimal" and schema["type"] in ("bytes", "fixed")
    return plain | {"logicalType": DECIMAL} if is_decimal else plain
