"""SenML (RFC 8428): a JSON array of records whose base fields apply to those that follow.

    [{"bn": "urn:dev:1:", "bt": 1700000000, "n": "temp", "u": "Cel", "v": 21.4},
     {"n": "hum", "v": 40}]

Each record becomes a document with its resolved `name`, `unit`, `value` (a number or a boolean) and
`time` in seconds, absolute. Numbers below 2^28 are relative to the broker time of the Kafka record.
A record of text or data becomes ABSENT; one without any value, such as a sum alone, has no `value`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.mapping.pointers import ABSENT

#: Smaller times are relative to now.
_RELATIVE = 1 << 28


def resolved(pack: object, time: int) -> Iterator[tuple[str, Any]]:
    """Yield the place of each record and its document, or Unreadable.

    `time` is the broker time of the Kafka record, ms, -1 = none. Raises Unreadable for what is no
    array of objects.
    """
    if not isinstance(pack, list) or not all(isinstance(record, dict) for record in pack):
        raise Unreadable("not_json", "the value is no array of SenML records")
    base: dict[str, Any] = {}
    for i, record in enumerate(pack):
        base |= {name: record[name] for name in ("bn", "bt", "bu", "bv") if name in record}
        if record.keys() <= {"bn", "bt", "bu", "bv", "bver", "bs"}:
            continue  # base fields alone
        if "vs" in record or "vd" in record:
            yield f"/{i}", ABSENT
            continue
        try:
            yield f"/{i}", _document(base, record, time)
        except Unreadable as error:
            yield f"/{i}", error


def _document(base: dict[str, Any], record: dict[str, Any], time: int) -> dict[str, Any]:
    document = {
        "name": _text(base, "bn") + _text(record, "n"),
        "unit": record.get("u", base.get("bu")),
    }
    if "v" in record:
        document["value"] = _number(record, "v") + _number(base, "bv")
    elif "vb" in record:
        document["value"] = record["vb"]
    if "t" in record or "bt" in base:
        document["time"] = _absolute(_number(base, "bt") + _number(record, "t"), time)
    return document


def _absolute(seconds: float, time: int) -> float:
    if seconds >= _RELATIVE:
        return seconds
    if time < 0:
        raise Unreadable(
            "bad_timestamp", f"the time {seconds} is relative, but the record has no broker time"
        )
    return time / 1000 + seconds


def _text(record: dict[str, Any], name: str) -> str:
    found = record.get(name, "")
    if not isinstance(found, str):
        raise Unreadable("no_stream", f'"{name}" is no text')
    return found


def _number(record: dict[str, Any], name: str) -> float:
    found = record.get(name, 0)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise Unreadable(
            "bad_timestamp" if name in ("t", "bt") else "not_a_number", f'"{name}" is no number'
        )
    return found
