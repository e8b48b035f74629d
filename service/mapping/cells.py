"""Numbers as senders write them: text, words for missing, booleans, units."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.records import LARGEST

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_PLAIN = re.compile(rf"\s*({_NUMBER})\s*", re.ASCII)
_WITH_UNIT = re.compile(rf"\s*({_NUMBER})\s*(?:[^\W\d_]|[°%µμ/²³·^\"'])[^\d]{{0,15}}\s*")
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}


class Cells:
    """Converts values of a document to numbers."""

    def __init__(
        self, missing: Collection[str], *, text: bool, booleans: bool, units: bool
    ) -> None:
        """`missing` are words for a missing value, in any case. `text` accepts numbers as text,
        `booleans` true and false as 1 and 0, `units` numbers as text with a unit."""
        self._missing = frozenset(word.strip().casefold() for word in missing)
        self._text, self._booleans, self._units = text, booleans, units

    def is_number(self, found: Any) -> bool:
        """True if the value is a reading, or a missing one: of an entry that `*` matches."""
        if found is None or (isinstance(found, int | float) and not isinstance(found, bool)):
            return True
        if isinstance(found, bool):
            return self._booleans
        if not isinstance(found, str):
            return False
        return self._is_missing(found) or self._parsed(found) is not None

    def number(self, found: Any, name: str) -> float:
        """The number, NaN = missing. Raises Unreadable, which names the field `name`."""
        if found is None:
            return math.nan
        if isinstance(found, str):
            return self._of_text(found, name)
        if isinstance(found, bool) and self._booleans:
            return float(found)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self._no_number(found, name)
        return _finite(found, name)

    def _of_text(self, found: str, name: str) -> float:
        if self._is_missing(found):
            return math.nan
        number = self._parsed(found)
        if number is None:
            raise self._no_number(found, name)
        return _finite(number, name)

    def _is_missing(self, found: str) -> bool:
        return found.strip().casefold() in self._missing

    def _parsed(self, found: str) -> float | None:
        if self._text and (plain := _PLAIN.fullmatch(found)):
            return float(plain[1])
        if self._units and (plain := _PLAIN.fullmatch(found) or _WITH_UNIT.fullmatch(found)):
            return float(plain[1])
        return None

    def _no_number(self, found: Any, name: str) -> Unreadable:
        kind = f"the string {found[:40]!r}" if isinstance(found, str) else _KINDS[type(found)]
        advice = ""
        if isinstance(found, str):
            plain, unit = _PLAIN.fullmatch(found), _WITH_UNIT.fullmatch(found)
            advice = (
                "; set input.lenient_numbers to read it"
                if plain
                else "; set input.units to read it"
                if unit
                else "; if it means a missing value, add it to input.missing"
            )
        elif isinstance(found, bool):
            advice = "; set input.booleans to read it as 0 or 1"
        return Unreadable("not_a_number", f"{name} is {kind}; a number is expected{advice}")


def _finite(found: float, name: str) -> float:
    try:
        number = float(found)
    except OverflowError:
        number = math.inf
    if not abs(number) <= LARGEST:
        raise Unreadable(
            "not_finite",
            f"{name} is {number}; readings are finite and at most {LARGEST:g}; "
            "send null for a missing value",
        )
    return number
