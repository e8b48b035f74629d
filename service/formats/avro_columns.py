"""Fields of many Avro records of one schema, read as columns.

Avro has no index: a field stands where the field before it ends. So all records are walked in step,
with a cursor for each, field by field of the schema; strings, arrays and maps that are not wanted
are passed over. A record whose cursor does not end where the record ends is not of the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eddycast.service.formats.avro_reader import DECIMAL, number_of
from eddycast.service.formats.avro_schema import Schema
from eddycast.service.formats.avro_walk import Walk
from eddycast.service.formats.columns import Contents, Tokens
from eddycast.service.records import Int64

_Bool = NDArray[np.bool_]
#: Reads what stands at the cursors of some rows: their values in order, or None if not wanted.
_Read = Callable[["Walk", Int64], Contents | None]
_FLOATS: Final[Mapping[str, np.dtype[Any]]] = {"float": np.dtype("<f4"), "double": np.dtype("<f8")}
_BYTE: Final = np.dtype(np.uint8)


class NotColumns(Exception):
    """The schema, or what is wanted of it, cannot be read as columns."""


class AvroColumns:
    """Reads the scalars at some places in records of one schema."""

    def __init__(self, schema: Schema, wanted: Sequence[Tokens]) -> None:
        """`schema` is one of `AvroReader.schema`, `wanted` the places of scalars.
        Raises NotColumns where one is an object, an array or bytes, and for recursive schemas."""
        self._wanted = list(dict.fromkeys(wanted))
        self._read = _Compiler(schema, frozenset(self._wanted)).whole()

    def read(
        self, values: Sequence[bytes], frame: bytes
    ) -> tuple[dict[Tokens, Contents], _Bool, _Bool]:
        """The content of each place in records behind the same frame, ABSENT = nothing; which
        values [n] are broken or unusual, and which [n] have another frame."""
        walk = Walk(values, self._wanted)
        rows = np.arange(len(values))
        others = walk.fixed(rows, np.dtype(f"V{len(frame)}")) != np.void(frame)
        if others.any():
            rows = rows[~others]
        self._read(walk, rows)
        return walk.found, (walk.bad | (walk.at != walk.ends)) & ~others, others


class _Compiler:
    """Makes functions of a schema that read it or pass over it."""

    def __init__(self, schema: Schema, wanted: frozenset[Tokens]) -> None:
        self._schema, self._wanted = schema, wanted
        self._named: dict[str, Any] = {}
        self._open: set[str] = set()

    def whole(self) -> _Read:
        """Reads a record with all that is wanted of it. Raises NotColumns."""
        return self._reader(self._schema, ())

    def _reader(self, schema: Any, path: Tokens | None) -> _Read:
        """`path` is None inside arrays and maps, of which nothing is wanted."""
        if isinstance(schema, list):
            return self._union([self._reader(own, path) for own in schema])
        if isinstance(schema, str):
            if schema in self._named:
                return self._reader(self._named[schema], path)
            return self._primitive({"type": schema}, path)
        kind = schema["type"]
        if isinstance(kind, dict | list):
            return self._reader(kind, path)
        if kind == "record":
            return self._record(schema, path)
        if kind in ("array", "map"):
            self._refuse(path)
            return self._blocks(schema, keyed=kind == "map")
        if kind in ("enum", "fixed"):
            self._named[schema["name"]] = schema
        if kind in self._named:
            return self._reader(self._named[kind], path)
        return self._primitive(schema, path)

    def _refuse(self, path: Tokens | None) -> None:
        """Raises NotColumns if something at the path, or inside, is wanted."""
        if path is not None and any(own[: len(path)] == path for own in self._wanted):
            raise NotColumns

    def _record(self, schema: Schema, path: Tokens | None) -> _Read:
        name = schema["name"]
        if name in self._open or path in self._wanted:
            raise NotColumns
        self._named[name] = schema
        self._open.add(name)
        fields = [
            self._reader(field["type"], None if path is None else (*path, field["name"]))
            for field in schema["fields"]
        ]
        self._open.remove(name)

        def read(walk: Walk, rows: Int64) -> None:
            for field in fields:
                field(walk, rows)

        return read

    def _union(self, branches: Sequence[_Read]) -> _Read:
        def read(walk: Walk, rows: Int64) -> None:
            chosen = walk.varints(rows)
            walk.bad[rows[(chosen < 0) | (chosen >= len(branches))]] = True
            for number, branch in enumerate(branches):
                own = rows[chosen == number]
                if len(own):
                    branch(walk, own)

        return read

    def _blocks(self, schema: Schema, *, keyed: bool) -> _Read:
        """Passes over the blocks of an array or map."""
        item = self._reader(schema["values" if keyed else "items"], None)

        def read(walk: Walk, rows: Int64) -> None:
            while len(rows):
                counts = walk.varints(rows)
                sized = rows[counts < 0]  # the size of the block follows
                if len(sized):
                    walk.sizes(sized)
                counts = abs(counts)
                rows, counts = rows[counts > 0], counts[counts > 0]
                rows, counts = _within(walk, rows, counts)
                own, left = rows, counts
                while len(own):
                    if keyed:
                        walk.pass_texts(own)
                    item(walk, own)
                    own, left = own[left > 1], left[left > 1] - 1

        return read

    def _primitive(self, schema: Schema, path: Tokens | None) -> _Read:
        read = _SCALARS.get(schema["type"])
        if schema.get("logicalType") == DECIMAL:
            read = _decimals(schema)
        elif schema["type"] in ("bytes", "fixed"):
            self._refuse(path)
            read = _decimals(schema)
        elif schema["type"] == "enum":
            read = _symbols(schema["symbols"])
        if read is None:
            raise NotColumns
        if path is None or not any(own[: len(path)] == path for own in self._wanted):
            return _PASSED.get(schema["type"], read)
        if path not in self._wanted:
            return read
        wanted, tokens = read, path

        def noted(walk: Walk, rows: Int64) -> None:
            found = wanted(walk, rows)
            walk.put(tokens, rows, [None] * len(rows) if found is None else found)

        return noted


def _within(walk: Walk, rows: Int64, counts: Int64) -> tuple[Int64, Int64]:
    """Rows with as many entries as could be: each has a byte at least, unless it is broken."""
    possible = counts <= len(walk.raw) - walk.at[rows]
    walk.bad[rows[~possible]] = True
    walk.at[rows[~possible]] = walk.limit
    return rows[possible], counts[possible]


def _booleans(walk: Walk, rows: Int64) -> list[Any]:
    found = walk.fixed(rows, _BYTE)
    walk.bad[rows[found > 1]] = True
    truths: list[Any] = (found == 1).tolist()
    return truths


def _floats(kind: str) -> _Read:
    dtype = _FLOATS[kind]

    def read(walk: Walk, rows: Int64) -> Contents:
        numbers = walk.fixed(rows, dtype)
        walk.bad[rows[np.isnan(numbers)]] = True  # which JSON does not have: not a usual record
        return numbers

    return read


def _symbols(symbols: Sequence[str]) -> _Read:
    def read(walk: Walk, rows: Int64) -> list[Any]:
        found = walk.varints(rows)
        wrong = (found < 0) | (found >= len(symbols))
        walk.bad[rows[wrong]] = True
        return [symbols[at] for at in np.where(wrong, 0, found).tolist()]

    return read


def _decimals(schema: Schema) -> _Read:
    def read(walk: Walk, rows: Int64) -> list[Any]:
        fixed = schema.get("size")
        sizes = walk.sizes(rows) if fixed is None else np.full(len(rows), int(fixed))
        at = walk.at[rows]
        walk.skip(rows, sizes)
        ends = (at + sizes).tolist()
        return [number_of(walk.raw[a:b], schema) for a, b in zip(at.tolist(), ends, strict=True)]

    return read


def _pass_bytes(walk: Walk, rows: Int64) -> None:
    walk.skip(rows, walk.sizes(rows))


_SCALARS: Final[Mapping[str, _Read]] = {
    "null": lambda walk, rows: None,  # noqa: ARG005 - nothing stands there
    "boolean": _booleans,
    "int": lambda walk, rows: walk.varints(rows),
    "long": lambda walk, rows: walk.varints(rows),
    "float": _floats("float"),
    "double": _floats("double"),
    "string": lambda walk, rows: walk.texts(rows),
}
#: Cheaper ways to skip a scalar than to read it, by type.
_PASSED: Final[Mapping[str, _Read]] = {
    "string": lambda walk, rows: walk.pass_texts(rows),
    "bytes": _pass_bytes,
    "float": lambda walk, rows: walk.skip(rows, 4),
    "double": lambda walk, rows: walk.skip(rows, 8),
}
