"""Schemas of which a small record cannot claim to be a large one."""

from __future__ import annotations

from typing import Any

from eddycast.service.formats.avro_schema import Schema


class _Unbounded(Exception):
    """Entries of an array take no bytes, or a record contains itself."""


def is_bounded(schema: Schema) -> bool:
    """True if each entry of an array takes a byte at least, and no record contains itself: else a
    few bytes could claim billions of entries, or a depth that exhausts the stack. `schema` has full
    names."""
    try:
        _least(schema, {})
    except _Unbounded:
        return False
    return True


def _least(schema: Any, named: dict[str, int | None]) -> int:
    """Bytes that a datum takes at least. `named`: those of types by name, None = not known yet."""
    if isinstance(schema, list):
        return 1 + min((_least(own, named) for own in schema), default=0)
    if isinstance(schema, dict):
        return _least_of_type(schema, named)
    known = named.get(schema, 0 if schema == "null" else 1)
    if known is None:
        raise _Unbounded
    return known


def _least_of_type(schema: Schema, named: dict[str, int | None]) -> int:
    kind, name = schema["type"], str(schema.get("name", ""))
    match kind:
        case "record" | "error":
            named[name] = None
            size = sum([_least(field["type"], named) for field in schema["fields"]])
        case "array":
            size = 1
            if not _least(schema["items"], named):
                raise _Unbounded
        case "map":
            _least(schema["values"], named)  # which may be unbounded
            size = 1
        case "fixed":
            size = int(schema["size"])
        case "enum":
            size = 1
        case _:
            return _least(kind, named)
    if name:
        named[name] = size
    return size
