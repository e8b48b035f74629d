"""Letters as lines of JSON, which people edit, and back.

Bytes are text where they are UTF-8, and `{"base64": ...}` elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from eddycast.service.dead_letters.letter import Letter
from eddycast.service.errors import DataError
from eddycast.service.formats.json_observation import iso
from eddycast.service.records import Headers

_BASE64 = "base64"


@dataclass(frozen=True, slots=True)
class Edited:
    """A line of the file: the record to send in place of that of a letter."""

    place: tuple[int, int]  # partition and offset of the letter
    identity: str  # of the letter's record
    key: bytes | None
    value: bytes | None
    headers: Headers


def line_of(letter: Letter, replayed: bool) -> bytes:
    """One letter as JSON, without a line break."""
    return orjson.dumps(
        {
            "partition": letter.partition,
            "offset": letter.offset,
            "time": moment(letter.written),
            "error": letter.error,
            "reason": letter.reason,
            "record": {
                "topic": letter.topic,
                "partition": letter.record_partition,
                "offset": letter.record_offset,
                "time": moment(letter.record_time),
            },
            "identity": letter.identity,
            "readings": letter.readings or None,
            "reading": letter.places or None,
            "truncated": letter.is_truncated,
            "replayed": replayed,
            "key": _written(letter.key),
            "value": _written(letter.value),
            "headers": [
                [_written(name.encode(errors="surrogateescape")), _written(value)]
                for name, value in letter.headers
            ],
        }
    )


def moment(milliseconds: int) -> str | None:
    """A time of a letter as ISO 8601, None if it is not known."""
    return None if milliseconds < 0 else iso(milliseconds)


def read_edited(file: Path) -> Mapping[tuple[int, int], Edited]:
    """The lines of a file by place. Raises DataError naming the line."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror}"
        raise DataError(
            what, "name a file that `eddycast dead-letters show --json` wrote"
        ) from error
    found: dict[tuple[int, int], Edited] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            edited = _edited(orjson.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            what = f"{file} line {number} is no letter: {error!r}"
            raise DataError(what, "change key, value and headers only") from error
        if edited.place in found:
            raise DataError(f"{file} line {number} is a letter that came before", "remove it")
        found[edited.place] = edited
    return found


def _edited(line: dict[str, Any]) -> Edited:
    return Edited(
        (int(line["partition"]), int(line["offset"])),
        str(line["identity"]),
        _bytes(line["key"]),
        _bytes(line["value"]),
        [
            ((_bytes(name) or b"").decode(errors="surrogateescape"), _bytes(value) or b"")
            for name, value in line["headers"]
        ],
    )


def _written(part: bytes | None) -> str | dict[str, str] | None:
    if part is None:
        return None
    try:
        return part.decode()
    except UnicodeDecodeError:
        return {_BASE64: base64.b64encode(part).decode()}


def _bytes(written: Any) -> bytes | None:
    """Raises ValueError, TypeError or KeyError."""
    if written is None:
        return None
    if isinstance(written, str):
        return written.encode()
    try:
        return base64.b64decode(written[_BASE64], validate=True)
    except binascii.Error as error:
        raise ValueError(f"{written[_BASE64]!r} is not base64") from error
