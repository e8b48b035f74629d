from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.bundle import Manifest, TensorSpec
from eddycast.service.dead_letters.headers import LETTER_HEADERS_BYTES, dead_letter
from eddycast.service.formats.json_encoder import Encoder
from eddycast.service.formats.rounding import rounded
from eddycast.service.records import DeadLetter
from eddycast.service.settings.output import OutputSettings
from tests.support.running import errors

NOW = 1_700_000_000_000
ALL_DIGITS = OutputSettings(digits="all")
FIELDS = ["stream", "timestamp", "value", "model", "interval_ms", "quantiles"]
FIELDS += ["one_step", "multi_step", "surprise", "anomaly", "warm"]


def manifest(
    channels: tuple[str, ...] = ("value",),
    targets: tuple[str, ...] = ("value",),
    name: str = "gru",
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9),
    horizon: int = 2,
) -> Manifest:
    return Manifest(
        contract=1,
        name=name,
        version="3f9a1c" + "0" * 58,
        family="gru",
        channels=channels,
        targets=targets,
        interval_ms=60_000,
        horizon=horizon,
        forecast_interval_ms=60_000,
        quantiles=quantiles,
        state=(TensorSpec(name="hidden", dtype="float32", shape=(2,)),),
        warmup_steps=0,
        max_gap=5,
        files=dict.fromkeys(("step.onnx", "forecast.onnx", "golden.npz"), "0" * 64),
    )


def columns(
    n: int, channels: int = 1, targets: int = 1, quantiles: int = 3, horizon: int = 2, seed: int = 0
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "streams": [b"s%d" % i for i in range(n)],
        "timestamps": NOW + np.arange(n),
        "values": rng.normal(20, 5, (n, channels)),
        "one_step": rng.normal(20, 5, (n, targets, quantiles)).astype(np.float32),
        "multi_step": rng.normal(20, 5, (n, horizon, targets, quantiles)).astype(np.float32),
        "has_multi": np.ones(n, bool),
        "surprise": rng.normal(size=n).astype(np.float32),
        "anomaly": rng.random(n).astype(np.float32),
        "warm": np.arange(n) % 2 == 1,
    }


def test_a_forecast_is_written_as_documented() -> None:
    written = Encoder(manifest()).encode(
        streams=[b"boiler-7"],
        timestamps=np.array([NOW]),
        values=np.array([[21.4]]),
        one_step=np.array([[[20.9, 21.5, 22.0]]], np.float32),
        multi_step=np.array([[[[20.5, 21.5, 22.5]], [[20.0, 21.25, 23.0]]]], np.float32),
        has_multi=np.array([True]),
        surprise=np.array([0.83], np.float32),
        anomaly=np.array([0.41], np.float32),
        warm=np.array([True]),
    )
    assert b"".join(written) == (
        b'{"stream":"boiler-7","timestamp":1700000000000,"value":21.4,"model":"gru@3f9a1c","interval_ms":60000,'
        b'"quantiles":[0.1,0.5,0.9],"one_step":[20.9,21.5,22.0],"multi_step":[[20.5,21.5,22.5],[20.0,21.25,23.0]],'
        b'"surprise":0.83,"anomaly":0.41,"warm":true}'
    )


def test_a_coarser_grid_of_the_horizon_is_in_the_record() -> None:
    coarse = manifest().model_copy(update={"forecast_interval_ms": 3_600_000})
    (record,) = map(json.loads, Encoder(coarse).encode(**columns(1)))
    assert record["interval_ms"] == 60_000
    assert record["forecast_interval_ms"] == 3_600_000


def test_several_targets_are_objects_and_several_channels_an_array() -> None:
    given_columns = columns(3, channels=3, targets=2)
    named = manifest(channels=("a", 'b"%s', "c"), targets=('b"%s', "a"), name="100 +b")
    encoder = Encoder(named, ALL_DIGITS)
    for i, record in enumerate(map(json.loads, encoder.encode(**given_columns))):
        assert record["model"] == "100 +b@3f9a1c"
        assert record["value"] == given_columns["values"][i].tolist()
        assert list(record["one_step"]) == list(record["multi_step"]) == ['b"%s', "a"]
        for k, target in enumerate(record["one_step"]):
            assert np.array_equal(
                np.float32(record["one_step"][target]), given_columns["one_step"][i, k]
            )
            assert np.array_equal(
                np.float32(record["multi_step"][target]), given_columns["multi_step"][i, :, k]
            )


def test_numbers_that_do_not_exist_are_null() -> None:
    given_columns = columns(2)
    for name in ("values", "one_step", "multi_step", "surprise"):
        given_columns[name][0] = np.nan
        given_columns[name][1].flat[0] = np.inf if name != "surprise" else 1
    given_columns["surprise"][1] = -np.inf
    given_columns["anomaly"][0] = np.nan
    first, second = map(json.loads, Encoder(manifest()).encode(**given_columns))
    assert (first["value"], first["surprise"], first["anomaly"]) == (None, None, None)
    assert first["one_step"] == [None] * 3
    assert first["multi_step"] == [[None] * 3] * 2
    assert (
        second["value"],
        second["surprise"],
        second["one_step"][0],
        second["multi_step"][0][0],
    ) == (None,) * 4
    assert second["one_step"][1] is not None


def test_rows_without_a_multi_step_forecast_say_null_and_the_others_keep_theirs() -> None:
    given_columns = columns(4)
    given_columns["has_multi"] = np.array([False, True, False, True])
    records = [
        json.loads(record) for record in Encoder(manifest(), ALL_DIGITS).encode(**given_columns)
    ]
    assert [record["multi_step"] is None for record in records] == [True, False, True, False]
    for i in (1, 3):
        assert np.array_equal(
            np.float32(records[i]["multi_step"]), given_columns["multi_step"][i, :, 0]
        )
    none = given_columns | {"multi_step": None, "has_multi": np.zeros(4, bool)}
    assert all(
        json.loads(record)["multi_step"] is None for record in Encoder(manifest()).encode(**none)
    )


def test_no_rows_no_records() -> None:
    assert Encoder(manifest()).encode(**columns(0)) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text('ab",\\\n[]{}%é☃\x01 ', min_size=1, max_size=6), min_size=1, max_size=5),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([(0.1, 0.5, 0.9), (0.1, 0.25, 0.5, 0.9)]),
    st.sampled_from([np.float32, np.float64]),
)
def test_every_record_reads_back(
    names: list[str],
    targets: int,
    horizon: int,
    quantiles: tuple[float, ...],
    dtype: type[np.floating[Any]],
) -> None:
    channels = tuple(f"c{i}" for i in range(targets))
    encoder = Encoder(manifest(channels, channels, quantiles=quantiles, horizon=horizon))
    given_columns = columns(len(names), targets, targets, len(quantiles), horizon, seed=horizon)
    given_columns["streams"] = [name.encode() for name in names]
    given_columns["one_step"] = given_columns["one_step"].astype(dtype)
    written, _ = rounded(given_columns["one_step"], None, 3)
    for i, record in enumerate(map(json.loads, encoder.encode(**given_columns))):
        assert list(record) == FIELDS
        assert record["stream"] == names[i]
        assert record["timestamp"] == NOW + i
        assert record["warm"] is (i % 2 == 1)
        assert record["quantiles"] == list(quantiles)
        assert np.float32(record["surprise"]) == given_columns["surprise"][i]
        one_step = [record["one_step"]] if targets == 1 else list(record["one_step"].values())
        assert np.array_equal(np.array(one_step, dtype), written[i])


# ---- dead letters --------------------------------------------------------------------------------


def letter_of(key: bytes | None, value: bytes | None) -> DeadLetter:
    return DeadLetter(
        "observations", 3, 41, key, value, "not_json", "the value is not JSON: caf\ud800"
    )


def test_a_dead_letter_is_the_record_with_its_reason() -> None:
    key, value, headers = dead_letter(letter_of(b"boiler-7", b"hello"))
    assert (key, value) == (b"boiler-7", b"hello")
    assert headers == [
        ("__eddycast.errors.error", b"not_json"),
        ("__eddycast.errors.reason", b"the value is not JSON: caf?"),
        ("__eddycast.errors.topic", b"observations"),
        ("__eddycast.errors.partition", b"3"),
        ("__eddycast.errors.offset", b"41"),
        ("__connect.errors.topic", b"observations"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"41"),
        ("__connect.errors.exception.class.name", b"eddycast.not_json"),
        ("__connect.errors.exception.message", b"the value is not JSON: caf?"),
        ("error", b"not_json"),
    ]


def test_a_dead_letter_keeps_the_headers_and_the_time_of_its_record() -> None:
    own = [("traceparent", b"00-1"), ("error", b"mine"), ("traceparent", b"00-2")]
    earlier = [("__eddycast.errors.error", b"no_key")]
    letter = replace(letter_of(b"k", b"v"), headers=[*own, *earlier], time=1_700_000_000_000)
    headers = dead_letter(letter)[2]
    assert headers[:3] == own
    assert [value for name, value in headers if name == "__eddycast.errors.error"] == [b"not_json"]
    assert errors(headers)["timestamp"] == b"1700000000000"
    assert [value for name, value in headers if name == "error"] == [b"mine"]


def test_headers_that_do_not_fit_are_counted() -> None:
    own = [("a", b"x" * 20), ("b", b"x" * 900), ("c", b"x")]
    headers = dead_letter(replace(letter_of(b"k", b"v"), headers=own), 100)[2]
    assert headers[:1] == own[:1] and headers[1][0] == "__eddycast.errors.error"
    found = errors(headers)
    assert (found["truncated"], found["headers_size"]) == (b"true", b"948")


def test_the_added_headers_fit_in_what_is_reserved_for_them() -> None:
    places = tuple(f"/readings/{'é' * 200}/{i}" for i in range(1_000))
    letter = replace(
        letter_of(b"k" * 99, b"v" * 99), topic="t" * 249, reason="é" * 5_000, places=places
    )
    headers = dead_letter(replace(letter, error="forecast_too_large", time=10**14), 10)[2]
    assert sum(len(name) + len(value) + 8 for name, value in headers) <= LETTER_HEADERS_BYTES
    assert errors(headers)["readings"] == b"1000"


def test_a_large_dead_letter_is_truncated_with_a_header() -> None:
    key, value, headers = dead_letter(letter_of(None, b"x" * 5_000_000))
    assert (key, value) == (None, b"x" * 65_536)
    found = errors(headers)
    assert (found["truncated"], found["size"]) == (b"true", b"5000000")
    key, value, headers = dead_letter(letter_of(b"k" * 20, b""), limit_bytes=10)
    assert (key, value) == (b"k" * 10, b"")
    found = errors(headers)
    assert (found["truncated"], found["key_size"]) == (b"true", b"20") and "size" not in found


def test_a_tombstone_stays_one() -> None:
    assert dead_letter(letter_of(b"boiler-7", None))[1] is None
