from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.formats.json_decoder import Decoder
from eddycast.service.formats.json_observation import EARLIEST, VALUE_LIMIT_BYTES
from eddycast.service.records import LARGEST, DeadLetter, Observations, PartitionBatch
from eddycast.service.state.stream_time import Clock, with_record_time
from tests.support.observations import NOW, REFUSED, STAMPS, VALUES

GOOD = b'{"timestamp":1700000000000,"value":21.4}'
LAST = 253_402_300_799_999


def batch(
    values: list[bytes | None],
    keys: list[bytes | None] | None = None,
    times: list[int] | None = None,
) -> PartitionBatch:
    n = len(values)
    return PartitionBatch(
        topic="observations",
        partition=3,
        keys=[b"boiler-%d" % i for i in range(n)] if keys is None else keys,
        values=values,
        timestamps=np.full(n, NOW) if times is None else np.array(times, np.int64),
        offsets=np.arange(100, 100 + n),
    )


def decode(
    *values: bytes | None, channels: int = 1, **columns: Any
) -> tuple[Observations, list[DeadLetter]]:
    return Decoder(channels).decode(batch(list(values), **columns))[:2]


def the_letter(*values: bytes | None, **columns: Any) -> DeadLetter:
    observations, letters = decode(*values, **columns)
    assert len(observations) == 0
    assert len(letters) == 1
    return letters[0]


# ---- observations --------------------------------------------------------------------------------


def test_columns_of_good_records() -> None:
    observations, letters = decode(
        GOOD, b'{"value": null, "timestamp": 1700000060000}', times=[NOW + 1, NOW + 2]
    )
    assert letters == []
    assert observations.partition == 3
    assert observations.streams == [b"boiler-0", b"boiler-1"]
    assert observations.timestamps.tolist() == [NOW, NOW + 60_000]
    assert observations.values.shape == (2, 1)
    assert observations.values[0, 0] == 21.4
    assert np.isnan(observations.values[1, 0])
    assert observations.record_times.tolist() == [NOW + 1, NOW + 2]
    assert observations.offsets.tolist() == [100, 101]


def test_an_empty_poll() -> None:
    observations, letters = decode(channels=2)
    assert (len(observations), letters, observations.values.shape) == (0, [], (0, 2))


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_values_of_one_channel(value: bytes, expected: float) -> None:
    observations, letters = decode(b'{"value":' + value + b"}")
    assert letters == []
    assert observations.values.tolist() == [[pytest.approx(expected, nan_ok=True, rel=0, abs=0)]]


def test_values_of_several_channels() -> None:
    observations, letters = decode(b'{"value":[1,2.5]}', b'{"value":[null,3]}', channels=2)
    assert letters == []
    assert np.array_equal(observations.values, [[1, 2.5], [np.nan, 3]], equal_nan=True)


def test_null_is_missing_in_all_channels() -> None:
    observations, letters = decode(b'{"value":null}', b'{"value":[1,2]}', channels=2)
    assert letters == []
    assert np.array_equal(observations.values, [[np.nan, np.nan], [1.0, 2.0]], equal_nan=True)


@pytest.mark.parametrize(("stamp", "expected"), STAMPS)
def test_timestamps(stamp: bytes, expected: int) -> None:
    observations, letters = decode(b'{"value":1,"timestamp":' + stamp + b"}", times=[NOW + 7])
    assert letters == []
    assert observations.timestamps.tolist() == [expected]


def test_timestamps_of_all_kinds_in_one_poll() -> None:
    iso = b'{"value":1,"timestamp":"1970-01-01T00:00:01Z"}'
    observations, letters = decode(b'{"value":1}', GOOD, iso, times=[NOW + 5, NOW, NOW])
    assert letters == []
    assert observations.timestamps.tolist() == [NOW + 5, NOW, 1000]


def test_other_fields_are_ignored_and_the_last_of_two_counts() -> None:
    observations, letters = decode(
        b'{"unit":{"a":[1]},"value":1,"value":2,"timestamp":1700000000003}'
    )
    assert letters == []
    assert (observations.values.item(), observations.timestamps.item()) == (2.0, NOW + 3)


# ---- records that are none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error"),
    REFUSED,
    ids=lambda part: repr(part[:40]) if isinstance(part, bytes) else None,
)
def test_a_value_that_is_no_observation(value: bytes, error: str) -> None:
    letter = the_letter(value)
    assert letter.error == error
    assert len(letter.reason) < 200
    assert (letter.topic, letter.partition, letter.offset) == ("observations", 3, 100)
    assert (letter.key, letter.value) == (b"boiler-0", value)


def test_a_stamp_far_ahead_is_reported_with_its_distance() -> None:
    letter = the_letter(b'{"value":1,"timestamp":1700200000000}')
    assert "2023-11-17T05:46:40+00:00" in letter.reason and "2.3 days" in letter.reason


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b'{"value":1}', "wrong_channels"),
        (b'{"value":[1,2,3]}', "wrong_channels"),
        (b'{"value":[1,"2"]}', "not_a_number"),
        (b'{"value":[1,1e999]}', "not_finite"),
    ],
)
def test_a_value_of_several_channels_that_is_no_observation(value: bytes, error: str) -> None:
    assert the_letter(value, channels=2).error == error


@pytest.mark.parametrize(
    ("key", "error"),
    [(None, "no_key"), (b"", "no_key"), (b"caf\xe9", "bad_key"), (b"k" * 5000, "too_large")],
)
def test_a_key_that_names_no_stream(key: bytes | None, error: str) -> None:
    assert the_letter(GOOD, keys=[key]).error == error


def test_keys_that_are_utf_8_only_together_are_not() -> None:
    _, letters = decode(GOOD, GOOD, keys=[b"caf\xc3", b"\xa9"])
    assert [letter.error for letter in letters] == ["bad_key", "bad_key"]


def test_an_hour_ahead_of_the_records_own_time_is_allowed() -> None:
    observations, _ = decode(b'{"value":1,"timestamp":1700003600000}')
    assert observations.timestamps.tolist() == [NOW + 3_600_000]


@pytest.mark.parametrize("unusual", [b"", b"{}"], ids=["one by one", "and a bad neighbour"])
def test_records_without_a_time_of_their_own(unusual: bytes) -> None:
    """A broker without record times sends -1: neither a limit nor a default timestamp exists."""
    values = [b'{"value":1,"timestamp":%d}' % LAST, b'{"value":1}', *([unusual] if unusual else [])]
    observations, letters = decode(*values, times=[-1] * len(values))
    assert observations.timestamps.tolist() == [LAST]
    assert letters[0].error == "bad_timestamp"


@pytest.mark.parametrize("value", [b"1e308", b"3.4028234663852886e38", b"-1.1e30", b"[1e31]"])
@pytest.mark.parametrize("beside", [b"", b"{"])
def test_numbers_that_no_sensor_measures_are_refused(value: bytes, beside: bytes) -> None:
    values: list[bytes | None] = [b'{"value":%b}' % value, GOOD, *([beside] if beside else [])]
    observations, letters = decode(*values)
    assert len(observations) == 1 and letters[0].error == "not_finite"
    assert "1e+30" in letters[0].reason and "null" in letters[0].reason


@pytest.mark.parametrize(
    ("document", "time"),
    [
        ({"timestamp": NOW // 1000}, NOW),
        ({"timestamp": 0}, NOW),
        ({"timestamp": EARLIEST - 1}, NOW),
        ({"timestamp": None}, NOW // 1000),
        ({}, NOW // 1000),
    ],
)
@pytest.mark.parametrize("unusual", [(), (b"{",)])
def test_a_number_that_reads_as_seconds_is_refused_unless_allowed(
    document: dict[str, Any], time: int, unusual: tuple[bytes, ...]
) -> None:
    values: list[bytes | None] = [json.dumps({"value": 1, **document}).encode(), *unusual]
    observations, letters = decode(*values, times=[time, NOW][: len(values)])
    assert len(observations) == 0 and letters[0].error == "seconds"
    assert "milliseconds" in letters[0].reason and "time.earliest" in letters[0].reason
    allowed = Decoder(1, earliest_ms=0).decode(batch(values, times=[time, NOW][: len(values)]))[0]
    assert len(allowed) == 1


def test_a_date_in_words_is_never_taken_for_seconds() -> None:
    observations, letters = decode(b'{"value":1,"timestamp":"1970-01-01T00:00:03"}', GOOD)
    assert letters == [] and observations.timestamps.tolist() == [3000, NOW]


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("beside", [[], [b"\xff"]])
def test_numbers_in_binary_are_no_names(
    width: int, order: Literal["big", "little"], beside: list[bytes]
) -> None:
    """Also if their bytes happen to be valid UTF-8."""
    keys = [number.to_bytes(width, order) for number in (1, 65, 127, 128, 200, 255, 256)] + beside
    observations, letters = decode(*[GOOD] * len(keys), keys=keys)
    assert len(observations) == 0 and {letter.error for letter in letters} == {"bad_key"}


# ---- records without a time of their own ---------------------------------------------------------

HOUR = 3_600_000


def stamped(*stamps: int) -> list[bytes | None]:
    return [json.dumps({"value": 1, "timestamp": stamp}).encode() for stamp in stamps]


def test_a_record_without_a_time_is_measured_by_the_one_before_it_that_has_one() -> None:
    values, times = (
        stamped(NOW, NOW + HOUR, NOW + HOUR + 1, NOW + 3 * HOUR, LAST),
        [NOW, -1, -1, -1, -1],
    )
    observations, letters = decode(*values, times=times)
    assert observations.offsets.tolist() == [100, 101, 102, 103], "an hour for each offset since"
    assert [(letter.error, letter.offset) for letter in letters] == [("far_future", 104)]
    assert "9999-12-31T23:59:59.999000+00:00" in letters[0].reason


@pytest.mark.parametrize("cut", range(1, 5))
def test_the_limit_does_not_depend_on_where_a_poll_was_cut(cut: int) -> None:
    values, times = stamped(NOW, NOW + 2 * HOUR, NOW + 2 * HOUR, LAST, NOW), [NOW, -1, -1, -1, NOW]
    whole = batch(values, times=times)
    parts = [
        PartitionBatch(
            whole.topic, 3, whole.keys[w], whole.values[w], whole.timestamps[w], whole.offsets[w]
        )
        for w in (slice(cut), slice(cut, None))
    ]
    decoder, clock, kept, refused = Decoder(1), Clock(), list[int](), list[int]()
    for part in parts:
        observations, letters, _ = decoder.decode(part, decoder.latest(part, clock))
        kept += observations.offsets.tolist()
        refused += [letter.offset for letter in letters]
        clock = with_record_time(clock, part)
    assert (kept, refused) == ([100, 102, 104], [101, 103])


def test_any_year_is_valid_if_no_record_has_a_broker_time() -> None:
    """Archives of any year, with any gaps."""
    observations, letters = decode(*stamped(EARLIEST, NOW, NOW - HOUR, LAST), times=[-1] * 4)
    assert letters == [] and len(observations) == 4


def test_pieces_of_broken_records_are_never_read_together() -> None:
    """Joined by commas these would parse as forged readings of the second sensor."""
    _, letters = decode(b'{"value":1},{"value":666}', b'{"value":3', b'"timestamp":5}', GOOD)
    assert [letter.offset for letter in letters] == [100, 101, 102]


def test_large_values_up_to_the_limit_are_read() -> None:
    head, tail = b'{"value":1,"pad":"', b'"}'
    observations, letters = decode(head + b"x" * (VALUE_LIMIT_BYTES - len(head) - len(tail)) + tail)
    assert (len(observations), letters) == (1, [])


# ---- properties ----------------------------------------------------------------------------------

reading = st.floats(-LARGEST, LARGEST)
number = st.none() | reading | st.integers(-(2**70), 2**70)
stamp = st.none() | st.integers(EARLIEST, NOW) | st.just("2020-02-29T12:00:00+01:00")


@st.composite
def observation(draw: st.DrawFn, channels: int) -> bytes:
    value: Any = draw(st.lists(number, min_size=channels, max_size=channels) | st.none())
    if channels == 1 and draw(st.booleans()):
        value = value and value[0]
    document = {
        "value": value,
        "timestamp": draw(stamp),
        "note": draw(st.sampled_from(["", "µ☃", '",{}', "\n"])),
    }
    return json.dumps(
        document, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans())
    ).encode()


def one_by_one(channels: int, records: PartitionBatch) -> tuple[Observations, list[DeadLetter]]:
    return Decoder(channels)._one_by_one(records, np.full(len(records), NOW + 3_600_000))[:2]


def same(a: Observations, b: Observations) -> None:
    assert (a.partition, a.streams) == (b.partition, b.streams)
    assert a.timestamps.tolist() == b.timestamps.tolist()
    assert np.array_equal(a.values, b.values, equal_nan=True)
    assert a.values.shape == b.values.shape
    assert a.record_times.tolist() == b.record_times.tolist()
    assert a.offsets.tolist() == b.offsets.tolist()
    assert {a.timestamps.dtype, b.timestamps.dtype, a.offsets.dtype, b.offsets.dtype} == {
        np.dtype(np.int64)
    }


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_all_at_once_equals_one_by_one(data: st.DataObject, channels: int) -> None:
    values: list[bytes | None] = [*data.draw(st.lists(observation(channels), max_size=8))]
    together, letters, _ = Decoder(channels).decode(batch(values))
    assert letters == []
    alone = [Decoder(channels).decode(batch([value]))[0] for value in values]
    assert together.timestamps.tolist() == [one.timestamps.item() for one in alone]
    slowly, letters = one_by_one(channels, batch(values))
    assert letters == []
    same(together, slowly)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(reading, st.integers(EARLIEST, NOW)), max_size=8))
def test_encoding_and_decoding_are_inverses(rows: list[tuple[float, int]]) -> None:
    values = [json.dumps({"timestamp": stamp, "value": value}).encode() for value, stamp in rows]
    observations, letters = decode(*values)
    assert letters == []
    pairs = zip(observations.values[:, 0].tolist(), observations.timestamps.tolist(), strict=True)
    assert list(pairs) == rows


pieces = st.sampled_from(
    [b"{", b"}", b'"value"', b":", b",", b"1", b"[", b"]", b'"', b"\n", b"null", b"-", b"1e999"]
)
garbage = st.none() | st.binary(max_size=20) | st.lists(pieces, max_size=8).map(b"".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(garbage, garbage), max_size=8), st.integers(1, 2))
def test_arbitrary_bytes_never_raise_and_every_record_has_one_end(
    records: list[tuple[bytes | None, bytes | None]], channels: int
) -> None:
    keys, values = [key for key, _ in records], [value for _, value in records]
    observations, letters = decode(*values, keys=keys, channels=channels)
    ends = observations.offsets.tolist() + [letter.offset for letter in letters]
    assert sorted(ends) == list(range(100, 100 + len(records)))
    same(observations, one_by_one(channels, batch(values, keys))[0])


@settings(max_examples=100, deadline=None)
@given(st.lists(observation(1), min_size=1, max_size=6), garbage, st.integers(0, 6))
def test_a_bad_record_anywhere_leaves_the_others_as_they_were(
    values: list[bytes | None], bad: bytes | None, at: int
) -> None:
    bad = b"?" if bad is None else b"?" + bad
    at = min(at, len(values))
    streams = [b"s%d" % i for i in range(len(values))]
    expected, _ = decode(*values, keys=streams)
    found, letters = decode(
        *values[:at], bad, *values[at:], keys=[*streams[:at], b"bad", *streams[at:]]
    )
    assert [(letter.key, letter.value, letter.offset) for letter in letters] == [
        (b"bad", bad, 100 + at)
    ]
    assert found.streams == expected.streams
    assert found.timestamps.tolist() == expected.timestamps.tolist()
    assert np.array_equal(found.values, expected.values, equal_nan=True)
    assert found.offsets.tolist() == [100 + i + (i >= at) for i in range(len(values))]
