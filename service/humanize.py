"""Text for people: counts (`1 stream`), durations (`1.5 hours`), error messages,
and text that is safe to print."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TextIO

_SPANS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))


def many(count: int, noun: str) -> str:
    """A count with its noun: `1 stream`, `1,000 streams`."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")


def some(names: Sequence[str], most: int = 12) -> str:
    """The first of several names: `a, b, c and 30 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def span(milliseconds: int) -> str:
    """A duration in the largest unit that fits, with one decimal: 5,400,000 -> `1.5 hours`."""
    for size, noun in _SPANS:
        if milliseconds >= size:
            count = round(milliseconds / size, 1)
            return many(int(count), noun) if count == int(count) else f"{count:,} {noun}s"
    return f"{milliseconds} ms"


#: Columns in a pipe or file, where neither a table loses a cell nor a line is broken.
_ENDLESS = 1_000


def table_width() -> int:
    """Columns of the terminal, or of `COLUMNS`; in a pipe or file enough to break no cell."""
    return shutil.get_terminal_size((_ENDLESS, 25)).columns


def line_width(stream: TextIO) -> int | None:
    """Columns of a console on `stream`: None = those of its terminal,
    or enough to break no line of a log."""
    return None if stream.isatty() else _ENDLESS


def in_words(error: BaseException) -> str:
    """The message of an error, or the name of its class where the message is empty."""
    return str(error) or type(error).__name__


def one_line(text: str) -> str:
    """`text` with unprintable characters escaped,
    so that external text can neither break the line nor control the terminal."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    )
