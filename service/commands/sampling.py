"""A handful of records, from a file or a topic, to try a mapping on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from eddycast.service.broker.port import Broker
from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.diagnosis.sample import latest_batches
from eddycast.service.errors import DataError
from eddycast.service.formats.documents import parsed
from eddycast.service.formats.mapped_decoder import record_at
from eddycast.service.formats.outcomes import Record
from eddycast.service.records import LAST_TIMESTAMP

#: Fields of kcat's JSON (kcat -J).
_KCAT = {"topic", "partition", "offset", "payload"}


def of_file(file: Path, limit: int, topic: str) -> list[tuple[str, Record]]:
    """Records of a file with their places: one per line, with the key before a tab, as a console
    consumer prints them with `--property print.key=true`, or as kcat -J writes them; or a single
    JSON document. Raises DataError."""
    try:
        text = file.read_bytes()
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror}"
        raise DataError(what, "name a file of records") from error
    now = int(time.time() * 1000)
    lines = [line.rstrip(b"\r") for line in text.split(b"\n") if line.strip()]
    if len(lines) > 1 and not _is_json(_split(lines[0])[1]) and _is_json(text):
        lines = [b"".join(lines)]
    if not lines:
        raise DataError(f"{file} is empty", "name a file of records")
    return [
        (f"line {number}", _record(line, topic, now))
        for number, line in enumerate(lines[:limit], 1)
    ]


def of_topic(broker: Broker, topic: str, limit: int) -> list[tuple[str, Record]]:
    """The last records of a topic with their places. Raises TopicMissing, BrokerError."""
    found = [
        (f"{batch.partition}:{int(batch.offsets[row])}", record_at(batch, row, LAST_TIMESTAMP))
        for batch in latest_batches(broker, topic, limit)
        for row in range(len(batch))
        if batch.values[row] is not None
    ]
    return sorted(found, key=lambda one: one[1].time)[-limit:]


def _record(line: bytes, topic: str, now: int) -> Record:
    key, value = _split(line)
    if key is None and _is_json(line):
        document = parsed(line)
        if isinstance(document, dict) and document.keys() >= _KCAT:
            return _of_kcat(document, now)
    return Record(topic, key, value, (), now, LAST_TIMESTAMP)


def _of_kcat(document: dict[str, Any], now: int) -> Record:
    key, payload = document.get("key"), document["payload"]
    flat = [str(part) for part in document.get("headers") or []]
    return Record(
        str(document["topic"]),
        None if key is None else str(key).encode(),
        payload.encode() if isinstance(payload, str) else msgspec.json.encode(payload),
        tuple(zip(flat[::2], (part.encode() for part in flat[1::2]), strict=False)),
        document["ts"] if isinstance(document.get("ts"), int) else now,
        LAST_TIMESTAMP,
    )


def _split(line: bytes) -> tuple[bytes | None, bytes]:
    """Key and value of a line."""
    key, tab, value = line.partition(b"\t")
    return (key, value) if tab and not key.lstrip().startswith((b"{", b"[")) else (None, line)


def _is_json(text: bytes) -> bool:
    try:
        parsed(text)
    except Unreadable:
        return False
    return True
