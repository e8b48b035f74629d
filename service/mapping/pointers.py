"""JSON Pointers (RFC 6901), in which the token `*` stands for every entry of an object or array.

/payload/temp        one value
/fields/*            every entry of "fields"
/rooms/*/sensors/*   every sensor of every room
/a~1b                the field "a/b"; ~0 is a tilde
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

#: Stands for a value that a document does not have; JSON's null is None.
ABSENT: Final = object()
ANY = "*"


class Match(NamedTuple):
    """A value that a pointer matches."""

    path: str  # the pointer to it, without *
    any: tuple[str, ...]  # what each * stands for
    value: Any


@dataclass(frozen=True, slots=True)
class Pointer:
    """A parsed pointer; () = the whole document."""

    tokens: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError unless `text` is a pointer."""
        if not text.startswith("/"):
            raise ValueError(f"{text!r} is no JSON Pointer: it begins with /, as /payload/temp")
        if re.search(r"~(?![01])", text):
            raise ValueError(f"{text!r} is no JSON Pointer: ~ is written ~0, and / in a name ~1")
        parts = text[1:].split("/")
        return cls(tuple(part.replace("~1", "/").replace("~0", "~") for part in parts))

    def __str__(self) -> str:
        return "".join("/" + escaped(token) for token in self.tokens)

    @property
    def has_any(self) -> bool:
        """True if it may match several values."""
        return ANY in self.tokens

    def find(self, document: object) -> Any:
        """The value in a document, ABSENT if there is none. Not for pointers with `*`."""
        for token in self.tokens:
            document = _entry(document, token)
            if document is ABSENT:
                break
        return document

    def matches(self, document: object) -> Iterator[Match]:
        """Every value that the pointer matches, in the order of the document."""
        yield from _matches(document, self.tokens, "", ())


def escaped(token: str) -> str:
    """A token as it is written in a pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def _entry(document: object, token: str) -> Any:
    if isinstance(document, dict):
        return document.get(token, ABSENT)
    if isinstance(document, list) and re.fullmatch("0|[1-9][0-9]{0,8}", token):
        return document[int(token)] if int(token) < len(document) else ABSENT
    return ABSENT


def _entries(document: object) -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict):
        yield from document.items()
    elif isinstance(document, list):
        for i, entry in enumerate(document):
            yield str(i), entry


def _matches(
    document: object, tokens: tuple[str, ...], path: str, any_: tuple[str, ...]
) -> Iterator[Match]:
    if not tokens:
        yield Match(path, any_, document)
        return
    token, rest = tokens[0], tokens[1:]
    if token == ANY:
        for name, entry in _entries(document):
            yield from _matches(entry, rest, f"{path}/{escaped(name)}", (*any_, name))
    elif (entry := _entry(document, token)) is not ABSENT:
        yield from _matches(entry, rest, f"{path}/{escaped(token)}", any_)
