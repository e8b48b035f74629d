"""Cells of a table as numbers; the decimal mark is detected column by column. Imports polars; use
it through `eddycast.service.history`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.forms import MISSING
from eddycast.service.history.history import Mask
from eddycast.service.records import LARGEST, Float64

_SIGN, _POWER = r"^[-+]?", r"([eE][-+]?\d+)?$"
_GROUPS = {",": r"\d{1,3}(,\d{3})+(\.\d+)?", ".": r"\d{1,3}(\.\d{3})+(,\d+)?"}
#: Cells that are valid with one decimal mark only:
#: without exactly three figures after it, or with a group before it.
_PROOF = {
    ".": _SIGN + r"(\d*\.(\d{1,2}|\d{4,})|0+\.\d+|\d{4,}\.\d+|\d*\.\d+[eE][-+]?\d+"
    r"|\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,})" + _POWER,
    ",": _SIGN + r"(\d*,(\d{1,2}|\d{4,})|0+,\d+|\d{4,},\d+|\d*,\d+[eE][-+]?\d+"
    r"|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,})" + _POWER,
}
_OPEN = {mark: _SIGN + rf"[1-9]\d{{0,2}}\{mark}\d{{3}}$" for mark in ".,"}
_WHOLE = _SIGN + r"[1-9]\d{0,2}$"
_PADDED = r"^[-+]?0\d+,"
_SPACED = r"(\d)[ \u00a0\u2009\u202f'’](\d{3})"
_UNIT = r"^([-+]?[\d.,]*\d(?:[eE][-+]?\d+)?)\s*([^\d\s.,+\-][^\d]{0,9})$"
_DELIMITERS_OF_COMMAS = (";",)
#: Maximum share of cells without the unit of the others;
#: in a column of `1.2k` and `950` it is a factor.
_BARE = 0.01


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column as numbers: `values` [rows], NaN for missing cells (`missing` is their number) and
    where `unparsable` [rows] is set. `figures` [rows] marks unparsable cells that contain figures,
    which may be readings in an unknown format. `unit` is the text after the numbers."""

    values: Float64
    missing: int
    unparsable: Mask
    figures: Mask
    unit: str = ""

    @property
    def cells(self) -> int:
        """Number of cells that are not missing."""
        return len(self.values) - self.missing

    def only(self, rows: Mask) -> Numbers:
        """The column restricted to some rows."""
        missing = int((np.isnan(self.values) & ~self.unparsable)[rows].sum())
        return Numbers(
            self.values[rows], missing, self.unparsable[rows], self.figures[rows], self.unit
        )

    @property
    def is_numeric(self) -> bool:
        """True if at least half of the cells that are not missing are numbers."""
        return self.cells > 0 and int(np.count_nonzero(self.unparsable)) * 2 <= self.cells


def numbers(column: pl.Series, decimal: str = ".", missing: Iterable[str] = ()) -> Numbers:
    """Read a column as numbers; those beyond LARGEST are unparsable. Never raises:
    the caller checks the counts."""
    unit = ""
    if column.dtype == pl.String:
        cells = blank_missing(column, missing)
        values, unit = _read(cells, decimal)
    elif column.dtype.is_numeric():
        cells = column.cast(pl.Float64).fill_nan(None)
        values = cells
    else:
        words = column.is_not_null().to_numpy()
        return Numbers(
            np.full(len(column), np.nan),
            column.null_count(),
            words,
            np.zeros(len(column), dtype=bool),
        )
    array = values.fill_null(float("nan")).to_numpy().astype(np.float64)
    for code in codes(missing, decimal):
        array = np.where(array == code, np.nan, array)
        cells = cells.set(pl.Series(array).is_nan() & values.is_not_null(), None)
    array = np.where(np.abs(array) <= LARGEST, array, np.nan)
    unparsable = np.isnan(array) & cells.is_not_null().to_numpy()
    figures = unparsable & cells.cast(pl.String).str.contains(r"\d").fill_null(False).to_numpy()
    return Numbers(array, cells.null_count(), unparsable, figures, unit)


def blank_missing(column: pl.Series, missing: Iterable[str] = ()) -> pl.Series:
    """A text column with stripped cells, null where a cell is a spelling of a missing value."""
    cells = column.str.strip_chars(" \t\u00a0\ufeff")
    spellings = [*MISSING, *(word.strip().lower() for word in missing)]
    return cells.set(cells.str.to_lowercase().is_in(spellings).fill_null(True), None)


def codes(spellings: Iterable[str], decimal: str = ".") -> list[float]:
    """The spellings that are numbers, as numbers: `-200` also covers -200.0."""
    found = []
    for word in spellings:
        try:
            found.append(float(word.replace(decimal, ".")))
        except ValueError:
            continue
    return found


def decimal_marks(
    frame: pl.DataFrame, delimiter: str, told: str | None, dotted_dates: bool
) -> dict[str, str]:
    """The decimal mark of each text column: as proven by its cells, else `told`, else as suggested
    by the other columns and the delimiter. Raises DataError for a column that is ambiguous."""
    texts = [name for name in frame.columns if frame[name].dtype == pl.String]
    cells = {
        name: _plain(blank_missing(frame[name])).drop_nulls().str.replace(_UNIT, "$1")
        for name in texts
    }
    if delimiter == ",":  # a quoted "+0120,1" is a reading with a flag
        cells = {
            name: column.filter(~column.str.contains(_PADDED)) for name, column in cells.items()
        }
    proofs = {name: {mark: _count(cells[name], _PROOF[mark]) for mark in ".,"} for name in texts}
    elsewhere = {
        mark: [name for name in texts if proofs[name][mark] > proofs[name][_other(mark)]]
        for mark in ".,"
    }
    if delimiter == ",":  # points in a comma-separated file are decimal marks
        elsewhere["."] += [
            name
            for name in texts
            if not any(proofs[name].values()) and _count(cells[name], _OPEN["."])
        ]
    marks = {}
    for name in texts:
        proof = proofs[name]
        if proof["."] or proof[","]:
            marks[name] = "," if proof[","] > proof["."] else "."
            continue
        open_ = {mark: _count(cells[name], _OPEN[mark]) for mark in ".,"}
        if not any(open_.values()):
            marks[name] = told or "."
            continue
        seen = max(".,", key=lambda mark: open_[mark])
        grouped = _count(cells[name], _WHOLE) > 0 and open_[seen] >= 20
        mark = told or _likely(seen, grouped, elsewhere, delimiter, dotted_dates)
        if mark is None:
            example = cells[name].filter(cells[name].str.contains(_OPEN[seen]))[0]
            raise DataError(
                f"column {name!r}: {example} is {example.replace(',', '.')} or "
                f"{example.replace(',', '').replace('.', '')}, and no cell decides which",
                f"use --decimal {seen} for the former, --decimal {_other(seen)} for the latter",
            )
        marks[name] = mark
    return marks


def _likely(
    seen: str, grouped: bool, elsewhere: dict[str, list[str]], delimiter: str, dotted_dates: bool
) -> str | None:
    """The decimal mark of a column whose cells all have exactly three figures after the mark
    `seen`; None if ambiguous."""
    other = _other(seen)
    if grouped:  # 998 next to 1,002: the mark separates groups
        return other
    if elsewhere[seen] and not elsewhere[other]:
        return seen
    if elsewhere[other]:
        return other if seen == "," and not elsewhere[seen] else None
    if seen == ".":
        return None if dotted_dates and delimiter in _DELIMITERS_OF_COMMAS else "."
    return "," if delimiter in _DELIMITERS_OF_COMMAS else None


def _read(cells: pl.Series, decimal: str) -> tuple[pl.Series, str]:
    """Text as numbers (null = not a number), and the unit that most cells end with."""
    if decimal == ".":
        values = cells.cast(pl.Float64, strict=False)
        if (values.is_not_null() | cells.is_null()).all():
            return values, ""
    plain = _plain(cells)
    values = _cast(plain, decimal)
    parts = plain.set(values.is_not_null(), None).str.extract_groups(_UNIT).struct.unnest()
    unit = parts["2"].drop_nulls().str.strip_chars().unique()
    if len(unit) == 1 and values.count() <= _BARE * parts["2"].count():
        return values.fill_null(_cast(parts["1"], decimal)), str(unit[0])
    return values, ""


def _cast(plain: pl.Series, decimal: str) -> pl.Series:
    """Text as numbers with the marks between groups removed;
    a mark elsewhere makes a cell invalid."""
    group = _other(decimal)
    whole = plain.str.contains(_SIGN + _GROUPS[group] + _POWER)
    ungrouped = plain.zip_with(
        ~whole.fill_null(False), plain.str.replace_all(group, "", literal=True)
    )
    if decimal == ",":
        with_points = ungrouped.str.contains(".", literal=True).fill_null(False)
        ungrouped = ungrouped.set(with_points, None).str.replace(",", ".", literal=True)
    return ungrouped.cast(pl.Float64, strict=False)


def _plain(cells: pl.Series) -> pl.Series:
    """Text without blanks or apostrophes between groups and percent signs,
    and with minus signs normalised."""
    plain = cells.str.replace_all("−", "-", literal=True).str.replace(r"\s*%$", "")
    plain = plain.str.replace(r"^\(([\d.,]+)\)$", "-$1").str.replace(r"^([\d.,]+)-$", "-$1")
    for _ in range(2):  # for adjacent groups
        plain = plain.str.replace_all(_SPACED, "$1$2")
    return plain


def _count(cells: pl.Series, pattern: str) -> int:
    return int(cells.str.contains(pattern).sum() or 0)


def _other(mark: str) -> str:
    return "." if mark == "," else ","
