"""A handful of records, from a file or a topic, to try a mapping on."""

from __future__ import annotations

import time
from pathlib import Path

from eddycast.service.broker.port import Broker
from eddycast.service.diagnosis.sample import latest_batches
from eddycast.service.errors import DataError
from eddycast.service.formats.mapped_decoder import record_at
from eddycast.service.formats.outcomes import Record
from eddycast.service.formats.record_lines import is_json, record_of, split_line
from eddycast.service.records import LAST_TIMESTAMP


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
    if len(lines) > 1 and not is_json(split_line(lines[0])[1]) and is_json(text):
        lines = [b"".join(lines)]
    if not lines:
        raise DataError(f"{file} is empty", "name a file of records")
    return [
        (f"line {number}", record_of(line, topic, now))
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
