"""The bytes of a file as clean UTF-8, with notes on the conversion."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib

import zstandard

from eddycast.service.errors import DataError
from eddycast.service.history.archives import Source
from eddycast.service.humanize import many

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Number of bytes that are inspected, and the maximum share of control characters in text.
_HEAD, _CONTROL_SHARE = 4096, 0.02
_CONTROL = bytes(set(range(32)) - set(b"\0\t\n\r\x0b\x0c\x1a\x1b"))


def read_text(path: Source, encoding: str | None) -> tuple[bytes, list[str]]:
    """Read the text of a file as UTF-8 with LF line ends, and notes. Raises DataError, OSError."""
    packed = path.read_bytes()
    data = _unpacked(path, packed)
    if not data.strip(b"\0\r\n\t "):
        raise DataError(
            f"{path}: the file is empty", "give a file with a header line and observations"
        )
    text, notes = _decoded(path, data, encoding)
    if nuls := text.count(b"\0"):
        text = text.replace(b"\0", b"")
        notes.append(f"{many(nuls, 'NUL byte')} removed, as left by loggers that lose power")
    head = text[:_HEAD]
    if len(head) - len(head.translate(None, _CONTROL)) > _CONTROL_SHARE * len(head):
        raise DataError(
            f"{path}: not a text file", "give a CSV, or a Parquet file whose name ends in .parquet"
        )
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text, notes


def _unpacked(path: Source, data: bytes) -> bytes:
    packed = {
        b"\x1f\x8b": gzip.decompress,
        b"BZh": bz2.decompress,
        b"\xfd7zXZ": lzma.decompress,
        b"\x28\xb5\x2f\xfd": _from_zstandard,
    }
    unpack = next((unpack for mark, unpack in packed.items() if data.startswith(mark)), None)
    if data.startswith(b"PK\x03\x04"):
        raise DataError(
            f"{path}: ZIP archive inside of another, or a workbook of another name",
            "unpack it, or save the sheet as CSV",
        )
    if unpack is None:
        return data
    try:
        return unpack(data)
    except (EOFError, lzma.LZMAError, ValueError) as error:
        if isinstance(error, EOFError) and unpack is gzip.decompress:
            whole = zlib.decompressobj(wbits=31).decompress(data).count(b"\n")
            cut = f"{path}: the gzip file is truncated after {many(whole, 'line')}"
            raise DataError(
                cut, "fetch it again, or unpack the part that is there: gzip -dc FILE > FILE.csv"
            ) from error
        raise DataError(f"{path}: the compressed file is truncated", "fetch it again") from error
    except (OSError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(
            f"{path}: the compressed file is damaged: {error}", "fetch it again"
        ) from error


def _from_zstandard(data: bytes) -> bytes:
    """All frames of the data. Raises EOFError if the last one is truncated."""
    parts = []
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts.append(frame.decompress(data))
        if not frame.eof:
            raise EOFError
        data = frame.unused_data
    return b"".join(parts)


def _decoded(path: Source, data: bytes, encoding: str | None) -> tuple[bytes, list[str]]:
    """The bytes as UTF-8, NUL bytes included. Without `encoding`: by the byte order mark, else
    UTF-8 if valid, else Windows-1252."""
    if encoding is not None:
        try:
            return data.decode(encoding).lstrip("\ufeff").encode(), []
        except LookupError as error:
            raise DataError(
                f"unknown encoding {encoding!r}", "use for example utf-8, cp1252, utf-16"
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: byte {error.start:,} is not valid {encoding}", "use another --encoding"
            ) from error
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _marked(data.removeprefix(mark), name)
    if wide := _utf16_without_mark(data[:_HEAD]):
        return _marked(data, wide)
    try:
        data.decode()
    except UnicodeDecodeError:
        return _single_bytes(data)
    return data, []


def _marked(data: bytes, name: str) -> tuple[bytes, list[str]]:
    if name == "utf-8":
        return data.decode(errors="replace").encode(), []
    return data.decode(name, errors="replace").encode(), [f"encoding: {name.upper()[:6]}"]


def _utf16_without_mark(head: bytes) -> str | None:
    """The variant of UTF-16 if every second byte is 0, as in Latin text; else None."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = max(len(head) // 2, 1)
    if max(even, odd) < 0.9 * half or min(even, odd) > 0.1 * half:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _single_bytes(data: bytes) -> tuple[bytes, list[str]]:
    """Text with bytes that are not valid UTF-8: UTF-8 with a few errors, or Windows-1252."""
    lossy = data.decode(errors="replace")
    wrong = lossy.count("\ufffd")
    right = (
        sum(1 for letter in lossy if letter > "\x7f") - wrong if wrong < len(lossy) // 100 else 0
    )
    if right > wrong:
        return lossy.encode(), [f"replaced {many(wrong, 'invalid UTF-8 byte')}"]
    text = data.decode("cp1252", errors="replace")
    return text.encode(), ["not valid UTF-8: read as Windows-1252 (override: --encoding)"]
