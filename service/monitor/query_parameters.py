"""Query parameters of a request, checked one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from starlette.exceptions import HTTPException

from eddycast.service.monitor.views import SORTS, Sort
from eddycast.service.monitor.windows import WINDOWS


class Parameters:
    """Reads parameters; each method raises HTTPException 400 for a value that is not allowed."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._asked: set[str] = set()

    def has(self, name: str) -> bool:
        """True if the parameter is there."""
        return name in self._given

    def text(self, name: str) -> str:
        """A text of any content; "" if it is not there."""
        return self._value(name) or ""

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of `choices`; the first if it is not there."""
        value = self._value(name) or choices[0]
        if value not in choices:
            raise HTTPException(400, f"{name} must be one of {', '.join(choices)}")
        return value

    def sort(self) -> Sort:
        """The order of a list."""
        return cast(Sort, self.choice("sort", SORTS))

    def window(self) -> str:
        """The window of time of scores; by default a day."""
        return self.choice("window", ("day", *(name for name in WINDOWS if name != "day")))

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """An integer between `least` and `most`."""
        value = self.optional_number(name, least, most)
        return default if value is None else value

    def optional_number(self, name: str, least: int, most: int) -> int | None:
        """An integer between `least` and `most`, None if it is not there."""
        value = self._value(name)
        if value is None:
            return None
        if not value.isascii() or not value.isdigit() or not least <= int(value[:20]) <= most:
            raise HTTPException(400, f"{name} must be a whole number from {least} to {most}")
        return int(value)

    def time(self, name: str) -> int | None:
        """A time in ms since the epoch, given as such or in ISO 8601 (UTC without a zone)."""
        value = self._value(name)
        if value is None:
            return None
        if value.lstrip("-").isdigit() and len(value) < 16:
            return int(value)
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            raise HTTPException(
                400, f"{name} must be ms since the epoch or a time as 2024-01-01T00:00:00Z"
            ) from None
        return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)

    def check_all_known(self) -> None:
        """Raise HTTPException 400 for a parameter that nothing has read."""
        if unknown := sorted(set(self._given) - self._asked):
            raise HTTPException(400, f"there is no parameter {unknown[0][:40]!r} here")

    def _value(self, name: str) -> str | None:
        self._asked.add(name)
        return self._given.get(name)
