"""Texts as loggers and spreadsheets write them: encodings, preambles, delimiters, decimal marks."""

from __future__ import annotations

import gzip
import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history

TIMES = [f"{datetime(2024, 3, 1) + timedelta(hours=i):%Y-%m-%d %H:%M}" for i in range(120)]
GERMAN = [f"{datetime(2024, 3, 1) + timedelta(hours=i):%d.%m.%Y %H:%M}" for i in range(120)]
VALUES = [round(12 + 5 * math.sin(i * math.pi / 12), 2) for i in range(120)]
PLAIN = "time,temp\n" + "".join(
    f"{time},{value}\n" for time, value in zip(TIMES, VALUES, strict=True)
)


def read(folder: Path, content: str | bytes, name: str = "data.csv", **options: Any) -> History:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_history(path, ReadOptions(**options))


def rows(cells: list[str], times: list[str] = TIMES, delimiter: str = ";") -> str:
    return "".join(f"{time}{delimiter}{cell}\n" for time, cell in zip(times, cells, strict=True))


def noted(history: History, *words: str) -> bool:
    return any(all(word in note for word in words) for note in history.notes)


class TestBytes:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (PLAIN.encode("utf-16"), "UTF-16"),
            (PLAIN.encode("utf-16-le"), "UTF-16"),
            (PLAIN.encode("utf-16-be"), "UTF-16"),
            (PLAIN.encode("utf-8-sig"), ""),
            (PLAIN.replace("temp", "Außen °C").encode("cp1252"), "Windows-1252"),
            (PLAIN.encode()[:1000] + b"\0" * 300 + PLAIN.encode()[1000:], "300 NUL bytes"),
            (PLAIN.encode() + b"\0" * 4096, "4,096 NUL bytes"),
            (PLAIN.replace("\n", "\r").encode(), ""),
            (gzip.compress(PLAIN.encode()), ""),
        ],
    )
    def test_any_text_is_read(self, content: bytes, said: str, tmp_path: Path) -> None:
        history = read(tmp_path, content)
        assert history.values[0].tolist() == VALUES
        assert history.streams[0] in ("temp", "Außen °C")
        assert not said or noted(history, said)

    def test_an_encoding_that_is_told(self, tmp_path: Path) -> None:
        content = PLAIN.replace("temp", "Teplota č").encode("cp1250")
        assert read(tmp_path, content, encoding="cp1250").streams == ["Teplota č"]
        with pytest.raises(DataError, match="encoding 'klingon'"):
            read(tmp_path, content, encoding="klingon")
        with pytest.raises(DataError, match="--encoding"):
            read(tmp_path, content, encoding="utf-8")

    @pytest.mark.parametrize("left", [200, 0.5])
    def test_a_gzip_file_that_is_cut_short_is_refused(self, left: float, tmp_path: Path) -> None:
        packed = gzip.compress(PLAIN.encode())
        kept = packed[: int(left if left > 1 else left * len(packed))]
        with pytest.raises(DataError, match=r"truncated after [\d,]+ lines?"):
            read(tmp_path, kept, "data.csv.gz")
        with pytest.raises(DataError, match="damaged"):
            read(tmp_path, packed[:-8] + b"\1" * 8, "data.csv.gz")

    def test_a_workbook_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="workbook"):
            read(tmp_path, b"PK\x03\x04 anything", "data.xlsx")


class TestShape:
    @pytest.mark.parametrize(
        ("above", "said"),
        [
            ("# logger 7\n# made up\ntime,temp\n", "lines above the header: 2"),
            ("# logger 7\n#time,temp\n", "the header is line 2"),
            ("Station,Kew\nSerial,1234\n\ntime,temp\n", "the header is line 4"),
            ("Exported by hand on a Friday\ntime,temp\n", "the header is line 2"),
            ("time,temp\n,degC\n", "lines of units below the header: 1"),
            ("time,temp\n[UTC],[°C]\n", "lines of units below the header: 1"),
            (
                '"TOA5","Site7"\n"TIMESTAMP","temp"\n"TS","Deg C"\n"","Avg"\n',
                "lines of units below the header: 2",
            ),
            (
                '"TOA5","Site7","CR1000","12345"\n"TIMESTAMP","temp"\n"TS","Deg C"\n"","Avg"\n',
                "units below",
            ),
            ("sep=,\ntime,temp\n", ""),
            ('"sep=,"\ntime,temp\n', ""),
        ],
    )
    def test_lines_above_and_below_the_header(self, above: str, said: str, tmp_path: Path) -> None:
        history = read(tmp_path, PLAIN.replace("time,temp\n", above))
        assert history.streams == ["temp"]
        assert history.values[0].tolist() == VALUES
        assert not said or noted(history, said)

    def test_lines_that_are_told_to_be_skipped(self, tmp_path: Path) -> None:
        assert read(tmp_path, "a;b;c\n2;3;4\n" + PLAIN, skip_rows=2).values[0].tolist() == VALUES

    def test_comments_and_headers_among_the_rows(self, tmp_path: Path) -> None:
        lines = PLAIN.splitlines()
        lines.insert(60, "# battery low")
        lines.insert(80, lines[0])
        history = read(tmp_path, "\n".join(lines))
        assert history.values[0].tolist() == VALUES
        assert noted(history, "1 comment")
        assert noted(history, "1 repeated header line")

    def test_another_header_among_the_rows_is_refused(self, tmp_path: Path) -> None:
        cells = ["12.5;40", "13.1;41"] * 60
        first, last = rows(cells[:60], TIMES[:60]), rows(cells[60:], TIMES[60:])
        for header in ("time;hum;temp", "Time;temp;pressure"):
            with pytest.raises(
                DataError,
                match=f"row 61 is a different header: {header.replace(';', ', ')} instead of",
            ):
                read(tmp_path, f"time;temp;hum\n{first}{header}\n{last}")
        same = read(tmp_path, f"time;temp;hum\n{first}TIME;Temp;Hum\n{last}")
        assert [len(stamps) for stamps in same.timestamps] == [120, 120]

    @pytest.mark.parametrize("short", [0, 7])
    def test_rows_that_end_early_or_late(self, short: int, tmp_path: Path) -> None:
        cells = ["12.5" if i == short else "12.5;40" for i in range(120)]
        history = read(tmp_path, "time;temp;hum\n" + rows(cells))
        assert [int(np.isnan(values).sum()) for values in history.values] == [0, 1]
        some = read(
            tmp_path, "time;temp\n" + rows(["12.5" if i % 2 == 0 else "12.5;" for i in range(120)])
        )
        assert (some.streams, len(some)) == (["temp"], 120)

    def test_a_pivoted_export_of_influxdb(self, tmp_path: Path) -> None:
        text = ",result,table,_time,temp\n" + "".join(
            f",,0,{t.replace(' ', 'T')}:00Z,{v}\n" for t, v in zip(TIMES, VALUES, strict=True)
        )
        assert read(tmp_path, text).streams == ["temp"]

    def test_a_delimiter_at_the_end_of_rows(self, tmp_path: Path) -> None:
        history = read(
            tmp_path, PLAIN.replace(",", ";").replace("\n", ";\n").replace("temp;", "temp")
        )
        assert history.streams == ["temp"]
        assert history.values[0].tolist() == VALUES
        assert noted(history, "rows end with", "';'")
        assert read(tmp_path, PLAIN.replace("\n", ",\n")).values[0].tolist() == VALUES

    def test_a_number_before_each_row(self, tmp_path: Path) -> None:
        lines = PLAIN.splitlines()
        text = "\n".join([lines[0], *(f"{i},{line}" for i, line in enumerate(lines[1:], 1))])
        assert read(tmp_path, text).values[0].tolist() == VALUES

    def test_columns_between_blanks(self, tmp_path: Path) -> None:
        text = PLAIN.replace(" ", "T").replace(",", "     ")
        assert read(tmp_path, text).values[0].tolist() == VALUES

    def test_an_annotated_export_of_influxdb(self, tmp_path: Path) -> None:
        def table(header: str, row: str) -> str:
            marks = "#group,false,false\r\n#datatype,string,long\r\n#default,_result,\r\n"
            stamps = [time.replace(" ", "T") + ":00Z" for time in TIMES]
            return (
                marks
                + header
                + "\r\n"
                + "".join(row.format(t=t, v=v) for t, v in zip(stamps, VALUES, strict=True))
            )

        header = ",result,table,_start,_stop,_time,_value,_field,sensor_id"
        row = ",,{k},2024-03-01T00:00:00Z,2024-05-01T00:00:00Z,{{t}},{{v}},temp,A{k}\r\n"
        text = table(header, row.format(k=0)) + "\r\n" + table(header, row.format(k=1))
        history = read(tmp_path, text)
        assert history.streams == ["A0", "A1"]
        assert history.values[1].tolist() == VALUES
        other = table(header + ",place", row.format(k=2).replace("A2", "A2,roof"))
        assert read(tmp_path, text + "\r\n" + other, stream_column="sensor_id").streams == [
            "A0",
            "A1",
            "A2",
        ]


class TestMarks:
    @pytest.mark.parametrize(
        ("cells", "first"),
        [
            (["0,01", "1,5"], 0.01),
            (["50.01", "49.99"], 50.01),
            (["1.013,5", "998,2"], 1013.5),
            (["1,013.5", "998.2"], 1013.5),
            (["1.234.567", "998"], 1234567),
            (["1 234,5", "998,0"], 1234.5),
            (["1\u202f234,5", "998,0"], 1234.5),
            (["1'234.5", "998"], 1234.5),
            (["12,5 °C", "13,1 °C"], 12.5),
            (["45%", "46 %"], 45),
            (["(12.50)", "13.1"], -12.5),
            (["−5", "7"], -5),
            (["1,5E3", "2,25E3"], 1500),
            (["20,125", "21,250"], 20.125),
        ],
    )
    def test_a_column_proves_its_mark(self, cells: list[str], first: float, tmp_path: Path) -> None:
        assert read(tmp_path, "time;a\n" + rows(cells * 60)).values[0][0] == first

    def test_each_column_has_its_own(self, tmp_path: Path) -> None:
        history = read(tmp_path, "Zeit;kW;Hz\n" + rows(["0,98;50.01", "2,05;49.99"] * 60, GERMAN))
        assert [values[:2].tolist() for values in history.values] == [[0.98, 2.05], [50.01, 49.99]]
        assert noted(history, "'kW' has a decimal comma")
        told = read(
            tmp_path, "Zeit;kW;Hz\n" + rows(["0,98;50.01", "2,05;49.99"] * 60, GERMAN), decimal=","
        )
        assert told.values[1][0] == 50.01, "what the cells prove counts before what is told"

    def test_thousands_in_a_text_with_commas(self, tmp_path: Path) -> None:
        history = read(
            tmp_path,
            "time,bytes,load\n" + rows(['"1,963",1.991', '"2,227",2.123'] * 60, TIMES, ","),
        )
        assert [values[0] for values in history.values] == [1963, 1.991]
        mixed = read(tmp_path, "time;n\n" + rows(["998", "1.002", "1.013"] * 40))
        assert mixed.values[0][:2].tolist() == [998, 1002], "998 is no number with three decimals"

    def test_a_mark_that_nothing_tells_is_refused_with_both_readings(self, tmp_path: Path) -> None:
        text = "Zeit;kW;p\n" + rows(["0,98;1.013", "2,05;1.012"] * 60, GERMAN)
        with pytest.raises(
            DataError, match=r"'p': 1.013 is 1.013 or 1013.*--decimal \. .*--decimal , "
        ):
            read(tmp_path, text)
        quoted = "time,kW\n" + rows(['"12,050"', '"13,240"'] * 60, TIMES, ",")
        with pytest.raises(
            DataError, match=r"'kW': 12,050 is 12.050 or 12050.*--decimal , .*--decimal \. "
        ):
            read(tmp_path, quoted)
        assert read(tmp_path, quoted, decimal=",").values[0][0] == 12.05
        assert read(tmp_path, quoted, decimal=".").values[0][0] == 12050
        assert read(tmp_path, text, decimal=".").values[1][0] == 1.013
        both = read(tmp_path, text, decimal=",")
        assert [values[0] for values in both.values] == [0.98, 1013]

    @pytest.mark.parametrize("cells", [["1.2 kW", "950 W"], ["'+0120,1'", "'+0132,1'"]])
    def test_a_column_of_several_units_or_with_flags_is_no_stream(
        self, cells: list[str], tmp_path: Path
    ) -> None:
        quoted = [cell.replace("'", '"') + ",5.5" for cell in cells]
        history = read(tmp_path, "time,a,b\n" + rows(quoted * 60, TIMES, ","))
        assert history.streams == ["b"]
        assert noted(history, "columns left out (not numbers): a")

    def test_a_factor_behind_some_numbers_is_no_unit(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"'a', row 1: '12.05k' and 59 more cells are not numbers"
        ):
            read(tmp_path, "time;a\n" + rows(["12.05k", "950"] * 60))

    @pytest.mark.parametrize(
        "code",
        [
            "-99.9",
            "-999.9",
            "-99.99",
            "-999.99",
            "-9999.99",
            "9999.9",
            "9999.99",
            "7999",
            "-6999",
            "32767",
            "4294967295",
        ],
    )
    def test_codes_of_loggers_are_missing(self, code: str, tmp_path: Path) -> None:
        history = read(
            tmp_path,
            "time;a\n" + rows([code if i == 50 else "13.1" for i in range(119)] + ["12.4"]),
        )
        assert np.flatnonzero(np.isnan(history.values[0])).tolist() == [50]
        assert noted(history, "stands for a missing value 1 time", "--not-missing")

    def test_figures_that_are_no_numbers_are_refused_beyond_one_in_a_hundred(
        self, tmp_path: Path
    ) -> None:
        cells = ["12..5" if i == 50 else "13.1" for i in range(120)]
        assert np.isnan(read(tmp_path, "time;a\n" + rows(cells)).values[0][50])
        cells[60] = cells[61] = "12..5"
        with pytest.raises(
            DataError,
            match=r"'a', row 51: '12..5' and 2 more cells are not numbers.*--missing '12..5'",
        ):
            read(tmp_path, "time;a\n" + rows(cells))
        assert (
            np.isnan(read(tmp_path, "time;a\n" + rows(cells), missing=["12..5"]).values[0]).sum()
            == 3
        )
