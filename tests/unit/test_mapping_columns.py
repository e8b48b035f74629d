"""Records read as columns are read as they are one by one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.formats.json_decoder import NEVER
from eddycast.service.formats.mapped_decoder import MappedDecoder
from eddycast.service.mapping.presets import PRESETS
from eddycast.service.records import Decoding, Int64, PartitionBatch
from eddycast.service.settings.input import InputSettings
from tests.support.shapes import SHAPES

NOW = 1_700_000_000_000
Record = tuple[bytes | None, bytes, int, list[tuple[str, bytes]]]

MAPPINGS: dict[str, dict[str, Any]] = {
    "plain": {"streams": "*, !bad*"},
    "nested": {"value": "/a/v", "timestamp": "/t", "stream": "{/name}-{key}", "where": "/k = r"},
    "root": {"each": "/*", "value": "/v", "timestamp": "/t, record", "stream": "{name}"},
    "each": {"each": "/a/*", "value": "/v", "timestamp": "/t, record", "stream": "{name}/{key}"},
    "deep": {"each": "/a/v/*", "value": "/v", "timestamp": "/t", "stream": "{key}"},
    "fields": {
        "fields": "/v, /name",
        "timestamp": "/t, header.t, record",
        "timestamp_unit": "auto",
    },
    "entries": {"fields": "/a/*", "timestamp": "/t, record", "lenient_numbers": True},
    "words": {"fields": "/*", "timestamp": "/t, record", "missing": "unknown", "booleans": True},
    "there": {"where": "/a and key != s and !/k", "value": "/a/v", "timestamp": "record"},
    "header": {"stream": "{header.t}/{topic}", "value": "/v", "timestamp": "record"},
    "envelope": {"envelope": "connect", "value": "/v", "timestamp": "/t, record"},
    "iso": {"value": "/v", "timestamp": "/t, record", "timestamp_unit": "iso", "units": True},
}
MAPPINGS |= {name: shape.settings for name, shape in SHAPES.items()}

numbers = st.sampled_from([1, 2.5, None, -3, 1e31, 1e400, 10**30, 0, 7.25])
words = st.sampled_from(["21.4", "unknown", "r", "bad", "é", "", "x" * 2000, "\x01", "21.4 °C"])
stamps = st.sampled_from(
    [
        *(NOW, NOW // 1000, NOW * 1000 + 7, NOW + 0.5, NOW + 10**9, -5, 10**20, 10**40),
        *("2023-11-14T22:13:20Z", "2023-11-14T22:13:20.5+01:00", "2023-11-14", "20231114"),
        *("1960-01-01", str(NOW), " ", None, True),
    ]
)
leaves = numbers | words | stamps | st.booleans()
names = st.sampled_from(["v", "t", "name", "k", "a", "timestamp", "value"])
entries = st.dictionaries(names, leaves, max_size=5)
usual = st.fixed_dictionaries(
    {"v": numbers, "value": numbers, "t": stamps, "timestamp": stamps, "name": words},
    optional={
        "k": st.sampled_from(["r", "s", 1, True]),
        "a": entries | st.lists(entries, max_size=3),
    },
)
documents = st.recursive(
    usual | entries,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner | leaves, max_size=4),
    max_leaves=6,
)
wrapped = documents | documents.map(lambda found: {"schema": {}, "payload": found})
known = st.sampled_from([value for shape in SHAPES.values() for _, value, _ in shape.encoded()])
senml = st.lists(
    st.fixed_dictionaries(
        {"n": st.sampled_from(["a", "b", 7])},
        optional={
            "bn": st.sampled_from(["x", "y", 1]),
            "bt": st.sampled_from([NOW // 1000, "t"]),
            "t": st.sampled_from([0, -5, 2.25, NOW // 1000, 1e30]),
            "v": numbers,
            "vb": st.booleans(),
            "vs": words,
        },
    ),
    max_size=4,
)
lines = st.lists(
    st.builds(
        lambda *parts: " ".join(parts),
        st.sampled_from(["cpu", "cpu,a=b,c=d", "m,c=d,a=b", "a\\ b,t=x", "m,", "", "é,a=é"]),
        st.sampled_from(["v=1", "v=1i,w=2.5", 'v="x y"', "v=t", "v=", "v=1=2", "v=1e400,u=3u"]),
        st.sampled_from([str(NOW * 1_000_000), str(NOW // 1000), "", "x", "9" * 30]),
    ),
    max_size=3,
).map(lambda found: "\n".join(found).encode())
values = st.one_of(
    senml.map(lambda found: json.dumps(found).encode()),
    lines,
    wrapped.map(lambda found: json.dumps(found).encode()),
    wrapped.map(lambda found: json.dumps(found).encode()),
    known,
    st.sampled_from([b"", b"{", b"null", b"\xff", b"[1]", b'{"v":1}{"v":2}']),
)
keys = st.sampled_from([b"k", b"s", b"bad-1", b"", None, b"\xff", b'{"payload":"x"}', b"7", b"k\0"])
headers = st.sampled_from([[], [("t", b"s")], [("t", b"2023-11-14T22:13:20Z")], [("t", b"\xff")]])
times = st.sampled_from([NOW, NOW, NOW + 3_600_000, -1])
records = st.lists(st.tuples(keys, values, times, headers), min_size=1, max_size=12)


def batch_of(sent: list[Record]) -> PartitionBatch:
    return PartitionBatch(
        "t",
        0,
        [key for key, _, _, _ in sent],
        [value for _, value, _, _ in sent],
        np.array([time for _, _, time, _ in sent]),
        np.arange(len(sent)),
        headers=[own for _, _, _, own in sent],
    )


def outcome(
    decoder: MappedDecoder, sent: list[Record], latest: Int64 | None = None
) -> tuple[Any, ...]:
    found: Decoding = decoder.decode(batch_of(sent), latest)
    return (
        found.observations.streams,
        found.observations.timestamps.tolist(),
        [None if value != value else value for value in found.observations.values[:, 0].tolist()],
        found.observations.offsets.tolist(),
        found.observations.places,
        [(letter.offset, letter.error, letter.reason, letter.places) for letter in found.letters],
        found.filtered.tolist(),
    )


@pytest.mark.parametrize("name", MAPPINGS)
@settings(max_examples=60, deadline=None)
@given(sent=records)
def test_columns_equal_one_by_one(name: str, sent: list[Record]) -> None:
    given_settings = InputSettings(**MAPPINGS[name])
    fast, slow = MappedDecoder(given_settings, 1), MappedDecoder(given_settings, 1)
    slow._columns = None
    expected = outcome(slow, sent)
    assert outcome(fast, sent) == expected
    assert outcome(fast, sent) == expected, "also with names that are remembered"
    latest = fast.latest(batch_of(sent), NEVER)
    parts = [outcome(fast, [one], latest[i : i + 1]) for i, one in enumerate(sent)]
    assert [name for part in parts for name in part[0]] == expected[0]


def test_what_is_no_name_is_not_remembered() -> None:
    """It may have a megabyte."""
    decoder = MappedDecoder(InputSettings(stream="{name}", timestamp="record"), 1)
    for length in (10, 2_000, 500_000):
        value = json.dumps({"name": "x" * length, "value": 1}).encode()
        outcome(decoder, [(b"k", value, NOW, [])])
    assert decoder._columns is not None
    assert list(decoder._columns.names._known) == ["x" * 10]


@pytest.mark.parametrize("preset", PRESETS)
def test_most_presets_are_read_as_columns(preset: str) -> None:
    has_columns = MappedDecoder(InputSettings(preset=preset), 1)._columns is not None
    assert has_columns is (preset != "thingsboard_gateway")
