"""Workbooks for tests, written by hand: the smallest .xlsx that spreadsheet programs read."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><fonts><font/></fonts><fills><fill/></fills><borders><border/>'
    '</borders><cellStyleXfs><xf/></cellStyleXfs><cellXfs><xf numFmtId="0"/>'
    '<xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


@dataclass(frozen=True)
class Moment:
    """A date and time, as the day of a spreadsheet."""

    day: float


Cell = str | float | Moment | None


def write_workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[Cell]]]) -> Path:
    """Write a workbook of up to 26 columns."""
    numbers = range(1, len(sheets) + 1)
    listed = "".join(
        f'<sheet name="{name}" sheetId="{i}" r:id="rId{i}"/>'
        for i, name in zip(numbers, sheets, strict=True)
    )
    related = [(f"rId{i}", "worksheet", f"worksheets/sheet{i}.xml") for i in numbers]
    types = _type("workbook", "sheet.main") + _type("styles", "styles")
    types += "".join(_type(f"worksheets/sheet{i}", "worksheet") for i in numbers)
    plain = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package'
    plain += '.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types">{plain}{types}</Types>'
        )
        archive.writestr("_rels/.rels", _related([("rId1", "officeDocument", "xl/workbook.xml")]))
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels", _related([*related, ("rId0", "styles", "styles.xml")])
        )
        archive.writestr("xl/styles.xml", _STYLES)
        for i, rows in zip(numbers, sheets.values(), strict=True):
            archive.writestr(f"xl/worksheets/sheet{i}.xml", _sheet(rows))
    return path


def _type(part: str, kind: str) -> str:
    return f'<Override PartName="/xl/{part}.xml" ContentType="{_TYPE}.{kind}+xml"/>'


def _related(parts: Sequence[tuple[str, str, str]]) -> str:
    each = "".join(
        f'<Relationship Id="{key}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for key, kind, target in parts
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{each}</Relationships>'


def _sheet(rows: Sequence[Sequence[Cell]]) -> str:
    lines = (
        f'<row r="{number}">'
        + "".join(_cell(f"{chr(65 + place)}{number}", cell) for place, cell in enumerate(row))
        + "</row>"
        for number, row in enumerate(rows, 1)
    )
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def _cell(place: str, cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return f'<c r="{place}" t="inlineStr"><is><t>{cell}</t></is></c>'
        case Moment():
            return f'<c r="{place}" s="1"><v>{cell.day}</v></c>'
        case _:
            return f'<c r="{place}"><v>{cell}</v></c>'
