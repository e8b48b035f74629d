"""Filters of records and of streams: `input.where` and `input.streams`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Self

from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.mapping.sources import Source, source
from eddycast.service.mapping.templates import text_of

_AND = re.compile(r"\s+and\s+")
_COMPARISON = re.compile(r"\s*(?P<place>[^\s=!]+)\s*(?P<sign>!=|=)\s*(?P<literal>.*?)\s*")
_PRESENCE = re.compile(r"\s*(?P<sign>!?)\s*(?P<place>[^\s=!]+)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A place of the record, compared with a text; None = the place has a value."""

    place: Source
    literal: str | None
    wanted: bool  # False = must not be so

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        if compared := _COMPARISON.fullmatch(text):
            literal = _unquoted(compared["literal"])
            return cls(source(compared["place"]), literal, compared["sign"] == "=")
        if present := _PRESENCE.fullmatch(text):
            return cls(source(present["place"]), None, present["sign"] != "!")
        raise ValueError(f"{text!r} is no condition: write /type = reading, or /value")

    def accepts(self, found: Any) -> bool:
        """True if a value of the place meets the condition."""
        if self.literal is None:
            return (found is not ABSENT and found is not None) is self.wanted
        return _equal(found, self.literal) is self.wanted


def conditions(text: str) -> tuple[Condition, ...]:
    """Parse conditions that are joined by `and`. Raises ValueError."""
    return tuple(Condition.parse(part) for part in _AND.split(text.strip()))


def _equal(found: Any, literal: str) -> bool:
    text = "null" if found is None else text_of(found)
    if text == literal:
        return True
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    try:
        return float(literal) == found
    except ValueError:
        return False


def _unquoted(literal: str) -> str:
    if literal[:1] == '"' == literal[-1:]:
        try:
            return str(json.loads(literal))
        except ValueError:
            raise ValueError(f"{literal} is no text in quotes") from None
    return literal


class StreamFilter:
    """Globs of streams: served are those that one without `!` matches, and none with `!`."""

    def __init__(self, globs: Sequence[str]) -> None:
        yes = [glob for glob in globs if not glob.startswith("!")]
        no = [glob[1:].strip() for glob in globs if glob.startswith("!")]
        self._yes = re.compile("|".join(map(translate, yes)) or ".*", re.DOTALL)
        self._no = re.compile("|".join(map(translate, no)) or "(?!)")

    def __call__(self, stream: str) -> bool:
        """True if the stream is served."""
        return self._yes.match(stream) is not None and self._no.match(stream) is None
