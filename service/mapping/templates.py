"""Names of streams: text with places of the record in braces, as `{/tags/host}/{name}`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.mapping.sources import Context, Read, Source, source

#: Stands between the names of a stream and of a channel (`input.channel`) while records are read.
CHANNEL_MARK: Final = "\ue000"
_PART = re.compile(r"\{([^{}]*)\}|([^{}]+)|([{}])")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: text and places in turn."""

    text: str
    parts: tuple[str | Source, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        parts: list[str | Source] = []
        for place, literal, brace in _PART.findall(text):
            if brace:
                raise ValueError("a brace is open or empty: places are written as {key}")
            parts.append(literal or source(place))
        if not any(isinstance(part, Source) for part in parts):
            raise ValueError("it names one stream: places are written as {key} or {/tags/host}")
        return cls(text, tuple(parts))

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(part for part in self.parts if isinstance(part, Source))

    def names(self, place: str) -> bool:
        """True if the template contains {place}."""
        return Source(place) in self.sources


class Namer:
    """Fills a template for a reading."""

    def __init__(self, template: Template) -> None:
        self._parts: list[str | tuple[str, Read]] = [
            part if isinstance(part, str) else (part.name, part.reader()) for part in template.parts
        ]

    def __call__(self, context: Context) -> str:
        """The stream's name. Raises Unreadable."""
        return self.filled([part[1](context) for part in self._parts if not isinstance(part, str)])

    def filled(self, found: Sequence[Any]) -> str:
        """The name with what was found at each place, in their order. Raises Unreadable."""
        rest = iter(found)
        return "".join(
            part if isinstance(part, str) else _text(part[0], next(rest)) for part in self._parts
        )


def text_of(found: Any) -> str | None:
    """A scalar as text; None for null, objects, arrays and ABSENT."""
    if isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found) if isinstance(found, int | float) else None


def _text(name: str, found: Any) -> str:
    text = text_of(found)
    if text:
        return text
    what = "is missing" if found is ABSENT else "is empty" if text == "" else "is no text or number"
    if name == "key":
        raise Unreadable("no_key", f"the record's key {what}; input.stream contains {{key}}")
    raise Unreadable("no_stream", f"{name} {what}; input.stream contains {{{name}}}")
