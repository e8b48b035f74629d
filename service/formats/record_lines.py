"""Records as lines of text: with the key before a tab, as a console consumer prints them with
`--property print.key=true`, or as kcat -J writes them."""

from __future__ import annotations

from typing import Any

import msgspec

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.documents import parsed
from eddycast.service.formats.outcomes import Record
from eddycast.service.records import LAST_TIMESTAMP

#: Fields of kcat's JSON (kcat -J).
_KCAT = {"topic", "partition", "offset", "payload"}


def record_of(line: bytes, topic: str, now: int) -> Record:
    """The record in a line of `topic`; `now` in ms is its time unless the line has one."""
    key, value = split_line(line)
    if key is None and b'"payload"' in line and is_json(line):
        document = parsed(line)
        if isinstance(document, dict) and document.keys() >= _KCAT:
            return _of_kcat(document, now)
    return Record(topic, key, value, (), now, LAST_TIMESTAMP)


def _of_kcat(document: dict[str, Any], now: int) -> Record:
    key, payload = document.get("key"), document["payload"]
    flat = [str(part) for part in document.get("headers") or []]
    return Record(
        str(document["topic"]),
        None if key is None else str(key).encode(errors="replace"),
        payload.encode(errors="replace")
        if isinstance(payload, str)
        else msgspec.json.encode(payload),
        tuple(zip(flat[::2], (part.encode(errors="replace") for part in flat[1::2]), strict=False)),
        document["ts"] if isinstance(document.get("ts"), int) else now,
        LAST_TIMESTAMP,
    )


def split_line(line: bytes) -> tuple[bytes | None, bytes]:
    """Key and value of a line."""
    key, tab, value = line.partition(b"\t")
    return (key, value) if tab and not key.lstrip().startswith((b"{", b"[")) else (None, line)


def is_json(text: bytes) -> bool:
    """True if the text is one JSON document."""
    try:
        parsed(text)
    except Unreadable:
        return False
    return True
