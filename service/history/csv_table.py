"""A CSV as a table of text cells. Imports polars; use it through `eddycast.service.history`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.archives import Source
from eddycast.service.history.csv_shape import HEAD_LINES, Shape, find_shape
from eddycast.service.history.forms import looks_like_time
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.packed_cells import unpacked
from eddycast.service.history.remarks import Table
from eddycast.service.history.text import read_text
from eddycast.service.humanize import many

_NUMBERED = "numbered"
_SPACES = re.compile(rb"[ \t]+")
_ANNOTATIONS = (b"#group", b"#datatype", b"#default")
#: Columns of an InfluxDB export that are irrelevant to the readings.
_INFLUX = ("column 1", "result", "table", "_start", "_stop")


@dataclass(frozen=True, slots=True)
class _Part:
    """One table of a text: its shape, and the lines with observations."""

    shape: Shape
    body: bytes
    notes: list[str]


def read_csv(path: Source, options: ReadOptions) -> tuple[Table, list[str]]:
    """Read the table of a file, with notes on its detection. Raises DataError, OSError."""
    text, notes = read_text(path, options.encoding)
    return read_lines(path, text, notes, options)


def read_lines(
    path: Source, text: bytes, notes: list[str], options: ReadOptions
) -> tuple[Table, list[str]]:
    """Read the table of a text in UTF-8 that comes from `path`. Raises DataError."""
    for _ in range(options.skip_rows):
        text = text.partition(b"\n")[2]
    head = text[: _offset(text, HEAD_LINES)]
    annotated = any(line.startswith(_ANNOTATIONS) for line in head.split(b"\n"))
    tables = _annotated(text) if annotated else [text]
    parts = [_part(path, each, options) for each in tables]
    frames = [_frame(path, part) for part in parts]
    frame = (
        pl.concat([frame for frame, _ in frames], how="diagonal")
        if len(frames) > 1
        else frames[0][0]
    )
    notes += [*parts[0].notes, *frames[0][1]]
    frame, said = unpacked(frame)
    notes += said
    if {"table", "_time"} <= set(frame.columns) and {"_value", "result"} & set(frame.columns):
        frame = frame.drop([name for name in _INFLUX if name in frame.columns])
        notes.append(
            f"InfluxDB export{', annotated' if annotated else ''}: "
            f"reading {', '.join(frame.columns)}"
        )
    return Table(frame, path.name, parts[0].shape.delimiter), notes


def _part(path: Source, text: bytes, options: ReadOptions) -> _Part:
    lines = text[: _offset(text, HEAD_LINES)].decode(errors="replace").split("\n")
    shape = find_shape(lines, options.delimiter)
    if shape.names is None:
        first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
        raise DataError(
            f"{path}: the first line is not a header: {first[:60]}", "add a header line"
        )
    if len(shape.names) == 1 and not any(looks_like_time(line) for line in lines):
        shape.notes.append(f"no delimiter found in {shape.names[0][:40]!r}")
    start = _offset(text, shape.start)
    above = {line for line in text[:start].split(b"\n") if line.strip()}
    body, dropped = _without(text[start:], above, shape)
    return _Part(shape, body, [*shape.notes, *dropped])


def _without(body: bytes, above: set[bytes], shape: Shape) -> tuple[bytes, list[str]]:
    """The body without comments and repeated header lines, and notes;
    runs of blanks become tabs."""
    notes, comma = list[str](), shape.delimiter.encode()
    comments, again = (
        body.startswith(b"#") or b"\n#" in body,
        any(b"\n" + line in body for line in above),
    )
    if comments or again:
        lines = body.split(b"\n")
        width = len(shape.names or ())
        fresh = [line for line in lines if line not in above]
        kept = [
            line for line in fresh if not line.startswith(b"#") or line.count(comma) + 1 == width
        ]
        if repeated := len(lines) - len(fresh):
            notes.append(f"{many(repeated, 'repeated header line')} skipped")
        if said := len(fresh) - len(kept):
            notes.append(f"{many(said, 'comment line')} among the rows skipped")
        body = b"\n".join(kept)
    if shape.delimiter == " ":
        body = b"\n".join(_SPACES.sub(b"\t", line.strip()) for line in body.split(b"\n"))
    return body, notes


def _frame(path: Source, part: _Part) -> tuple[pl.DataFrame, list[str]]:
    """The cells as text. Raises DataError where rows have more cells than the header."""
    delimiter = "\t" if part.shape.delimiter == " " else part.shape.delimiter
    names = _unique(part.shape.names or [])
    notes: list[str] = []
    if not part.body.strip() or not names:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String)), notes
    try:
        return _read(part.body, delimiter, names), notes
    except pl.exceptions.PolarsError as error:
        said = f"{path}: cannot be read as a table: {str(error).splitlines()[0]}"
        widest, extra = _beyond(part.body, delimiter, len(names))
        if widest <= len(names) or (extra and extra != _NUMBERED):
            raise DataError(
                f"{path}: {extra}" if extra else said, "check the file and --delimiter"
            ) from error
    if extra == _NUMBERED:
        return _read(part.body, delimiter, ["column 0", *names]), [
            "the first cell of each row is its number: skipped"
        ]
    beyond = [f"beyond {place}" for place in range(len(names), widest)]
    frame = _read(part.body, delimiter, [*names, *beyond]).drop(beyond)
    return frame, [f"rows end with extra {delimiter!r}: ignored"]


def _read(body: bytes, delimiter: str, names: Sequence[str]) -> pl.DataFrame:
    schema = dict.fromkeys(names, pl.String)
    whole = io.BytesIO(_padded(body, delimiter, len(names)))
    return pl.read_csv(
        whole, separator=delimiter, has_header=False, schema=schema, encoding="utf8-lossy"
    )


def _padded(body: bytes, delimiter: str, width: int) -> bytes:
    """The body with its first row padded to `width` cells,
    because polars counts the columns in it."""
    first, end, rest = body.partition(b"\n")
    cells = next(csv.reader([first.decode(errors="replace")], delimiter=delimiter), [])
    if len(cells) >= width or first.count(b'"') % 2:
        return body
    return first + delimiter.encode() * (width - max(len(cells), 1)) + end + rest


def _unique(names: Sequence[str]) -> list[str]:
    """Stripped and unique names: `column 3` in place of an empty name,
    `a (2)` for a repeated one."""
    plain = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    return [
        name if (again := plain[:at].count(name)) == 0 else f"{name} ({again + 1})"
        for at, name in enumerate(plain)
    ]


def _beyond(body: bytes, delimiter: str, width: int) -> tuple[int, str]:
    """The width of the widest row, and a message about the first row that has more cells than the
    header: empty if the extra cells are empty, _NUMBERED if each row begins with an extra row
    number."""
    rows = csv.reader(io.StringIO(body.decode(errors="replace")), delimiter=delimiter)
    first, numbered, widest = "", True, 0
    for row, cells in enumerate(rows, 1):
        widest = max(widest, len(cells))
        numbered = numbered and (
            not cells or (len(cells) == width + 1 and cells[0].strip() == str(row))
        )
        if not first and any(cell.strip() for cell in cells[width:]):
            first = f"row {row:,} has {len(cells)} cells, the header {width}"
        if first and not numbered:
            break
    return widest, _NUMBERED if first and numbered else first


def _annotated(text: bytes) -> list[bytes]:
    """The tables of an annotated CSV of InfluxDB, each of which begins with annotations;
    equal headers are merged."""
    tables: dict[bytes, list[bytes]] = {}
    rows: list[bytes] = []
    begins = False
    for line in text.split(b"\n"):
        if line.startswith(b"#"):
            begins = True
        elif line.strip():
            if begins or not tables:
                rows = tables.setdefault(line, [])
                begins = False
            else:
                rows.append(line)
    return [b"\n".join([header, *lines]) for header, lines in tables.items()]


def _offset(text: bytes, lines: int) -> int:
    """The offset of a line, counted from 0; the length of the text if it has fewer lines."""
    at = 0
    for _ in range(lines):
        at = text.find(b"\n", at) + 1
        if not at:
            return len(text)
    return at
