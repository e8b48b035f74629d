"""Text for people: counts and durations (`1 stream`, `1.5 hours`), errors, and untrusted text in one line."""

from __future__ import annotations

_SPANS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))


def many(count: int, noun: str) -> str:
    """Format a count with its noun: `1 stream`, `1,000 streams`."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")


def span(milliseconds: int) -> str:
    """Format a duration in the largest unit that it fills: 5,400,000 -> `1.5 hours`."""
    for size, noun in _SPANS:
        if milliseconds >= size:
            count = round(milliseconds / size, 1)
            return many(int(count), noun) if count == int(count) else f"{count:,} {noun}s"
    return f"{milliseconds} ms"


def in_words(error: BaseException) -> str:
    """Return the error's message, or the name of its class if it has none."""
    return str(error) or type(error).__name__


def one_line(text: str) -> str:
    """Escape every character that is not printable, so that untrusted text cannot break lines or control a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
