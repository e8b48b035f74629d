"""Rows to records and back; foreign records are reported with their position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from eddycast.service.bundle import TensorSpec, layout_id_of
from eddycast.service.errors import StateError
from eddycast.service.migration.snapshot import _Cut
from eddycast.service.records import ROW_PREFIX, Damage, PartitionBatch
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec, layout_of
from eddycast.service.state.stream_time import Clock

SPECS = (
    TensorSpec(name="last", dtype="float64", shape=(2,)),
    TensorSpec(name="hidden", dtype="float32", shape=(3, 2)),
    TensorSpec(name="count", dtype="int64", shape=(1,)),
    TensorSpec(name="seen", dtype="bool", shape=(5,)),
)
CODEC = RowCodec(SPECS)
MARKER = Marker(next_offset=12, streams=2, clock=Clock(99, 4, 7, 8, 9))


def batch(
    keys: Sequence[bytes | None], values: Sequence[bytes | None], first: int = 40
) -> PartitionBatch:
    offsets = np.arange(first, first + len(keys), dtype=np.int64)
    return PartitionBatch(
        "log", 3, list(keys), list(values), np.zeros(len(keys), np.int64), offsets
    )


def some(n: int, seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """Prefixes and tensors of random bytes, NaN payloads and all."""
    rng = np.random.default_rng(seed)
    prefix = np.frombuffer(rng.bytes(n * ROW_PREFIX.itemsize), ROW_PREFIX)
    tensors = {}
    for spec in SPECS:
        dtype = np.dtype(spec.dtype)
        raw = rng.bytes(n * int(np.prod(spec.shape)) * dtype.itemsize)
        column = (
            np.frombuffer(raw, np.uint8) % 2 == 1
            if spec.dtype == "bool"
            else np.frombuffer(raw, dtype)
        )
        tensors[spec.name] = column.reshape(n, *spec.shape)
    return prefix, tensors


def rows(n: int, seed: int = 0) -> list[bytes]:
    return CODEC.encode(*some(n, seed))


@given(n=st.integers(0, 40), seed=st.integers(0, 9))
def test_every_bit_comes_back(n: int, seed: int) -> None:
    prefix, tensors = some(n, seed)
    values = CODEC.encode(prefix, tensors)
    assert {len(value) for value in values} <= {CODEC.row_bytes}
    found = CODEC.decode(batch([b"s%d" % i for i in range(n)], values))
    assert (
        found.streams == [b"s%d" % i for i in range(n)]
        and found.gone == []
        and found.marker is None
    )
    assert found.prefix.tobytes() == prefix.tobytes()
    for name, tensor in tensors.items():
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (
            tensor.dtype,
            tensor.shape,
        )
        assert found.tensors[name].tobytes() == tensor.tobytes()


def test_the_last_record_of_a_key_counts() -> None:
    old, new, other = rows(3)
    keys = [b"a", MARKER_KEY, b"b", b"a", b"c", b"c", b"b", MARKER_KEY]
    before, marker = (CODEC.encode_marker(one) for one in (Marker(1, 1, Clock()), MARKER))
    found = CODEC.decode(batch(keys, [old, before, old, None, None, other, new, marker]))
    assert sorted(zip(found.streams, CODEC.encode(found.prefix, found.tensors), strict=True)) == [
        (b"b", new),
        (b"c", other),
    ]
    assert found.gone == [b"a"] and found.marker == MARKER


@pytest.mark.parametrize(("newest", "clock"), [(0, Clock()), (99, Clock(99, 1))])
def test_a_marker_of_contract_1_has_the_newest_stamp_only(newest: int, clock: Clock) -> None:
    """Three numbers after the head; a newest stamp of 0 meant none."""
    value = head(1) + b"".join(number.to_bytes(8, "little") for number in (12, 2, newest))
    assert CODEC.decode(batch([MARKER_KEY], [value])).marker == Marker(12, 2, clock, None)


def test_no_stream_has_the_markers_name() -> None:
    with pytest.raises(UnicodeDecodeError):
        MARKER_KEY.decode()


def head(contract: int = 2, layout: str = CODEC.layout, mark: bytes = b"EDDY") -> bytes:
    return mark + contract.to_bytes(2, "little") + layout.encode()


BODY = b"\0" * (CODEC.row_bytes - 22)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        (b"s", b"", ": 0 bytes"),
        (b"s", b"EDDY", ": 4 bytes"),
        (b"s", b'{"json": true, "long": "enough"}', ": 32 bytes"),
        (b"s", head(mark=b"TIDE") + BODY, f": {CODEC.row_bytes} bytes"),
        (b"s", head(contract=3) + BODY, r"version 3;.*\b2\b"),
        (b"s", head(contract=3), "contract version 3"),
        (
            b"s",
            head(layout="0123456789abcdef") + BODY,
            f"layout 0123456789abcdef.*layout {CODEC.layout}",
        ),
        (b"s", head(layout="0123456789abcdef") + BODY + b"more", "layout 0123456789abcdef"),
        (b"s", head() + BODY[:-1], f": {CODEC.row_bytes - 1} of {CODEC.row_bytes} bytes"),
        (b"s", head() + BODY + b"\0", f": {CODEC.row_bytes + 1} of {CODEC.row_bytes} bytes"),
        (None, head() + BODY, "key None"),
        (b"", head() + BODY, "key b''"),
        (MARKER_KEY, None, ": 0 bytes"),
        (MARKER_KEY, b"12", ": 2 bytes"),
        (MARKER_KEY, CODEC.encode_marker(MARKER)[:-1], r": (\d+) of \d+ bytes"),
        (MARKER_KEY, head(contract=9), "contract version 9"),
    ],
)
@pytest.mark.parametrize("among", [0, 5])
def test_foreign_records_are_reported_and_never_loaded(
    key: bytes | None, value: bytes | None, what: str, among: int
) -> None:
    good = rows(among)
    keys = [b"g%d" % i for i in range(among)]
    with pytest.raises(StateError, match=what) as caught:
        CODEC.decode(batch([*keys, key], [*good, value]))
    assert caught.value.what.startswith(f"log partition 3 offset {40 + among} key {key!r}: ")
    assert caught.value.action and caught.value.exit_code == 6


@given(raw=npst.arrays(np.uint8, st.integers(0, CODEC.row_bytes + 3)))
def test_no_bytes_break_the_decoder(raw: Any) -> None:
    value = raw.tobytes()
    with pytest.raises(StateError):
        CODEC.decode(batch([b"s"], [value]))


def test_the_layout_names_the_models_part_and_our_own() -> None:
    assert layout_of("a") != layout_of("b") and len(layout_of("a")) == 16
    assert RowCodec(SPECS).layout == layout_of(layout_id_of(SPECS)) != RowCodec(SPECS[1:]).layout


WIDER = RowCodec((*SPECS[:2], TensorSpec(name="more", dtype="float64", shape=(7,))))


def first_contract(values: list[bytes]) -> list[bytes]:
    """The same rows in contract version 1: without a generation."""
    return [b"EDDY\1\0" + value[6:22] + value[26:] for value in values]


def test_rows_carry_the_generation_under_which_they_were_written() -> None:
    prefix, tensors = some(3)
    values = CODEC.encode(prefix, tensors, 7)[:2] + CODEC.encode(prefix, tensors, 2**32 - 1)[2:]
    found = CODEC.decode(batch([b"a", b"b", b"c"], values))
    assert (
        found.generations.tolist() == [7, 7, 2**32 - 1]
        and found.prefix.tobytes() == prefix.tobytes()
    )
    marker = Marker(12, 2, Clock(99, 1), 2**32 - 1)
    assert CODEC.decode(batch([MARKER_KEY], [CODEC.encode_marker(marker)])).marker == marker


def test_rows_and_markers_of_the_first_contract_are_read_beside_newer_ones() -> None:
    prefix, tensors = some(4)
    newer = CODEC.encode(prefix, tensors, 3)
    old_marker = head(1) + b"".join(n.to_bytes(8, "little") for n in (12, 2, 99))
    values = [*first_contract(newer[:2]), newer[2], *first_contract(newer[3:]), old_marker]
    found = CODEC.decode(batch([b"a", b"b", b"c", b"d", MARKER_KEY], values))
    assert found.generations.tolist() == [0, 0, 3, 0] and found.prefix.tobytes() == prefix.tobytes()
    assert all(
        found.tensors[name].tobytes() == tensor.tobytes() for name, tensor in tensors.items()
    )
    assert found.marker == Marker(12, 2, Clock(99, 1), None)
    assert CODEC.encode_marker(found.marker) == old_marker, "an edit leaves it as it is"


def test_rows_of_a_layout_that_is_described_are_read_tensor_by_tensor() -> None:
    prefix, tensors = some(2)
    theirs = WIDER.encode(prefix, tensors | {"more": np.ones((2, 7))}, 4)
    codec = RowCodec(SPECS)
    with pytest.raises(StateError, match=f"layout {WIDER.layout}"):
        codec.decode(batch([b"a", b"b"], theirs))
    key, described = WIDER.layout_record()
    own = CODEC.encode(*some(1), 5)
    found = codec.decode(batch([key, b"a", b"b", b"c"], [described, *theirs, *own]))
    assert found.streams == [b"a", b"b", b"c"] and found.generations.tolist() == [4, 4, 5]
    assert found.recorded.layouts == {WIDER.layout}
    for name in ("last", "hidden"):
        assert found.tensors[name][:2].tobytes() == tensors[name].tobytes()
    assert not found.tensors["count"][:2].any() and not found.tensors["seen"][:2].any()
    assert codec.decode(batch([b"a"], theirs[:1])).streams == [b"a"], "it was described before"


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        (b"\xffnews", b"EDDJ" + head()[4:] + b"{}", r"key b'\\xffnews'"),
        (MODEL_KEY, b"EDDJ" + head()[4:] + b"{}", r"offset 41 .*required"),
        (MODEL_KEY, b"EDDJ" + head(contract=3)[4:] + b"{}", r"version 3;.*\b2\b"),
        (MODEL_KEY, None, ": 0 bytes"),
        (WIDER.layout_record()[0], b"EDDJ" + head()[4:] + b"[", "JSON"),
        (WIDER.layout_record()[0], b"layout", ": 6 bytes"),
    ],
)
def test_damaged_records_of_a_partition_are_reported(
    key: bytes, value: bytes | None, what: str
) -> None:
    with pytest.raises(StateError, match=what):
        CODEC.decode(batch([b"a", key], [*rows(1), value]))


def test_a_layout_record_that_describes_another_layout_teaches_nothing() -> None:
    key, codec = WIDER.layout_record()[0], RowCodec(SPECS)
    codec.decode(batch([key], [CODEC.layout_record()[1]]))
    prefix, tensors = some(1)
    with pytest.raises(StateError, match=f"layout {WIDER.layout}"):
        codec.decode(batch([b"a"], WIDER.encode(prefix, tensors | {"more": np.ones((1, 7))})))


def test_a_batch_that_cannot_be_read_is_no_row_and_no_absence_of_one() -> None:
    """Neither a restore nor a snapshot skips it."""
    damage = Damage(
        40, 60, "gzip", "undecodable", "offsets 40 to 60: a record batch cannot be read: torn"
    )
    found = replace(batch([None, b"s"], [b"raw", rows(1)[0]]), damaged={40: damage})
    for look in (CODEC.decode, _Cut().add):
        with pytest.raises(StateError, match="log partition 3: offsets 40 to 60") as caught:
            look(found)
        assert caught.value.action and caught.value.exit_code == 6
