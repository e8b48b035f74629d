"""Names of streams, filled from columns and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.json_observation import check_key
from eddycast.service.formats.mapping import Mapping
from eddycast.service.mapping.templates import text_of

#: A stream's name; None = there is none, or it is not allowed; False = it is not served.
Name = bytes | bool | None
#: Number of names that are remembered.
_REMEMBERED = 1 << 17


class StreamNames:
    """Names of streams for columns of what a template contains."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._known = _Known(mapping)

    def keys(self, column: Sequence[bytes | None]) -> list[str | None]:
        """Keys as text, None = there is none."""
        return [self._mapping.key_text(key) for key in column]

    def read(self, columns: Sequence[Sequence[Any]]) -> list[Name]:
        """Name of each reading; keys are given as bytes."""
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        texts = [_texts(column) for column in columns]
        known = self._known
        if len(texts) == 1:
            return [known[text] for text in texts[0]]
        return [known[parts] for parts in zip(*texts, strict=True)]


class _Known(dict[Any, Name]):
    """Names by what fills the template: a single text, or a tuple."""

    def __init__(self, mapping: Mapping) -> None:
        super().__init__()
        self._mapping = mapping

    def __missing__(self, parts: Any) -> Name:
        try:
            name = self._name(parts if isinstance(parts, tuple) else (parts,))
        except Unreadable:
            return None  # not remembered: it may be very long
        self[parts] = name
        return name

    def _name(self, parts: tuple[str | bytes | None, ...]) -> bytes | bool:
        """Raises Unreadable."""
        texts: list[str | None] = []
        for part in parts:
            if isinstance(part, bytes):
                check_key(part)
                texts.append(self._mapping.key_text(part))
            else:
                texts.append(part)
        name = self._mapping.checked_name(self._mapping.name.filled(texts))
        return name if self._mapping.serves(name) else False


def _texts(column: Sequence[Any]) -> Sequence[Any]:
    if set(map(type, column)) <= {str, bytes}:
        return column
    return [found if isinstance(found, bytes) else text_of(found) for found in column]
