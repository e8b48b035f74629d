"""The output of `eddycast dead-letters`: sums by error, single letters, JSON, the end of a replay.

What is in a letter may come from anyone: it is escaped, and printed without markup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eddycast.service.dead_letters.codes import CODES
from eddycast.service.dead_letters.letter import Letter
from eddycast.service.humanize import many, one_line, table_width
from eddycast.service.redrive.letters import LetterTopic
from eddycast.service.redrive.lines import line_of, moment
from eddycast.service.redrive.replay import Report

#: Maximum characters of a value, a reason or a header that are shown.
_SHOWN = 300


@dataclass(slots=True)
class _Sum:
    """Letters with one error."""

    first: Letter
    latest: Letter
    count: int = 0
    replayed: int = 0


def print_sums(letters: Iterable[Letter], topic: LetterTopic) -> None:
    """Print a row for each error, the most frequent first. Errors that the service does not know
    are one."""
    sums: dict[str, _Sum] = {}
    for letter in letters:
        error = letter.error if letter.error in CODES else "unknown"
        own = sums.setdefault(error, _Sum(letter, letter))
        own.count += 1
        own.replayed += letter.identity in topic.replayed
        own.first = min(own.first, letter, key=_written)
        own.latest = max(own.latest, letter, key=_written)
    table = Table(box=None, header_style="bold")
    for column in ("error", "letters", "replayed", "first", "last", "last record", "key", "reason"):
        table.add_column(column, overflow="fold")
    for error, own in sorted(sums.items(), key=lambda one: (-one[1].count, one[0])):
        table.add_row(*(Text(one_line(cell)) for cell in _cells(error, own)))
    console = Console(width=table_width(), highlight=False, markup=False)
    if sums:
        console.print(table)
    total, replayed = (
        sum(one.count for one in sums.values()), sum(one.replayed for one in sums.values())
    )  # fmt: skip
    typer.echo(f"{topic.name}: {many(total, 'letter')}, {replayed:,} replayed")


def print_each(letters: Iterable[Letter], topic: LetterTopic) -> None:
    """Print the letters one by one, with what to do about the errors among them."""
    errors: dict[str, int] = {}
    for letter in letters:
        errors[letter.error] = errors.get(letter.error, 0) + 1
        for line in _lines(letter, letter.identity in topic.replayed):
            typer.echo(one_line(line))
        typer.echo()
    for error, count in errors.items():
        code = CODES[error]
        typer.echo(f"{error}: {many(count, 'letter')}: {code.meaning} ({code.action})")
    if not errors:
        typer.echo(f"{topic.name}: no such letters")


def print_lines(letters: Iterable[Letter], topic: LetterTopic) -> None:
    """Print one JSON object a letter, with the whole record."""
    for letter in letters:
        typer.echo(line_of(letter, letter.identity in topic.replayed))


def print_report(report: Report, topic: str, dry_run: bool) -> None:
    """Print what became of the letters; on standard error, which of them are refused."""
    how = "would be replayed" if dry_run else "replayed"
    typer.echo(f"{many(report.replayed, 'record')} {how} to {topic}")
    if report.together:
        typer.echo(f"{many(report.together, 'further letter')} of the same records")
    if report.before:
        typer.echo(f"{many(report.before, 'letter')} replayed before")
    for place, reason in report.named:
        print(f"refused {place}: {one_line(reason)}", file=sys.stderr)  # noqa: T201
    if (rest := report.refused.total() - len(report.named)) > 0:
        print(f"and {rest:,} more", file=sys.stderr)  # noqa: T201


def _cells(error: str, own: _Sum) -> Iterator[str]:
    latest = own.latest
    yield error
    yield f"{own.count:,}"
    yield f"{own.replayed:,}"
    yield _seconds(own.first.written)
    yield _seconds(latest.written)
    yield f"{latest.topic} {latest.record_partition}:{latest.record_offset}"
    yield _abbreviated(latest.key)
    yield latest.reason[:_SHOWN]


def _lines(letter: Letter, replayed: bool) -> Iterator[str]:
    where = f"{letter.topic} {letter.record_partition}:{letter.record_offset}"
    marks = ", truncated" * letter.is_truncated + ", replayed" * replayed
    yield f"{letter.place}  {_seconds(letter.written)}{marks}"
    yield f"  record  {where} of {_seconds(letter.record_time)}"
    yield f"  key     {_abbreviated(letter.key)}"
    if letter.places:
        yield f"  reading {many(letter.readings, 'reading')}: {letter.places}"
    yield f"  reason  {letter.error}: {letter.reason[:_SHOWN]}"
    for name, value in letter.headers:
        yield f"  header  {name[:_SHOWN]} = {_abbreviated(value)}"
    yield f"  value   {_abbreviated(letter.value)}"


def _seconds(milliseconds: int) -> str:
    """A time of a letter in UTC, to the second."""
    return (moment(milliseconds) or "unknown time")[:19].replace("T", " ")


def _abbreviated(part: bytes | None) -> str:
    if part is None:
        return "none"
    text = part[: 4 * _SHOWN].decode(errors="backslashreplace")
    return text if len(text) <= _SHOWN and len(part) <= 4 * _SHOWN else f"{text[:_SHOWN]}…"


def _written(letter: Letter) -> tuple[int, int]:
    return letter.written, letter.offset
