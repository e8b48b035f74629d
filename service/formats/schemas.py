"""Schemas of Avro records, and their ids: what readers and writers of such records ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from eddycast.service.errors import SettingsError
from eddycast.service.formats.avro_frame import SchemaId
from eddycast.service.formats.avro_schema import Schema

#: Callable from an id to its schema, None if there is none; `Schemas.schema_of`.
SchemaOf = Callable[[SchemaId], Schema | None]
_ACTION = "set schema_registry.url"


class Schemas(Protocol):
    """Implemented by `SchemaRegistry`."""

    def id_of(self, schema: Schema) -> int:
        """The id of a schema, which is registered if it is new."""

    def schema_of(self, schema_id: SchemaId) -> Schema | None:
        """The schema with an id, None if there is none."""


class _NoSchemas:
    def id_of(self, schema: Schema) -> int:  # noqa: ARG002 - of the protocol
        raise SettingsError("there is no schema registry", _ACTION)

    def schema_of(self, schema_id: SchemaId) -> Schema | None:  # noqa: ARG002
        what = "the records are Avro, and their schema is in a schema registry"
        raise SettingsError(what, _ACTION)


#: Where there is no registry: every call raises SettingsError.
NO_SCHEMAS: Final[Schemas] = _NoSchemas()
