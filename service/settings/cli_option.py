"""Command-line options as annotations of dataclass fields: `lags:
Annotated[int, Option("Past values.")] = 48`.

The dataclass remains an ordinary argument of functions, while `eddycast.service.commands.expand`
turns its fields into options of a command. So each default and each description is defined once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """The command-line option of a dataclass field, given in the field's annotation.

    `flags` replaces the flag that follows from the field's name: `("--first/--last",)`, or
    `(" /--no-linear",)` for a field that is true unless the flag is given. `parse` converts the
    text of the option where typer cannot; a field of type `tuple[str, ...]` needs none, its option
    is a list with commas. `shown_default` replaces the default in --help.
    """

    help: str
    flags: tuple[str, ...] = ()
    min: float | None = None
    parse: Callable[[str], Any] | None = None
    shown_default: str | None = None


def listed(text: str) -> tuple[str, ...]:
    """The items of a comma-separated list, without blanks around them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
