"""Types for msgspec that hold the fields of a mapping, and nothing else of a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from eddycast.service.formats.columns import Contents, Tokens
from eddycast.service.mapping.pointers import ABSENT, ANY

#: A number, if nothing else is read as one.
NUMBER: Any = float | None
#: Anything but an object or an array.
SCALAR: Any = int | float | str | bool | None
#: Function of objects of a type (or of `AvroRows`): the value of one field in each of them.
Column = Callable[[Any], Contents]


class Unsupported(Exception):
    """The fields cannot be held by a type: the mapping has no fast path."""


def struct_of(leaves: Mapping[Tokens, Any]) -> tuple[type, dict[Tokens, Column]]:
    """Return a type for the fields at `leaves` with the types given there, and their columns.

    An absent field is ABSENT. Raises Unsupported if a field lies inside another, or where a token
    may be the index of an array.
    """
    trie: dict[str, Any] = {}
    columns: dict[Tokens, Column] = {}
    for tokens, kind in leaves.items():
        if not tokens or any(part.isdigit() or part == ANY for part in tokens):
            raise Unsupported
        level = trie
        for token in tokens[:-1]:
            level = level.setdefault(token, {})
            if not isinstance(level, dict):
                raise Unsupported
        if tokens[-1] in level:
            raise Unsupported
        level[tokens[-1]] = (kind,)
    root = _node(trie)
    for tokens in leaves:
        columns[tokens] = _column(".".join(_path(trie, tokens)))
    return root, columns


def _node(trie: dict[str, Any]) -> type:
    fields: list[tuple[str, Any, Any]] = []
    for number, child in enumerate(trie.values()):
        if isinstance(child, dict):
            inner = _node(child)
            fields.append((f"f{number}", inner, inner()))
        else:
            fields.append((f"f{number}", child[0], ABSENT))
    names = {f"f{number}": token for number, token in enumerate(trie)}
    return msgspec.defstruct("Node", fields, rename=names, frozen=True, gc=False)


def _path(trie: dict[str, Any], tokens: Tokens) -> list[str]:
    path, level = [], trie
    for token in tokens:
        path.append(f"f{list(level).index(token)}")
        level = level[token]
    return path


def _column(path: str) -> Column:
    get = attrgetter(path)
    return lambda objects: list(map(get, objects))


def dict_column(tokens: Tokens) -> Column:
    """The column of a field of objects that are dicts."""

    def column(objects: Sequence[Any]) -> list[Any]:
        found = list(objects)
        for token in tokens:
            found = [one.get(token, ABSENT) if isinstance(one, dict) else ABSENT for one in found]
        return found

    return column
