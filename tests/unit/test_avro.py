"""Avro records against fastavro and against the JSON records of the same forecasts."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.archive.forecast_rows import ForecastRows
from eddycast.service.bundle import Manifest
from eddycast.service.errors import SettingsError
from eddycast.service.formats.avro_encoder import AvroEncoder
from eddycast.service.formats.avro_layout import Varints
from eddycast.service.formats.avro_reader import AvroReader
from eddycast.service.formats.avro_schema import avro_schema
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.json_encoder import Encoder
from eddycast.service.monitor.decode import Decoder, by_position
from eddycast.service.monitor.run import Monitor
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.output import OutputSettings
from eddycast.service.state.stream_time import Clock
from eddycast.service.varint import varint
from tests.monitor.records import batch, forecast
from tests.support.running import memory_broker
from tests.support.schemas import schema as json_schema
from tests.unit.test_codec_forecasts import columns, manifest

FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
LEVELS = (0.1, 0.25, 0.5, 0.9)


def decoded(record: bytes, schema: dict[str, Any], schema_id: int = 7) -> dict[str, Any]:
    """A framed record as fastavro reads it, whole; the stamp as a number."""
    assert struct.unpack(">bI", record[:5]) == (0, schema_id)
    stream = io.BytesIO(record[5:])
    plain = json.loads(json.dumps(schema).replace('"logicalType": "timestamp-millis"', '"x": 0'))
    found = fastavro.schemaless_reader(stream, plain, None)
    assert stream.read() == b"", "every byte belongs to the record"
    assert isinstance(found, dict)
    return found


def as_json(found: dict[str, Any]) -> dict[str, Any]:
    """An Avro record without the fields that JSON leaves out where they are null."""
    absent = [name for name in ("forecast_interval_ms", "leads") if found[name] is None]
    return {name: value for name, value in found.items() if name not in absent}


def singles(value: Any) -> Any:
    """Every fraction as the float32 nearest to it: JSON has the shortest text of a float32."""
    if isinstance(value, dict):
        return {name: singles(own) for name, own in value.items()}
    if isinstance(value, list):
        return [singles(own) for own in value]
    return float(np.float32(value)) if isinstance(value, float) else value


def both(
    bundle: Manifest, made: ForecastColumns, number: np.dtype[Any], **chosen: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The Avro and the JSON records of the same forecasts."""
    schema = avro_schema(len(bundle.channels), len(bundle.targets), number)
    encoder = AvroEncoder(bundle, OutputSettings(format="avro", **chosen), number, 7)
    avro = encoder.encode(made)
    for row, record in enumerate(avro):  # whatever stands beside it
        assert encoder.encode(made.take(np.array([row]))) == [record]
    texts = Encoder(bundle, OutputSettings(digits="all", **chosen)).encode(made)
    return [decoded(record, schema) for record in avro], [json.loads(text) for text in texts]


@st.composite
def forecasts(draw: st.DrawFn) -> tuple[Manifest, ForecastColumns, np.dtype[Any], dict[str, str]]:
    """Any records of any bundle, with every null that there is, and a choice of what is written."""
    rows, targets = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    channels, horizon = draw(st.integers(targets, 4)), draw(st.integers(1, 5))
    number: np.dtype[Any] = draw(st.sampled_from((FLOAT, DOUBLE)))
    names = tuple(draw(st.permutations(["a", 'b"%s', "ç é", "value"])))
    bundle = manifest(names[:channels], names[:targets], "100 +b", LEVELS, horizon)
    if draw(st.booleans()):
        bundle = bundle.model_copy(update={"forecast_interval_ms": 3_600_000})
    made = columns(rows, channels, targets, len(LEVELS), horizon, draw(st.integers(0, 99)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    holes = draw(st.sampled_from([0.0, 0.3, 1.0]))
    for name in ("values", "one_step", "multi_step", "expected", "error", "surprise", "anomaly"):
        if name in ("one_step", "multi_step", "expected"):
            made[name] = made[name].astype(number)
        nothing = rng.random(made[name].shape) < holes * draw(st.booleans())
        made[name][nothing] = rng.choice([np.nan, np.inf, -np.inf], size=int(nothing.sum()))
    made["expected"][rng.random(rows) < holes] = np.nan
    made["has_multi"] = rng.random(rows) >= holes
    if draw(st.booleans()) and not made["has_multi"].any():
        made["multi_step"] = None
    stamps = st.integers(0, 253_402_300_799_999)
    made["timestamps"] = np.array(draw(st.lists(stamps, min_size=rows, max_size=rows)), np.int64)
    texts = st.lists(st.text(max_size=200), min_size=rows, max_size=rows)
    made["streams"] = [name.encode() for name in draw(texts)]
    chosen = draw(st.sampled_from([{}, {"quantiles": ".25,.9"}, {"leads": "1"}]))
    return bundle, ForecastColumns(**made), number, chosen


@settings(max_examples=150, deadline=None)
@given(forecasts())
def test_a_record_says_in_avro_what_it_says_in_json(
    given_forecasts: tuple[Manifest, ForecastColumns, np.dtype[Any], dict[str, str]],
) -> None:
    bundle, made, number, chosen = given_forecasts
    avro, texts = both(bundle, made, number, **chosen)
    assert len(avro) == len(made)
    for found, text in zip(avro, texts, strict=True):
        written = as_json(found)
        assert list(written) == list(text)
        if number == DOUBLE:
            for name in ("surprise", "anomaly"):  # float32 in any bundle
                written[name], text[name] = singles(written[name]), singles(text[name])
            assert written == text
        else:
            exact = ("value", "error", "quantiles")
            assert [written[name] for name in exact] == [text[name] for name in exact]
            assert singles(written) == singles(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=20))
def test_varints_of_a_column_are_those_of_its_numbers(numbers: list[int]) -> None:
    column = Varints.of(np.array(numbers, np.int64))
    rows = [raw[:size] for raw, size in zip(column.raw, column.sizes.tolist(), strict=True)]
    assert [row.tobytes() for row in rows] == [varint(number) for number in numbers]


def test_no_rows_no_records() -> None:
    none = ForecastColumns(**columns(0))
    assert AvroEncoder(manifest(), OutputSettings(format="avro"), FLOAT, 7).encode(none) == []


@pytest.mark.parametrize("number", [FLOAT, DOUBLE])
@pytest.mark.parametrize("width", [1, 2])
def test_the_schema_is_one_that_others_parse(width: int, number: np.dtype[Any]) -> None:
    """And has the fields of the JSON Schema."""
    schema = avro_schema(width, width, number)
    assert [field["name"] for field in schema["fields"]] == list(
        json_schema("forecast")["properties"]
    )
    fastavro.parse_schema(json.loads(json.dumps(schema)))
    for field in schema["fields"]:
        assert field["doc"], field["name"]
        assert ("default" in field) == (isinstance(field["type"], list))


# ---- reading -------------------------------------------------------------------------------------


def written() -> tuple[dict[str, Any], list[bytes]]:
    """A schema, and records of it."""
    encoder = AvroEncoder(manifest(), OutputSettings(format="avro"), FLOAT, 7)
    return avro_schema(1, 1, FLOAT), encoder.encode(ForecastColumns(**columns(4)))


def test_records_are_read_as_what_they_are_in_json() -> None:
    schema, records = written()
    asked: list[int | str] = []

    def schema_of(schema_id: int | str) -> dict[str, Any]:
        asked.append(schema_id)
        return schema

    reader = AvroReader(schema_of)
    made = ForecastColumns(**columns(4))
    texts = Encoder(manifest(), OutputSettings(digits="all")).encode(made)
    found = [singles(as_json(reader.read(record))) for record in records]
    assert found == [singles(json.loads(text)) for text in texts]
    assert asked == [7], "a schema is asked for once"


@pytest.mark.parametrize(
    ("schema", "change"),
    [
        (None, b""),
        ({"type": "no such type"}, b""),
        ({"type": "string"}, b""),
        (avro_schema(1, 1, DOUBLE), b""),
        (avro_schema(2, 2, FLOAT), b""),
        (avro_schema(1, 1, FLOAT), written()[1][0] + b"\0"),
        (avro_schema(1, 1, FLOAT), b"\0\0"),
        (avro_schema(1, 1, FLOAT), b"\0\0\0\0\7\xff\xff\xff\xff\xff"),
        (avro_schema(1, 1, FLOAT), b"\0\0\0\0\7"),
    ],
)
def test_bytes_of_no_known_schema_are_no_forecast(schema: Any, change: bytes) -> None:
    """Neither for the monitor nor for the archive, which go on."""
    record = change or written()[1][0]
    with pytest.raises(ValueError, match=r"schema|missing"):
        AvroReader(lambda _: schema).read(record)
    good = [forecast("a", step, 1.0, np.random.default_rng(0)) for step in range(3)]
    polled = [batch([good[0], record, *good[1:]])]
    decoder = Decoder(by_position, lambda _: schema)
    seen = decoder.decode(polled)
    assert (seen.records, seen.unreadable) == (4, 1)
    rows = ForecastRows(lambda _: schema).rows(polled[0], Clock())
    assert (len(rows.frame), rows.unreadable) == (3, 1)


def test_without_a_registry_a_record_in_avro_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"schema_registry\.url"):
        Decoder(by_position).decode([batch([written()[1][0]])])


def test_without_a_registry_the_monitor_passes_over_what_may_be_foreign(
    capsys: pytest.CaptureFixture[str],
) -> None:
    monitor = Monitor(load_settings([], {}), memory_broker())
    good = forecast("a", 0, 1.0, np.random.default_rng(0))
    monitor._take([batch([written()[1][0], good, b"\0\0\0\0\1abc"])])
    assert monitor.board.unreadable == 2
    assert capsys.readouterr().out.count("schema_registry.url") == 1
