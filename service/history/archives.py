"""ZIP archives: the tables in them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from eddycast.service.errors import DataError
from eddycast.service.humanize import some

#: A file, or a member of an archive.
Source = Path | zipfile.Path
#: Files in a workbook.
_WORKBOOKS = ("[Content_Types].xml", "META-INF/manifest.xml")
#: Names of the data in an archive that has texts about them too (Deutscher Wetterdienst).
_DATA = "produkt_"


def _is_workbook(path: Path) -> bool:
    """True for a workbook, which is an archive too."""
    with zipfile.ZipFile(path) as archive:
        return bool(set(_WORKBOOKS) & set(archive.namelist()))


def members(path: Path, is_table: Callable[[Path], bool]) -> list[Source]:
    """The tables of an archive, in the order of their names: those whose names end like a table's,
    or the only file that it has. A file that is no archive stands for itself. Raises DataError."""
    if not zipfile.is_zipfile(path) or _is_workbook(path):
        return [path]
    with zipfile.ZipFile(path) as archive:
        names = sorted(each for each in archive.namelist() if not _is_beside(each))
        locked = any(each.flag_bits & 1 for each in archive.infolist())
    if locked:
        raise DataError(f"{path}: the ZIP archive has a password", "unpack it")
    tables = [each for each in names if is_table(Path(each))]
    tables = [each for each in tables if Path(each).name.startswith(_DATA)] or tables
    chosen = tables or (names if len(names) == 1 else [])
    if not chosen:
        raise DataError(
            f"{path}: no table in the ZIP archive, which has {some(names, 4) or 'no files'}",
            "unpack it, and name the files",
        )
    return [zipfile.Path(path, each) for each in chosen]


def _is_beside(name: str) -> bool:
    """True for a folder, and for what archives carry beside data."""
    return name.endswith("/") or name.startswith("__MACOSX/") or Path(name).name.startswith(".")
