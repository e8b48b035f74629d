"""ZIP archives, Zstandard and workbooks as files of history."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import polars as pl
import pytest
import zstandard

from eddycast.service.errors import DataError, MissingExtra
from eddycast.service.history import ReadOptions, read_history
from tests.support.workbook import Cell, Moment, write_workbook

START, HOUR = 1_709_251_200_000, 3_600_000
SHEET_DAY = 45_352  # 2024-03-01


def table(level: float = 0, rows: int = 60) -> str:
    lines = "".join(f"{START + i * HOUR},{level + i * 7919 % 24 + 0.25}\n" for i in range(rows))
    return "timestamp,load\n" + lines


def archive(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return path


class TestArchives:
    def test_one_table(self, tmp_path: Path) -> None:
        for name in ("a.csv", "folder/a.data"):
            history = read_history(archive(tmp_path / "x.zip", {name: table()}))
            assert (history.streams, len(history)) == (["load"], 60)

    def test_several_tables_are_several_files(self, tmp_path: Path) -> None:
        files = {"b/york.csv": table(50), "b/kew.csv": table(), "__MACOSX/b/._kew.csv": "x"}
        path = archive(tmp_path / "sites.zip", {**files, "readme.pdf": "about"})
        history = read_history(path)
        assert history.streams == ["kew", "york"]
        assert history.values[1][0] == 50.25

    def test_in_a_folder(self, tmp_path: Path) -> None:
        archive(tmp_path / "1.csv.zip", {"1.csv": table()})
        assert len(read_history(tmp_path)) == 60

    def test_parquet(self, tmp_path: Path) -> None:
        table_of = pl.read_csv(table().encode())
        table_of.write_parquet(tmp_path / "a.parquet")
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
            packed.write(tmp_path / "a.parquet", "a.parquet")
        assert len(read_history(tmp_path / "x.zip")) == 60

    def test_data_beside_texts_about_them(self, tmp_path: Path) -> None:
        files = {"Metadaten_x.txt": "Stations_id;Von\n1;2\n", "produkt_x.txt": table()}
        assert len(read_history(archive(tmp_path / "stunde.zip", files))) == 60

    def test_no_table(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no table.*a\.pdf, b\.pdf"):
            read_history(archive(tmp_path / "x.zip", {"a.pdf": "1", "b.pdf": "2"}))

    def test_damaged(self, tmp_path: Path) -> None:
        path = archive(tmp_path / "x.zip", {"a.csv": table()})
        data = bytearray(path.read_bytes())
        data[60:90] = bytes(30)
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"x\.zip"):
            read_history(path)


class TestZstandard:
    def test_whole_and_in_several_frames(self, tmp_path: Path) -> None:
        text = table().encode()
        path = tmp_path / "a.csv.zst"
        path.write_bytes(zstandard.compress(text[:700]) + zstandard.compress(text[700:]))
        assert len(read_history(path)) == 60
        assert len(read_history(tmp_path)) == 60

    def test_truncated(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv.zst"
        path.write_bytes(zstandard.compress(table().encode())[:-9])
        with pytest.raises(DataError, match="truncated"):
            read_history(path)


class TestWorkbooks:
    rows: tuple[tuple[Cell, ...], ...] = (
        ("Plant 7",),
        (),
        ("Zeit", "kW", "note"),
        *((Moment(SHEET_DAY + i / 24), i % 24 + 0.25, "ok" if i % 2 else None) for i in range(60)),
    )

    def test_a_sheet_with_a_title_above_it(self, tmp_path: Path) -> None:
        path = write_workbook(tmp_path / "a.xlsx", {"Data": self.rows, "Empty": ()})
        history = read_history(path)
        assert history.streams == ["kW"]
        assert history.timestamps[0].tolist() == [START + i * HOUR for i in range(60)]
        assert history.values[0].tolist() == [i % 24 + 0.25 for i in range(60)]
        assert any("'Data'" in note for note in history.notes)

    def test_several_sheets(self, tmp_path: Path) -> None:
        other: list[tuple[Cell, ...]] = [("time", "flow")]
        other += [(Moment(SHEET_DAY + i), i / 8) for i in range(40)]
        path = write_workbook(tmp_path / "a.xlsx", {"Data": self.rows, "Daily": other})
        with pytest.raises(DataError, match=r"2 sheets with cells: Data, Daily.*--sheet"):
            read_history(path)
        assert read_history(path, ReadOptions(sheet="Daily")).streams == ["flow"]
        with pytest.raises(DataError, match=r"no sheet 'Weekly'.*Data, Daily"):
            read_history(path, ReadOptions(sheet="Weekly"))

    def test_without_its_reader(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_workbook(tmp_path / "a.xlsx", {"Data": self.rows})
        monkeypatch.setitem(sys.modules, "fastexcel", None)
        with pytest.raises(MissingExtra, match=r"needs fastexcel.*eddycast\[excel\]"):
            read_history(path)

    def test_no_workbook(self, tmp_path: Path) -> None:
        path = tmp_path / "a.xlsx"
        path.write_text("no")
        with pytest.raises(DataError, match=r"a\.xlsx: the workbook cannot be read"):
            read_history(path)
