"""The beginning of a CSV, where it is not what a table begins with; said in words that name the place."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from service.errors import DataError

_STAMP = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def refuse_other_than_text(path: Path, head: bytes) -> None:
    """Raises DataError where `head`, the first bytes of a file, is no UTF-8 or the like."""
    if head.startswith(_UTF16):
        raise DataError(f"{path}: the text is UTF-16", "save it as UTF-8")
    if b"\0" in head:
        raise DataError(f"{path}: this is no text", "give a CSV, or a Parquet file whose name ends in .parquet")


def require_header(path: Path, names: Sequence[str]) -> None:
    """Raises DataError where a column is called like a time: the first line is then an observation."""
    if any(_STAMP.match(name) for name in names):
        raise DataError(f"{path}: the first line names no columns: {', '.join(names[:5])}", "put a header line above")


def ragged_row(file: TextIO, delimiter: str) -> str:
    """Where a row has more cells than the header, in words; empty if none has."""
    rows = csv.reader(file, delimiter=delimiter)
    width = len(next(rows, []))
    found = next(((row, len(cells)) for row, cells in enumerate(rows, 1) if len(cells) > width), None)
    return f"row {found[0]:,} has {found[1]} cells, the header {width}" if found else ""
