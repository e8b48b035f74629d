"""Time to decode a reading: the plain shape beside mapped ones, in turns, in one process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from eddycast.service.formats.json_decoder import NEVER, Decoder
from eddycast.service.formats.mapped_decoder import MappedDecoder
from eddycast.service.processing.decoding import RecordDecoder
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.input import InputSettings
from tests.bench.report import Result, show
from tests.support.avro_shapes import encoded, record_of

RECORDS, STREAMS, TURNS = 5_000, 500, 15
NOW = 1_700_000_000_000
PLAIN = "plain"

Document = Callable[[int], Any]
NESTED = {"value": "/payload/temp", "timestamp": "/ts", "stream": "{/site}/{/device/id}"}
AVRO = record_of(
    "Reading",
    site="string",
    device=record_of("Device", id="string"),
    ts="long",
    payload=record_of("Payload", temp=["null", "double"], humidity="int"),
)


def nested(i: int) -> dict[str, Any]:
    """The document of record i, for `NESTED`."""
    return {
        "site": "north",
        "device": {"id": f"d{i % STREAMS}"},
        "ts": NOW + i,
        "payload": {"temp": 20.5 + i, "humidity": 40},
    }


#: Settings, the document of record i, and readings in a record.
CASES: dict[str, tuple[dict[str, Any], Document, int]] = {
    PLAIN: ({}, lambda i: {"timestamp": NOW + i, "value": 20.5 + i}, 1),
    "streams": ({"streams": "s*"}, lambda i: {"timestamp": NOW + i, "value": 20.5 + i}, 1),
    "nested": (NESTED, nested, 1),
    "avro": ({**NESTED, "format": "avro"}, nested, 1),
    "each": (
        {"each": "/readings/*", "value": "/v", "timestamp": "/t", "stream": "{device}"},
        lambda i: {
            "device": f"d{i % STREAMS}",
            "readings": [{"t": NOW + j, "v": j / 8} for j in range(10)],
        },
        10,
    ),
    "telegraf": (
        {"preset": "telegraf"},
        lambda i: {
            "fields": {"usage": 20.5 + i, "idle": 3},
            "name": "cpu",
            "tags": {"host": f"h{i % STREAMS}"},
            "timestamp": NOW // 1000,
        },
        2,
    ),
    "connect": (
        {"preset": "connect"},
        lambda i: {
            "schema": {"type": "struct", "optional": False, "fields": []},
            "payload": {"timestamp": NOW + i, "value": 20.5 + i},
        },
        1,
    ),
    "senml": (
        {"preset": "senml"},
        lambda i: [
            {"bn": f"d{i % STREAMS}:", "bt": NOW // 1000},
            *({"n": "temp", "t": j, "v": j / 8} for j in range(10)),
        ],
        10,
    ),
    "influx": (
        {"format": "influx"},
        lambda i: f"cpu,host=h{i % STREAMS} usage={i}.5,idle=3 {NOW}000000",
        2,
    ),
}


def decoding() -> list[Result]:
    """Microseconds for a reading, and how many times that of the plain shape."""
    prepared = {name: _prepared(*case) for name, case in CASES.items()}
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(TURNS):
        for name, (decoder, batch, readings) in prepared.items():
            times[name].append(_time(decoder, batch) / readings * 1e6)
    plain = median(times[PLAIN])
    show(
        "Decoding: us for a reading (one thread)",
        ["records", "us", "times the plain shape"],
        [
            [name, f"{median(found):.2f}", f"{median(found) / plain:.1f}"]
            for name, found in times.items()
        ],
    )
    return [
        Result(f"decode_{name}", median(found), "us", {PLAIN: median(found) / plain})
        for name, found in times.items()
    ]


def _prepared(
    settings: dict[str, Any], document: Document, readings: int
) -> tuple[RecordDecoder, PartitionBatch, int]:
    mapped = InputSettings(**settings)
    decoder = MappedDecoder(mapped, 1, schema_of=lambda _: AVRO) if settings else Decoder(1)
    values: Sequence[bytes | None] = [
        _written(document(i), mapped) for i in range(RECORDS // readings)
    ]
    count = len(values)
    keys: list[bytes | None] = [b"s%d" % (i % STREAMS) for i in range(count)]
    batch = PartitionBatch("in", 0, keys, list(values), np.full(count, NOW), np.arange(count))
    found = decoder.decode(batch)
    assert len(found.observations) == count * readings, found.letters[:1]
    return decoder, batch, count * readings


def _written(document: Any, settings: InputSettings) -> bytes:
    if settings.format == "avro":
        return encoded(AVRO, document)
    return (document if isinstance(document, str) else json.dumps(document)).encode()


def _time(decoder: RecordDecoder, batch: PartitionBatch) -> float:
    latest = decoder.latest(batch, NEVER)
    start = time.process_time()
    decoder.decode(batch, latest)
    return time.process_time() - start
