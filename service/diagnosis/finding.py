"""The result of one check."""

from __future__ import annotations

from typing import NamedTuple, Self

from eddycast.service.errors import EddycastError


class Finding(NamedTuple):
    """Result of one check. A result that is `well` but has an `action` is a risk."""

    what: str
    found: str
    action: str = ""
    well: bool = True

    @classmethod
    def wrong(cls, what: str, error: EddycastError) -> Self:
        """The result of a check that raised `error`."""
        return cls(what, error.what, error.action, well=False)
