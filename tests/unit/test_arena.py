from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import ArrayLike, NDArray

from eddycast.service.records import ROW_PREFIX, Int64
from eddycast.service.state.arena import Arena


@dataclass(frozen=True)
class Spec:
    name: str
    dtype: str
    shape: tuple[int, ...]


SPECS = [
    Spec("hidden", "float32", (2, 3)),
    Spec("level", "float64", ()),
    Spec("seen", "bool", (4,)),
]


def state_of(column: ArrayLike) -> dict[str, NDArray[Any]]:
    """Rows that can be told apart by `mark`."""
    marks = np.asarray(column)
    return {
        "hidden": np.repeat(marks, 6).reshape(-1, 2, 3).astype(np.float32),
        "level": marks.astype(np.float64),
        "seen": np.repeat(marks % 2 == 1, 4).reshape(-1, 4),
    }


def prefix_of(timestamps: Sequence[int]) -> NDArray[np.void]:
    rows = np.zeros(len(timestamps), ROW_PREFIX)
    rows["last_timestamp"] = timestamps
    rows["observations"] = 1
    return rows


def evict(arena: Arena, partition: int, before: int) -> list[bytes]:
    """The streams that a committed eviction removes."""
    streams, slots = arena.detach(partition, before)
    arena.release(slots)
    return streams


def assert_zero(arena: Arena, slots: Int64) -> None:
    assert all(not tensor.any() for tensor in arena.gather(slots).values())
    assert (arena.prefix[slots] == np.zeros((), ROW_PREFIX)).all()


def test_a_stream_keeps_its_slot_and_a_new_one_starts_at_zero() -> None:
    arena = Arena(SPECS, capacity=4)
    slots = arena.slots(0, [b"a", b"b", b"a"])
    assert slots[0] == slots[2] != slots[1]
    assert_zero(arena, slots)
    arena.scatter(slots[:2], state_of([5, 6]))
    assert arena.slots(0, [b"b", b"a"]).tolist() == [slots[1], slots[0]]
    assert arena.gather(slots[:2])["level"].tolist() == [5, 6]


def test_the_same_name_in_two_partitions_is_two_streams() -> None:
    arena = Arena(SPECS)
    assert arena.slots(0, [b"a"])[0] != arena.slots(1, [b"a"])[0]
    assert len(arena) == 2


def test_gather_copies_and_takes_names() -> None:
    arena = Arena(SPECS)
    slots = arena.slots(0, [b"a"])
    arena.gather(slots)["level"][:] = 9
    assert_zero(arena, slots)
    assert list(arena.gather(slots, ["seen", "hidden"])) == ["seen", "hidden"]


def test_growing_keeps_rows_and_slots() -> None:
    arena = Arena(SPECS, capacity=1)
    first = arena.slots(0, [b"a"])
    arena.scatter(first, state_of([3]))
    arena.prefix[first] = prefix_of([7])
    rest = arena.slots(0, [b"%d" % i for i in range(100)])
    assert len(np.unique(np.concatenate([first, rest]))) == 101
    assert_zero(arena, rest)
    assert arena.gather(first)["hidden"].tolist() == [[[3, 3, 3], [3, 3, 3]]]
    assert arena.prefix["last_timestamp"][first].tolist() == [7]


def test_empty_columns_are_fine() -> None:
    arena = Arena(SPECS)
    none = arena.slots(0, [])
    arena.scatter(none, state_of([]))
    arena.zero(none)
    assert arena.gather(none)["hidden"].shape == (0, 2, 3)
    assert (arena.partitions(), arena.newest(0), evict(arena, 0, 10), len(arena)) == ([], 0, [], 0)


def test_eviction_names_the_silent_streams_and_leaves_their_slots_clean() -> None:
    arena = Arena(SPECS, capacity=4)
    slots = arena.slots(2, [b"old", b"new", b"older"])
    arena.scatter(slots, state_of([1, 2, 3]))
    arena.prefix[slots] = prefix_of([100, 200, 50])
    assert arena.newest(2) == 200
    assert evict(arena, 2, 200) == [b"old", b"older"]
    assert arena.streams(2) == [b"new"]
    again = arena.slots(2, [b"x", b"y"])
    assert set(again.tolist()) == {int(slots[0]), int(slots[2])}
    assert_zero(arena, again)
    assert arena.gather(slots[1:2])["level"].tolist() == [2]


def test_scatter_refuses_what_does_not_fit_and_stores_nothing() -> None:
    arena = Arena(SPECS)
    slots = arena.slots(0, [b"a", b"b"])
    with pytest.raises(ValueError, match="hidden"):
        arena.scatter(slots, {"level": np.ones(2), "hidden": np.ones((1, 2, 3), np.float32)})
    with pytest.raises(TypeError, match="level"):
        arena.scatter(slots, {"level": np.ones(2, np.float32)})
    with pytest.raises(KeyError):
        arena.scatter(slots, {"unknown": np.ones(2)})
    assert_zero(arena, slots)


def test_bytes_follow_the_rows_and_the_names() -> None:
    arena = Arena(SPECS, capacity=1024)
    before = arena.nbytes
    row = 6 * 4 + 8 + 4 + ROW_PREFIX.itemsize
    assert before >= 1024 * row
    arena.slots(0, [b"%0100d" % i for i in range(1000)])
    assert 1000 * 150 < arena.nbytes - before < 1000 * 400
    arena.slots(0, [b"%d" % i for i in range(1000)])
    assert arena.nbytes >= 2048 * row


NAMES = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b""])
PARTITIONS = st.integers(0, 2)


class ArenaMachine(RuleBasedStateMachine):
    """The arena compared with a dictionary of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(SPECS, capacity=2)
        # partition -> stream -> (mark, timestamp)
        self.model: dict[int, dict[bytes, tuple[int, int]]] = {}

    @rule(
        partition=PARTITIONS,
        streams=st.lists(NAMES, unique=True),
        mark=st.integers(1, 99),
        time=st.integers(1, 9),
    )
    def store(self, partition: int, streams: list[bytes], mark: int, time: int) -> None:
        marks, times = (
            [mark + i for i in range(len(streams))],
            [time + i for i in range(len(streams))],
        )
        slots = self.arena.slots(partition, streams)
        self.arena.scatter(slots, state_of(marks))
        self.arena.prefix[slots] = prefix_of(times)
        rows = self.model.setdefault(partition, {})
        rows.update(zip(streams, zip(marks, times, strict=True), strict=True))

    @rule(partition=PARTITIONS, stream=NAMES)
    def look_up(self, partition: int, stream: bytes) -> None:
        self.arena.slots(partition, [stream, stream])
        self.model.setdefault(partition, {}).setdefault(stream, (0, 0))

    @rule(partition=PARTITIONS)
    def zero(self, partition: int) -> None:
        streams = list(self.model.get(partition, {}))
        self.arena.zero(self.arena.slots(partition, streams))
        self.model.get(partition, {}).update(dict.fromkeys(streams, (0, 0)))

    @rule(partition=PARTITIONS)
    def free(self, partition: int) -> None:
        assert self.arena.free_partition(partition) == len(self.model.pop(partition, {}))

    @rule(partition=PARTITIONS, before=st.integers(0, 12))
    def evict(self, partition: int, before: int) -> None:
        rows = self.model.get(partition, {})
        old = [stream for stream, (_, time) in rows.items() if time < before]
        assert evict(self.arena, partition, before) == old
        for stream in old:
            del rows[stream]

    @invariant()
    def same_streams(self) -> None:
        held = {partition: rows for partition, rows in self.model.items() if rows}
        assert self.arena.partitions() == sorted(held)
        assert len(self.arena) == sum(map(len, held.values()))
        for partition, rows in held.items():
            assert self.arena.streams(partition) == list(rows)
            assert self.arena.newest(partition) == max(time for _, time in rows.values())

    @invariant()
    def same_rows_in_slots_of_their_own(self) -> None:
        pairs = [(partition, stream) for partition, rows in self.model.items() for stream in rows]
        slots = [self.arena.find(partition, stream) for partition, stream in pairs]
        assert None not in slots
        assert len(set(slots)) == len(slots)
        column = np.array(slots, np.int64)
        marks = [self.model[partition][stream][0] for partition, stream in pairs]
        gathered = self.arena.gather(column)
        for name, expected in state_of(np.array(marks, np.int64)).items():
            assert (gathered[name] == expected).all()
        assert self.arena.find(9, b"a") is None


ArenaMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestArenaMachine = ArenaMachine.TestCase


def test_some_tensors_of_some_rows_are_blanked() -> None:
    arena = Arena(SPECS)
    slots = arena.slots(3, [b"a", b"b", b"c"])
    arena.scatter(slots, state_of([5, 6, 7]))
    arena.prefix[slots] = prefix_of([1, 2, 3])
    assert arena.held(3).tolist() == slots.tolist() and not len(arena.held(4))
    arena.zero_tensors(slots[:2], ["level", "seen"])
    found = arena.gather(slots)
    assert found["level"].tolist() == [0, 0, 7] and found["seen"].any(1).tolist() == [
        False,
        False,
        True,
    ]
    assert (found["hidden"] == state_of([5, 6, 7])["hidden"]).all()
    assert arena.prefix[slots]["last_timestamp"].tolist() == [1, 2, 3]


def test_streams_in_their_warm_up_are_counted() -> None:
    arena = Arena(SPECS, capacity=2)
    slots = arena.slots(0, [b"a", b"b", b"c", b"new"])
    arena.prefix["observations"][slots] = [1, 5, 6, 0]
    assert (arena.young(1), arena.young(6), arena.young(7)) == (0, 2, 3)
    arena.zero(slots[:1])
    assert arena.young(6) == 1
