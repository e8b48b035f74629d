"""Detection of a table in a text: its delimiter, its header,
and the lines around the header that are no data.

Loggers write a preamble (TOA5, comments, `sep=`) above the header, and units below it. The first
row of observations is the first one with times and numbers in the same columns as the later rows.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from eddycast.service.history.column_words import is_time_word
from eddycast.service.history.forms import (
    is_blank,
    looks_like_number,
    looks_like_time,
    looks_like_unit,
)

#: Number of lines from which the table is detected.
HEAD_LINES = 300
_DELIMITERS = ("\t", ";", "|", ",")
_SPACES = re.compile(r"[ \t]+")
_SEPARATOR_LINE = re.compile(r'^\s*"?sep=(.)"?\s*$', re.IGNORECASE)
_LOGGER_LINES = ("TOA5", "TOB1", "TOACI1")
#: Minimum share of rows of equal width for a delimiter to be accepted.
_STEADY = 0.8


@dataclass(frozen=True, slots=True)
class Row:
    """Cells of a row of text that spans the lines `line` to `end` (exclusive), counted from 0."""

    cells: list[str]
    line: int
    end: int

    @property
    def comment(self) -> bool:
        return bool(self.cells) and self.cells[0].lstrip().startswith("#")


@dataclass(frozen=True, slots=True)
class Shape:
    """Delimiter, column `names` (None without a header) and first line of the observations,
    `start`."""

    delimiter: str
    names: list[str] | None
    start: int
    notes: list[str] = field(default_factory=list)


def find_shape(lines: Sequence[str], delimiter: str | None) -> Shape:
    """Detect the shape of a table from its first lines."""
    told = next((match[1] for line in lines[:1] if (match := _SEPARATOR_LINE.match(line))), None)
    first = 0 if told is None else 1
    delimiter = delimiter or told or _delimiter(lines[first:])
    rows = split_rows(lines, delimiter, first)
    start = _first_observation(rows)
    if start is None:
        return _by_the_first_line(rows, delimiter)
    header = _header(rows, start)
    notes: list[str] = []
    if header is None:
        return Shape(delimiter, None, rows[start].line, notes)
    if above := rows[header].line - first:
        notes.append(
            f"lines above the header: {above} skipped, the header is line {rows[header].line + 1}"
        )
    if below := [row for row in rows[header + 1 : start] if not row.comment and any(row.cells)]:
        units = "; ".join(delimiter.join(row.cells) for row in below)
        notes.append(f"lines of units below the header: {len(below)} skipped ({units[:80]})")
    names = _with_levels(rows, header)
    if rows[header].comment:
        names = _uncommented(names)
    return Shape(delimiter, names, rows[start].line, notes)


def split_rows(lines: Sequence[str], delimiter: str, first: int = 0) -> list[Row]:
    """The lines from `first` on as rows of cells; a quoted cell may continue over several lines."""
    if delimiter == " ":
        return [
            Row(_SPACES.split(line.strip()), at, at + 1)
            for at, line in enumerate(lines)
            if at >= first
        ]
    reader = csv.reader((line + "\n" for line in lines[first:]), delimiter=delimiter)
    rows, line = [], first
    for cells in reader:
        rows.append(Row(cells, line, first + reader.line_num))
        line = first + reader.line_num
    return rows


def _delimiter(lines: Sequence[str]) -> str:
    """The first delimiter that gives rows of equal width, header included;
    or a blank if that does."""
    found = {
        each: _widths([row for row in split_rows(lines, each) if row.cells])
        for each in (*_DELIMITERS, " ")
    }
    for delimiter in (*_DELIMITERS, " "):
        width, steady, header = found[delimiter]
        if width > 1 and steady >= _STEADY and header > 1:
            return delimiter
    header_line = re.sub(
        r'"[^"]*"', "", next((line for line in lines if line.strip() and line[0] != "#"), "")
    )
    return max((",", ";", "\t", "|"), key=header_line.count)


def _widths(rows: list[Row]) -> tuple[int, float, int]:
    """The most frequent width of the later rows, its share,
    and the maximum width of the earlier ones."""
    later = [
        len(row.cells) - (row.cells[-1] == "") for row in rows[len(rows) // 2 :] if not row.comment
    ]
    if not later:
        return 0, 0.0, 0
    width, count = Counter(later).most_common(1)[0]
    head = [
        row for row in rows[: max(len(rows) // 2, 1)] if not any(map(looks_like_time, row.cells))
    ]
    return width, count / len(later), max((len(row.cells) for row in head), default=width)


def _first_observation(rows: list[Row]) -> int | None:
    """The index of the first row with times (or else numbers) in the same columns as most of the
    later rows."""
    later = [row for row in rows[len(rows) // 2 :] if any(not is_blank(cell) for cell in row.cells)]
    if not later:
        return None
    width = max(len(row.cells) for row in later)
    times = [at for at in range(width) if _mostly(later, at, looks_like_time)]
    numbers = [
        at for at in range(width) if at not in times and _mostly(later, at, looks_like_number)
    ]
    for i, row in enumerate(rows):
        if row.comment and not later[0].comment:
            continue
        if times and any(looks_like_time(_cell(row, at)) for at in times):
            return i
        held = [cell for at in numbers if not is_blank(cell := _cell(row, at))]
        if not times and held and all(map(looks_like_number, held)):
            return i
    return None


def _mostly(rows: list[Row], at: int, test: Callable[[str], bool]) -> bool:
    cells = [cell for row in rows if not is_blank(cell := _cell(row, at))]
    return bool(cells) and sum(map(test, cells)) > 0.6 * len(cells)


def _cell(row: Row, at: int) -> str:
    return row.cells[at] if at < len(row.cells) else ""


def _header(rows: list[Row], start: int) -> int | None:
    """The index of the header among the rows above the first observation: the first one with a word
    for time, else the first one if all others are units, else the last one."""
    wide = max(2, sum(not is_blank(cell) for cell in rows[start].cells))
    block: list[int] = []
    for i in range(start - 1, -1, -1):
        cells = rows[i].cells
        if not any(cell.strip() for cell in cells):
            continue
        narrow = len(cells) < max(2, min(wide, len(rows[start].cells)) - 1)
        if cells[0].strip('" ') in _LOGGER_LINES or (narrow and not rows[i].comment):
            break
        if narrow:
            continue
        block.insert(0, i)
    plain = [i for i in block if not rows[i].comment] or _commented(rows, block)
    if not plain:
        return None
    named = [
        i
        for i in plain
        if any(map(is_time_word, rows[i].cells)) and not any(map(looks_like_time, rows[i].cells))
    ]
    if named:
        return named[0]
    return (
        plain[0]
        if all(looks_like_unit(cell) for i in plain[1:] for cell in _uncommented(rows[i].cells))
        else plain[-1]
    )


def _with_levels(rows: list[Row], header: int) -> list[str]:
    """The names of columns; where all but the first have none, they are joined from the rows above
    it, as pandas writes columns of several levels."""
    names = [cell.strip() for cell in rows[header].cells]
    above = [row for row in rows[:header] if len(row.cells) == len(names)]
    if any(names[1:]) or not above:
        return names
    levels = zip(*(row.cells[1:] for row in above), strict=True)
    return [names[0], *("/".join(filter(None, map(str.strip, each))) for each in levels)]


def _commented(rows: list[Row], block: list[int]) -> list[int]:
    """The commented lines among which the header is: the last one, with the one above it if that
    is as wide and the last one has only units."""
    last, above = block[-1:], block[-2:-1]
    units = last and all(map(looks_like_unit, _uncommented(rows[last[0]].cells)))
    wide = above and last and len(rows[above[0]].cells) == len(rows[last[0]].cells)
    return [*above, *last] if units and wide else last


def _uncommented(names: list[str]) -> list[str]:
    return [re.sub(r"^#+\s*", "", names[0]), *names[1:]]


def _by_the_first_line(rows: list[Row], delimiter: str) -> Shape:
    """The shape of a table without observations or with words alone:
    its header is the first line with cells."""
    header = next((row for row in rows if not row.comment and any(row.cells)), None)
    if header is None:
        return Shape(delimiter, [], 0)
    return Shape(delimiter, [cell.strip() for cell in header.cells], header.end)
