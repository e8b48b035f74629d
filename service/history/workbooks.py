"""A sheet of an Excel workbook as text. Imports polars; use it through
`eddycast.service.history`."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from eddycast.service.errors import DataError, MissingExtra

#: Endings of workbooks.
SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def read_sheet(path: Path, sheet: str | None) -> tuple[bytes, list[str]]:
    """The cells of a sheet as CSV, and a note: of the one named `sheet`, or the only one that has
    cells. Raises DataError; MissingExtra without fastexcel."""
    try:
        sheets = pl.read_excel(
            path,
            sheet_id=0,
            engine="calamine",
            has_header=False,
            infer_schema_length=0,
            raise_if_empty=False,
        )
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{path}: reading a workbook needs fastexcel, which is not installed",
            "pip install 'eddycast[excel]', or save the sheet as CSV",
        ) from error
    except Exception as error:  # those of calamine have no common class
        raise DataError(
            f"{path}: the workbook cannot be read: {str(error).splitlines()[0]}",
            "save the sheet as CSV",
        ) from error
    held = [name for name, frame in sheets.items() if len(frame)]
    if sheet is not None and sheet not in sheets:
        raise DataError(f"{path}: no sheet {sheet!r}", f"the sheets are {', '.join(sheets)}")
    if sheet is None and len(held) != 1:
        raise DataError(
            f"{path}: {len(held)} sheets with cells: {', '.join(held) or 'none'}",
            "name one with --sheet" if held else "give a workbook with observations",
        )
    name = sheet or held[0]
    text = io.BytesIO()
    sheets[name].write_csv(text, include_header=False)
    return text.getvalue(), [f"sheet {name!r} of the workbook"]
