"""Avro records as input: the readings of the same records in JSON; as columns as one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.errors import SchemaRegistryUnavailable, SettingsError
from eddycast.service.formats.avro_columns import AvroColumns, NotColumns
from eddycast.service.formats.avro_documents import AvroDocuments
from eddycast.service.formats.avro_frame import FRAME, KEY_HEADER, VALUE_HEADER
from eddycast.service.formats.avro_reader import AvroReader, UnknownSchema
from eddycast.service.formats.columns import listed
from eddycast.service.formats.guessing import guess
from eddycast.service.formats.mapped_decoder import MappedDecoder
from eddycast.service.formats.outcomes import Record
from eddycast.service.formats.schemas import SchemaOf
from eddycast.service.processing.decoding import decoder_for
from eddycast.service.records import LAST_TIMESTAMP
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.settings import Settings
from tests.support.avro_shapes import AVRO_SHAPES, NOW, encoded, record_of
from tests.unit.test_mapping_columns import Record as Sent
from tests.unit.test_mapping_columns import outcome

GUID = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
PLAIN = AVRO_SHAPES["plain"].schema


def decoder(known: Mapping[int | str, Any], **given_settings: Any) -> MappedDecoder:
    return MappedDecoder(InputSettings(format="avro", **given_settings), 1, schema_of=known.get)


def known(schemas: dict[int | str, Any]) -> SchemaOf:
    return lambda schema_id: schemas.get(schema_id)


def plain(value: float | None, schema_id: int | UUID = 7) -> bytes:
    return encoded(PLAIN, {"timestamp": NOW, "value": value}, schema_id)


def sent(*values: bytes, headers: list[tuple[str, bytes]] | None = None) -> list[Sent]:
    return [(b"pump", value, NOW, headers or []) for value in values]


@st.composite
def broken(draw: st.DrawFn, value: bytes) -> bytes:
    """The value, often with bytes cut, added or changed."""
    how = draw(st.sampled_from(["not", "not", "cut", "more", "other"]))
    if how == "cut":
        return value[: draw(st.integers(0, len(value)))]
    if how == "more":
        return value + draw(st.binary(min_size=1, max_size=3))
    if how == "other" and len(value) > FRAME.size:
        at = draw(st.integers(FRAME.size, len(value) - 1))
        return value[:at] + draw(st.binary(min_size=1, max_size=1)) + value[at + 1 :]
    return value


@pytest.mark.parametrize("name", AVRO_SHAPES)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_columns_equal_one_by_one(name: str, data: st.DataObject) -> None:
    shape = AVRO_SHAPES[name]
    records = data.draw(st.lists(shape.records, min_size=1, max_size=8))
    values = [data.draw(broken(encoded(shape.schema, record))) for record in records]
    keys = st.sampled_from([b"k", b"s", b"", None, b"\xff", b"\0\0"])
    batch: list[Sent] = [(data.draw(keys), value, NOW, []) for value in values]
    fast, slow = (decoder({7: shape.schema}, **shape.settings) for _ in range(2))
    slow._columns = None
    expected = outcome(slow, batch)
    assert outcome(fast, batch) == expected
    assert outcome(fast, batch) == expected, "also with columns that are remembered"


@pytest.mark.parametrize("name", AVRO_SHAPES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_readings_are_those_of_the_same_records_in_json(name: str, data: st.DataObject) -> None:
    shape = AVRO_SHAPES[name]
    records = data.draw(st.lists(shape.records, min_size=1, max_size=8))
    avro = decoder({7: shape.schema}, **shape.settings)
    texts = MappedDecoder(InputSettings(**shape.settings), 1)
    found = outcome(avro, sent(*(encoded(shape.schema, record) for record in records)))
    same = outcome(
        texts, sent(*(json.dumps(record, default=as_json).encode() for record in records))
    )
    assert found[:4] == same[:4] and found[6] == same[6]
    assert [letter[:2] for letter in found[5]] == [letter[:2] for letter in same[5]]


def as_json(found: Any) -> Any:
    return float(found) if isinstance(found, Decimal) else found.hex()


def test_the_usual_shapes_are_read_as_columns() -> None:
    has_columns = {
        name: decoder({}, **shape.settings)._columns is not None
        for name, shape in AVRO_SHAPES.items()
    }
    assert has_columns == {"plain": True, "nested": True, "fields": True, "several": False}


def test_an_id_may_be_a_guid_or_stand_in_a_header() -> None:
    read = decoder({7: PLAIN, str(GUID): PLAIN})
    bare = plain(20.5)[FRAME.size :]
    by_number = [(VALUE_HEADER, FRAME.pack(0, 7))]
    by_guid = [("x", b""), (VALUE_HEADER, b"\1" + GUID.bytes)]
    for records in (
        sent(plain(20.5, 7), plain(20.5, GUID)),
        sent(bare, bare, headers=by_number),
        sent(bare, bare, headers=by_guid),
    ):
        assert outcome(read, records)[0] == [b"pump"] * 2
        assert outcome(read, records)[2] == [20.5] * 2


@pytest.mark.parametrize(
    ("schema", "key", "name"),
    [
        ("string", "pump 7", b"pump 7"),
        ("long", 42, b"42"),
        (record_of("Key", id="string"), {"id": "pump"}, b"pump"),
        (record_of("Key", id="string", n="int"), {"id": "p", "n": 1}, b'{"id": "p", "n": 1}'),
    ],
)
def test_keys_may_be_avro_as_well(schema: Any, key: Any, name: bytes) -> None:
    read = decoder({7: PLAIN, 8: schema})
    framed = encoded(schema, key, 8)
    in_header = [(KEY_HEADER, framed[: FRAME.size])]
    records: list[Sent] = [
        (framed, plain(1.5), NOW, []),
        (framed[FRAME.size :], plain(1.5), NOW, in_header),
    ]
    assert outcome(read, records)[0] == [name] * 2
    read._columns = None
    assert outcome(read, records)[0] == [name] * 2


def test_a_key_is_read_once_its_schema_is_registered() -> None:
    schemas: dict[int | str, Any] = {7: PLAIN}
    read = decoder(schemas)
    records: list[Sent] = [(encoded("string", "pump", 8), plain(1.5), NOW, [])]
    assert outcome(read, records)[0] == []
    schemas[8] = "string"
    assert outcome(read, records)[0] == [b"pump"]


@pytest.mark.parametrize(
    ("value", "error", "reason"),
    [
        (b"", "not_avro", "no schema id is in front of it"),
        (b'{"value": 1}', "not_avro", "no schema id is in front of it"),
        (b"\0\0\0", "not_avro", "it ends within the id of its schema"),
        (plain(1.5, 9), "unknown_schema", "no schema of records has the id 9"),
        (plain(1.5, 8), "unknown_schema", "no schema of records has the id 8"),
        (plain(1.5)[:-1], "not_avro", "it does not follow the schema 7"),
        (plain(1.5) + b"x", "not_avro", "bytes follow the record of the schema 7"),
    ],
)
def test_what_is_no_record_becomes_a_dead_letter_with_the_reason(
    value: bytes, error: str, reason: str
) -> None:
    found = outcome(decoder({7: PLAIN, 8: {"type": "object"}}), sent(plain(2.5), value, plain(3.5)))
    assert found[2] == [2.5, 3.5]
    ((offset, found_error, found_reason, _),) = found[5]
    assert (offset, found_error) == (1, error) and reason in found_reason


def test_schemas_that_a_record_could_misuse_are_refused() -> None:
    """A few bytes would claim billions of entries, or a depth that ends the process."""
    tree: dict[str, Any] = record_of("Node", next=["null", "Node"])
    empty = {"type": "array", "items": record_of("Empty")}
    for schema in (
        tree,
        record_of("R", a={"type": "array", "items": "null"}),
        record_of("R", a=empty),
    ):
        with pytest.raises(UnknownSchema):
            AvroReader(known({7: schema})).schema(7)


@pytest.mark.parametrize(
    "texts",
    [
        ["pump"] * 3,
        ["pump-1", "pump-2"],
        ["a", "", "abc"],
        ["", ""],
        ["a\0", "b"],
        ["\0", "\0"],
        ["x" * 32, "y" * 32],
        ["x" * 33, "y"],
        ["Süd", "Nord"],
        ["Süd", "Süd"],
    ],
)
def test_texts_of_any_length_are_read_whole(texts: list[str]) -> None:
    schema = record_of("Sent", site="string", number="long")
    columns = AvroColumns(AvroReader(known({7: schema})).schema(7), [("site",), ("number",)])
    values = [encoded(schema, {"site": text, "number": -5}) for text in texts]
    found, bad, others = columns.read(values, values[0][: FRAME.size])
    assert list(listed(found["site",])) == texts and list(found["number",]) == [-5] * len(texts)
    assert not bad.any() and not others.any()
    broken = [value[: FRAME.size + 1] for value in values]
    assert columns.read(broken, values[0][: FRAME.size])[1].all()


def test_objects_and_bytes_are_not_columns() -> None:
    shape = AVRO_SHAPES["nested"]
    schema = AvroReader(known({7: shape.schema})).schema(7)
    AvroColumns(schema, [("device", "id"), ("nothing",), ("kind", "below")])
    for path in (("device",), ("raw",), ("digest",), ("trail",), ("device", "tags", "a")):
        with pytest.raises(NotColumns):
            AvroColumns(schema, [path])


def test_a_registry_that_does_not_answer_is_no_fault_of_the_record() -> None:
    def away(_: int | str) -> None:
        raise SchemaRegistryUnavailable("the schema registry does not answer", "start it")

    read = MappedDecoder(InputSettings(format="avro"), 1, schema_of=away)
    with pytest.raises(SchemaRegistryUnavailable):
        outcome(read, sent(plain(1.5)))


def test_avro_needs_a_registry() -> None:
    with pytest.raises(ValueError, match=r"schema_registry\.url"):
        Settings.model_validate({"input": {"format": "avro"}})
    place = {"url": "http://127.0.0.1:1"}
    chosen = Settings.model_validate({"input": {"format": "avro"}, "schema_registry": place})
    with pytest.raises(SettingsError):
        outcome(decoder_for(chosen, 1), sent(plain(1.5)))  # type: ignore[arg-type]


def test_the_shape_is_guessed() -> None:
    several_of = {"type": "array", "items": record_of("One", ts="long", v="double")}
    schema = record_of("Several", id="string", readings=several_of)
    one = {"id": "pump", "readings": [{"ts": NOW, "v": 1.5}]}
    avro = AvroDocuments(known({7: PLAIN, 8: schema}))

    def guessed(value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> Any:
        return guess([Record("t", b"pump", value, headers, NOW, LAST_TIMESTAMP)], avro)

    in_header = [(VALUE_HEADER, FRAME.pack(0, 7))]
    assert guessed(plain(1.5)) == guessed(plain(1.5)[FRAME.size :], in_header) == {"format": "avro"}
    several = guessed(encoded(schema, one, 8))
    assert several == {"format": "avro", "each": "/readings/*", "stream": "{/id}"} | {
        "value": "/v",
        "timestamp": "/ts",
        "timestamp_unit": "auto",
    }
    text = json.dumps({"timestamp": NOW, "value": 1.5}).encode()
    assert guessed(FRAME.pack(0, 9) + text) == {"framing": "confluent"}
    assert guessed(plain(1.5, 9)) is None
