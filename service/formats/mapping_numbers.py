"""The numbers of a reading: its channels (`input.value`), or fields that are streams of their own
(`input.fields`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.mapping.cells import Cells
from eddycast.service.mapping.pointers import ABSENT, ANY, Match, Pointer


class Channels:
    """The values of a reading of `count` channels."""

    def __init__(self, pointers: Sequence[Pointer], count: int, cells: Cells) -> None:
        self._pointers, self._count, self._cells = pointers, count, cells
        self._name = str(pointers[0])

    def read(self, element: Any) -> list[float]:
        """The numbers, NaN = missing. A single field may hold an array of all channels, or null.
        Raises Unreadable."""
        found = [pointer.find(element) for pointer in self._pointers]
        for pointer, value in zip(self._pointers, found, strict=True):
            if value is ABSENT:
                raise Unreadable("no_value", f"there is no {pointer} in the record")
        if len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        elif len(found) == 1 and found[0] is None:
            found = [None] * self._count
        name = self._name
        if len(found) != self._count:
            what = f"{name} has {len(found)} numbers; the model has {self._count} channels"
            raise Unreadable("wrong_channels", what)
        return [self._cells.number(value, name) for value in found]


class Field(NamedTuple):
    """A field of a reading."""

    name: str  # what {field} stands for
    path: str
    value: Any
    is_number: bool  # False = no number, and not named by the settings: it is passed over


class Fields:
    """The fields of a reading of which each is a stream of its own."""

    def __init__(self, pointers: Sequence[Pointer], times: set[str], cells: Cells) -> None:
        """`times` are pointers to time stamps, which `*` does not stand for."""
        self.pointers, self._times, self._cells = pointers, times, cells
        self._whole = _are_ambiguous(pointers)
        #: Names of the fields, "" where they depend on the record.
        self.names = ["" if pointer.has_any else self._named(pointer) for pointer in pointers]

    def read(self, element: Any) -> Iterator[Field]:
        """The fields that the reading has."""
        for pointer, name in zip(self.pointers, self.names, strict=True):
            for match in pointer.matches(element):
                if not pointer.has_any:
                    yield Field(name, match.path, match.value, is_number=True)
                elif match.path not in self._times:
                    number = self._cells.is_number(match.value)
                    yield Field(self._matched(pointer, match), match.path, match.value, number)

    def are_empty(self, element: Any) -> bool:
        """True if a `*` stands for the entries of something that exists, and has none."""
        return any(
            pointer.has_any
            and isinstance(Pointer(pointer.tokens[: _first(pointer)]).find(element), dict | list)
            for pointer in self.pointers
        )

    def _named(self, pointer: Pointer) -> str:
        return "/".join(pointer.tokens) if self._whole else pointer.tokens[-1]

    def _matched(self, pointer: Pointer, match: Match) -> str:
        """The tokens of a match from the first `*` on, or all of them."""
        found = iter(match.any)
        tokens = [next(found) if token == ANY else token for token in pointer.tokens]
        return "/".join(tokens if self._whole else tokens[_first(pointer) :])


def _first(pointer: Pointer) -> int:
    return pointer.tokens.index(ANY)


def _are_ambiguous(pointers: Sequence[Pointer]) -> bool:
    """True if two fields could have the same name unless that is their whole path."""
    named = [pointer.tokens[-1] for pointer in pointers if not pointer.has_any]
    wild = {pointer.tokens[: _first(pointer)] for pointer in pointers if pointer.has_any}
    return len(set(named)) < len(named) or len(wild) + bool(named) > 1
