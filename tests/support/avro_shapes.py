"""Avro schemas of senders, with records of each as Hypothesis draws them, and the mapping that
reads them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import fastavro
from hypothesis import strategies as st

from eddycast.service.formats.avro_frame import FRAME

NOW = 1_700_000_000_000
Schema = dict[str, Any]


@dataclass(frozen=True)
class AvroShape:
    """`settings` of the group `input` that read records of a schema."""

    settings: dict[str, Any]
    schema: Schema
    records: st.SearchStrategy[Any]


def encoded(schema: Any, record: Any, schema_id: int | UUID = 7) -> bytes:
    """A record behind the id of its schema."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), record)
    frame = FRAME.pack(0, schema_id) if isinstance(schema_id, int) else b"\1" + schema_id.bytes
    return frame + body.getvalue()


def record_of(name: str, **fields: Any) -> Schema:
    """The schema of a record."""
    members = [{"name": field, "type": of} for field, of in fields.items()]
    return {"type": "record", "name": name, "fields": members}


stamps = st.integers(NOW - 10**6, NOW + 10**9) | st.sampled_from([0, -5, 2**62, -(2**63)])
numbers = st.floats(width=64) | st.sampled_from([20.5, 1e31])
words = st.text(max_size=6) | st.sampled_from(["pump-1", "a\x01", "a\0", "x" * 32, "x" * 2000])
maybe = st.none() | numbers
_MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
_KIND = {"type": "enum", "name": "Kind", "symbols": ["reading", "status"]}

AVRO_SHAPES: dict[str, AvroShape] = {
    "plain": AvroShape(
        {},
        record_of("Plain", timestamp=_MILLIS, value=["null", "double"]),
        st.fixed_dictionaries({"timestamp": stamps, "value": maybe}),
    ),
    "nested": AvroShape(
        {"stream": "{/device/id}/{kind}", "value": "/data/celsius", "timestamp": "/at"}
        | {"where": "/kind = reading"},
        record_of(
            "Nested",
            note=["null", "string"],
            device=record_of("Device", id="string", tags={"type": "map", "values": "string"}),
            trail={"type": "array", "items": ["null", "double", "string"]},
            kind=_KIND,
            data=["null", record_of("Data", celsius=["int", "float", "null"], mark="boolean")],
            digest={"type": "fixed", "name": "Digest", "size": 3},
            raw="bytes",
            at="long",
        ),
        st.fixed_dictionaries(
            {
                "note": st.none() | words,
                "device": st.fixed_dictionaries(
                    {"id": words, "tags": st.dictionaries(st.text(max_size=3), words, max_size=3)}
                ),
                "trail": st.lists(st.none() | numbers | words, max_size=4),
                "kind": st.sampled_from(["reading", "reading", "status"]),
                "data": st.none()
                | st.fixed_dictionaries(
                    {"celsius": st.integers(-9, 9) | st.floats(-9, 9, width=32) | st.none()}
                    | {"mark": st.booleans()}
                ),
                "digest": st.binary(min_size=3, max_size=3),
                "raw": st.binary(max_size=4),
                "at": stamps,
            }
        ),
    ),
    "fields": AvroShape(
        {"fields": "/p1, /p2", "timestamp": "/at, record", "stream": "{key}/{field}"},
        record_of("Fields", p1=["null", _DECIMAL], at=["null", "long"], p2="float"),
        st.fixed_dictionaries(
            {
                "p1": st.none() | st.decimals(-99, 99, places=2, allow_nan=False),
                "at": st.none() | stamps,
                "p2": st.floats(width=32),
            }
        ),
    ),
    "several": AvroShape(
        {"each": "/readings/*", "value": "/v", "timestamp": "/t", "stream": "{id}"},
        record_of(
            "Several",
            id="string",
            readings={"type": "array", "items": record_of("One", t="long", v=["null", "double"])},
        ),
        st.fixed_dictionaries(
            {
                "id": words,
                "readings": st.lists(st.fixed_dictionaries({"t": stamps, "v": maybe}), max_size=3),
            }
        ),
    ),
}
