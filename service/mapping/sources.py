"""Places of a record that a mapping reads: its key, a header, a field.

key, topic     of the record
record         its broker time
topic.1        first level of the topic, as of an MQTT topic whose levels / separates
header.NAME    the last header of that name
field          name of the field that holds the number (`input.fields`)
1, 2, ...      what the first, second, ... `*` of `input.each` stands for
/tags/host     a field, looked up in the reading first, then in the whole record
host           the same as /host
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eddycast.service.mapping.pointers import ABSENT, Pointer

HEADER = "header."
_LEVEL = re.compile(r"topic\.([1-9][0-9]?)")


@dataclass(slots=True)
class Context:
    """A reading inside a record."""

    topic: str
    key: str | None
    headers: Mapping[str, str]
    time: int  # broker time of the record, ms; -1 = none
    document: Any
    element: Any  # the reading itself: the document, or an entry of it
    raw_key: bytes | None = None
    any: tuple[str, ...] = ()  # what each * of `input.each` stands for
    field: str = ""


Read = Callable[[Context], Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A place of a record, by its name."""

    name: str

    @property
    def pointer(self) -> Pointer | None:
        """The field that is read, None if it is no field."""
        if self.name in ("key", "topic", "field", "record") or self.name.startswith(HEADER):
            return None
        if self.name.isdigit() or _LEVEL.fullmatch(self.name):
            return None
        return Pointer.parse(self.name if self.name.startswith("/") else "/" + self.name)

    @property
    def is_read_by_record(self) -> bool:
        """True if the place is found by reading one record after the other."""
        return self.name.isdigit() or _LEVEL.fullmatch(self.name) is not None

    def reader(self) -> Read:
        """Function that returns the value, ABSENT if there is none. Raises ValueError."""
        name = self.name
        if name in ("key", "topic", "field"):
            return lambda context: _present(getattr(context, name))
        if name == "record":
            return lambda context: context.time if context.time >= 0 else ABSENT
        if name.startswith(HEADER):
            header = name.removeprefix(HEADER)
            return lambda context: context.headers.get(header, ABSENT)
        if name.isdigit():
            return lambda context: _nth(context.any, int(name))
        if level := _LEVEL.fullmatch(name):
            number = int(level[1])
            return lambda context: _nth(tuple(context.topic.split("/")), number)
        pointer = self.pointer
        if pointer is None or pointer.has_any:
            raise ValueError(f"{name!r} names more than one value")
        return lambda context: _field(pointer, context)


def source(text: str) -> Source:
    """Parse the name of a place. Raises ValueError."""
    if not re.fullmatch(r"\S.*", text.strip()) or text.strip() == HEADER:
        raise ValueError("a place is missing, as key, header.NAME or /field")
    parsed = Source(text.strip())
    parsed.reader()
    return parsed


def _field(pointer: Pointer, context: Context) -> Any:
    found = pointer.find(context.element)
    if found is ABSENT and context.element is not context.document:
        found = pointer.find(context.document)
    return found


def _present(found: str | None) -> Any:
    return ABSENT if found is None else found


def _nth(found: tuple[str, ...], number: int) -> Any:
    return found[number - 1] if 1 <= number <= len(found) else ABSENT
