"""The schemas of docs/schemas/ describe what the code writes and reads, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from eddycast.service.dead_letters.codes import CODES
from eddycast.service.dead_letters.headers import dead_letter
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.json_encoder import Encoder
from eddycast.service.formats.json_observation import EARLIEST
from eddycast.service.model.loading import load_runtime
from eddycast.service.records import LARGEST, LAST_TIMESTAMP, Damage, DeadLetter
from eddycast.service.settings.output import OutputSettings
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.observations import NOW, REFUSED, STAMPS, VALUES
from tests.support.running import documents, memory_broker, send, worker
from tests.support.schemas import SCHEMAS, schema, validator
from tests.unit.test_codec import decode
from tests.unit.test_codec_forecasts import columns, manifest

FORECAST = validator("forecast")
OBSERVATION = validator("observation")
HEADERS = validator("dead-letter-headers")
TWO = ("flow", "level")


# ---- forecasts -----------------------------------------------------------------------------------


def written(
    channels: tuple[str, ...] = ("value",),
    targets: tuple[str, ...] = ("value",),
    output: OutputSettings | None = None,
    forecast_interval_ms: int = 60_000,
    **changes: Any,
) -> list[dict[str, Any]]:
    """Three records of the encoder; `changes` are columns."""
    model = manifest(channels, targets).model_copy(
        update={"forecast_interval_ms": forecast_interval_ms}
    )
    made = ForecastColumns(**columns(3, len(channels), len(targets)) | changes)
    return [json.loads(record) for record in Encoder(model, output).encode(made)]


def nothing(*names: str, targets: int = 1) -> dict[str, Any]:
    """Columns as they are of streams that are new: numbers do not exist."""
    return {name: np.full_like(columns(3, targets, targets)[name], np.nan) for name in names}


NEW = ("one_step", "multi_step", "expected", "error", "surprise", "anomaly")
VARIANTS: dict[str, dict[str, Any]] = {
    "one target": {},
    "one target of several channels": {"channels": TWO, "targets": ("level",)},
    "several targets": {"channels": TWO, "targets": TWO},
    "some quantiles": {"output": OutputSettings(quantiles=".5")},
    "some leads": {"output": OutputSettings(leads="2", digits="all")},
    "some of several targets": {
        "channels": TWO, "targets": TWO, "output": OutputSettings(quantiles=".1,.9", leads="1"),
    },
    "another grid": {"forecast_interval_ms": 3_600_000},
    "a new stream": nothing(*NEW),
    "a new stream of several targets": {
        "channels": TWO, "targets": TWO, **nothing(*NEW, targets=2),
    },
    "no multi-step forecast": {"multi_step": None, "has_multi": np.zeros(3, bool)},
    "a missing reading": nothing("values", "error", "surprise", "anomaly"),
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_records_of_the_encoder_are_valid(variant: str) -> None:
    for record in written(**VARIANTS[variant]):
        FORECAST.validate(record)


def test_every_property_is_written_and_required_unless_a_setting_adds_it() -> None:
    known = schema("forecast")
    always = set.intersection(*(set(r) for v in VARIANTS.values() for r in written(**v)))
    ever = set.union(*(set(r) for v in VARIANTS.values() for r in written(**v)))
    assert always == set(known["required"])
    assert ever == set(known["properties"])
    assert [name for name in known["properties"] if name in always] == list(written()[0])


@pytest.mark.parametrize("name", ["forecast", "forecast-by-target"])
def test_the_schemas_in_avro_have_the_same_fields(name: str) -> None:
    fields = json.loads((SCHEMAS / f"{name}.avsc").read_text())["fields"]
    assert [field["name"] for field in fields] == list(schema("forecast")["properties"])


@pytest.mark.parametrize(
    "walk", [Walk(), Walk(channels=TWO, targets=TWO, expects=True, ranks=True)]
)
def test_what_a_worker_writes_from_the_first_reading_on_is_valid(
    walk: Walk, tmp_path: Path
) -> None:
    write_bundle(tmp_path, walk)
    broker = memory_broker()
    readings = [1.0, None, 2.0, 3.0]
    send(
        broker,
        [
            (0, b"a", {"timestamp": START_MS + i * 60_000, "value": [v] * len(walk.channels)})
            for i, v in enumerate(readings)
        ],
    )
    subject = worker(broker, load_runtime(tmp_path))
    subject.turn(3)
    records = documents(broker)
    assert len(records) == len(readings)
    assert (records[0]["expected"], records[0]["warm"]) == (None, False)
    assert records[-1]["multi_step"] is not None
    for record in records:
        FORECAST.validate(record)


@pytest.mark.parametrize("variant", ["one target", "several targets"])
def test_a_field_that_is_unknown_missing_or_of_another_kind_is_not(variant: str) -> None:
    record = written(**VARIANTS[variant])[0]
    assert not FORECAST.is_valid(record | {"horizon": 2})
    for name in record:
        assert not FORECAST.is_valid({key: record[key] for key in record if key != name}), name
        assert not FORECAST.is_valid(record | {name: [True]}), name
    other = written(**VARIANTS["several targets" if variant == "one target" else "one target"])[0]
    for name in ("one_step", "multi_step", "expected", "error"):
        assert not FORECAST.is_valid(record | {name: other[name]}), name


# ---- observations --------------------------------------------------------------------------------


def is_observation(value: bytes) -> bool:
    """True if a record's value is JSON that the schema accepts."""
    try:
        return bool(OBSERVATION.is_valid(orjson.loads(value)))
    except ValueError:
        return False


#: Errors that depend on the model, or on the record beside its value.
NOT_OF_THE_VALUE = ("far_future", "too_large", "wrong_channels")


@pytest.mark.parametrize("value", [value for value, _ in VALUES])
def test_values_that_are_read_are_valid(value: bytes) -> None:
    assert is_observation(b'{"value":' + value + b"}")


@pytest.mark.parametrize("stamp", [stamp for stamp, _ in STAMPS])
def test_stamps_that_are_read_are_valid(stamp: bytes) -> None:
    assert is_observation(b'{"unit":"C","value":1,"timestamp":' + stamp + b"}")


@pytest.mark.parametrize(
    ("value", "error"), REFUSED, ids=lambda part: repr(part[:40]) if isinstance(part, bytes) else ""
)
def test_values_that_are_refused_are_not_valid(value: bytes, error: str) -> None:
    assert is_observation(value) == (error in NOT_OF_THE_VALUE and value != b'{"value":[]}')


def test_several_channels_are_valid() -> None:
    for value in (b"[1,2.5]", b"[null,3]", b"null"):
        assert is_observation(b'{"value":' + value + b"}")
    assert not is_observation(b'{"value":[1,"2"]}')


def test_limits_are_those_of_the_code() -> None:
    limits = schema("observation")
    _, number, _ = limits["properties"]["timestamp"]["anyOf"]
    assert (number["minimum"], number["maximum"]) == (EARLIEST, LAST_TIMESTAMP)
    reading = limits["$defs"]["reading"]
    assert (reading["minimum"], reading["maximum"]) == (-LARGEST, LARGEST)
    assert schema("forecast")["properties"]["timestamp"]["maximum"] == LAST_TIMESTAMP


zones = (
    st.none() | st.just(UTC) | st.integers(-720, 840).map(lambda m: timezone(timedelta(minutes=m)))
)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2023, 11, 13), timezones=st.none())


@tries(max_examples=100, deadline=None)
@given(
    moments, zones, st.sampled_from(["T", " ", "_"]),
    st.sampled_from(["auto", "hours", "minutes", "seconds", "milliseconds"]), st.booleans(),
)  # fmt: skip
def test_stamps_in_iso_8601_are_valid(
    moment: datetime, zone: timezone | None, between: str, to: str, basic: bool
) -> None:
    text = moment.replace(tzinfo=zone).isoformat(between, to)
    if basic:
        text = text.replace("-", "", 2).replace(":", "") if zone is None else text
    document = b'{"value":1,"timestamp":"%b"}' % text.encode()
    assert decode(document)[1] == []
    assert is_observation(document)


pieces = st.sampled_from(
    ["1969", "2023", "-", "11", "14", "W46", "1", "T", " ", "22", ":", "13", ".5", "Z", "+02"]
)


@tries(max_examples=200, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join))
def test_other_texts_are_valid_only_if_they_might_be_read(text: str) -> None:
    """The schema does not know the length of months, or the zone in which 1970 began."""
    document = b'{"value":1,"timestamp":"%b"}' % text.encode()
    letters = decode(document)[1]
    if not letters:
        assert is_observation(document)


# ---- dead letters --------------------------------------------------------------------------------

LETTER = DeadLetter("observations", 3, 41, b"k", b"v", "not_json", "the value is not JSON")
LETTERS = {
    "plain": LETTER,
    "own headers": replace(LETTER, headers=[("traceparent", b"00-1"), ("error", b"mine")]),
    "with a time": replace(LETTER, time=NOW),
    "readings": replace(LETTER, places=("/readings/2", "/readings/7")),
    "cut": replace(LETTER, value=b"v" * 70_000, key=b"k" * 70_000, headers=[("a", b"x" * 70_000)]),
    "a damaged batch": replace(LETTER, damage=Damage(41, 57, "zstd", "undecodable", "damaged")),
}


def headers_of(letter: DeadLetter) -> dict[str, str]:
    return {name: value.decode() for name, value in dead_letter(letter)[2]}


@pytest.mark.parametrize("kind", LETTERS)
def test_headers_of_dead_letters_are_valid(kind: str) -> None:
    HEADERS.validate(headers_of(LETTERS[kind]))


def test_every_header_is_written_and_an_unknown_or_missing_one_is_not_valid() -> None:
    known = schema("dead-letter-headers")
    ever = set[str]().union(*(headers_of(letter) for letter in LETTERS.values()))
    assert ever - {"traceparent", "a"} == set(known["properties"])
    headers = headers_of(LETTER)
    assert set(headers) == set(known["required"])
    assert not HEADERS.is_valid(headers | {"__eddycast.errors.colour": "red"})
    assert not HEADERS.is_valid(headers | {"__eddycast.errors.error": "not_a_code"})
    for name in headers:
        assert not HEADERS.is_valid({key: headers[key] for key in headers if key != name}), name


def test_the_codes_are_those_of_the_code() -> None:
    known = schema("dead-letter-headers")["properties"]["__eddycast.errors.error"]["enum"]
    assert known == list(CODES)
