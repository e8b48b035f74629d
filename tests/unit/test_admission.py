"""New streams beyond the limit are refused; streams with a row never are."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.bundle import TensorSpec
from eddycast.service.errors import StateError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.stream_limit import Admission
from eddycast.service.records import Observations, Tombstones
from eddycast.service.state import room
from eddycast.service.state.arena import Arena
from eddycast.service.state.mmap_array import MmapArray
from eddycast.service.state.room import fitting_streams, memory_limit
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.crashing import Fleet, outputs, stored
from tests.support.running import AT_ONCE, DEAD, INPUT, made, memory_broker, send, worker

MINUTE = 60_000
SPECS = (TensorSpec(name="value", dtype="float32", shape=(1,)),)


@pytest.fixture
def walk(tmp_path: Path) -> Runtime:
    write_bundle(tmp_path, Walk())
    return load_runtime(tmp_path)


def observed(partition: int, *streams: bytes) -> Observations:
    column = np.zeros(len(streams), np.int64)
    return Observations(
        partition, list(streams), column, np.zeros((len(streams), 1)), column, column
    )


def reading(stream: int, minute: int, partition: int = 0) -> tuple[int, bytes, object]:
    return partition, b"s%d" % stream, {"timestamp": START_MS + minute * MINUTE, "value": 1.0}


def test_the_first_new_ones_are_let_in() -> None:
    arena = Arena(SPECS)
    arena.slots(0, [b"a", b"b"])
    batches = [observed(0, b"c", b"a", b"c", b"d"), observed(1, b"a", b"a", b"e")]
    nothing = [Tombstones([], np.empty(0, np.int64))] * 2
    refused = Admission(arena, 4).refused(batches, nothing)
    assert refused is not None
    assert [column.tolist() for column in refused] == [[False] * 4, [True, True, True]]
    assert Admission(arena, 7).refused(batches, nothing) is None
    assert Admission(arena, None).refused(batches, nothing) is None
    over = Admission(arena, 1).refused(batches, nothing)
    assert over is not None and over[0].tolist() == [True, False, True, True], (
        "those that have a row stay"
    )


@pytest.mark.parametrize("poll", [1, 7, 5000])
def test_beyond_the_limit_is_a_dead_letter_until_streams_are_forgotten(
    walk: Runtime, poll: int
) -> None:
    broker = memory_broker()
    subject = worker(broker, walk, replace(AT_ONCE, max_streams=10, max_poll_records=poll))
    send(broker, [reading(stream, minute) for minute in range(2) for stream in range(15)])
    subject.turn(40)
    assert subject.value("streams") == 10 == subject.value("max_streams")
    assert subject.value("dead_letters_total", error="too_many_streams") == 10
    assert {record.key for record in made(broker, DEAD)} == {
        b"s%d" % stream for stream in range(10, 15)
    }
    broker.producer().produce(INPUT, 0, [b"s3"], [None])
    send(broker, [reading(12, 2)])
    subject.turn(4)
    assert subject.value("streams") == 10
    assert subject.value("dead_letters_total", error="too_many_streams") == 10


events = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(sent=events, poll=st.sampled_from([1, 2, 3, 7]))
def test_refusals_in_one_partition_depend_on_records_alone(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, bool]], poll: int
) -> None:
    path = tmp_path_factory.mktemp("walk")
    write_bundle(path, Walk())
    runtime, found = load_runtime(path), []
    for size in (poll, 5000):
        broker = memory_broker()
        for minute, (stream, is_tombstone) in enumerate(sent):
            if is_tombstone:
                broker.producer().produce(INPUT, 0, [b"s%d" % stream], [None])
            else:
                send(broker, [reading(stream, minute)])
        subject = worker(broker, runtime, replace(AT_ONCE, max_streams=3, max_poll_records=size))
        subject.turn(50)
        found.append((outputs(broker), stored(broker), subject.value("streams")))
    assert found[0] == found[1] and found[0][2] <= 3


def test_committed_rows_are_restored_beyond_the_limit(walk: Runtime) -> None:
    fleet = Fleet(memory_broker(), walk)
    fleet.start()
    send(fleet.broker, [reading(stream, 0) for stream in range(15)])
    fleet.settle()
    fleet.kill(fleet.alive[0])
    second = fleet.start(max_streams=5)
    send(fleet.broker, [reading(stream, 1) for stream in range(16)])
    fleet.settle()
    assert second.value("streams") == 15 and len(stored(fleet.broker)[0]) == 15
    assert second.value("dead_letters_total", error="too_many_streams") == 1


def no_memory_beyond(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    grow = MmapArray.grow

    def limited(self: MmapArray, rows: int) -> None:
        if rows > most:
            raise MemoryError(f"the system gives nothing for {rows} rows")
        grow(self, rows)

    monkeypatch.setattr(MmapArray, "grow", limited)


def test_out_of_memory_refuses_new_streams_and_serves_the_others(
    walk: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_memory_beyond(monkeypatch, 1500)
    broker = memory_broker()
    subject = worker(broker, walk)
    for start in range(0, 2000, 500):
        send(broker, [reading(stream, 0) for stream in range(start, start + 500)])
        subject.turn()
    send(broker, [reading(stream, 1) for stream in range(1500)])
    subject.turn(2)
    assert subject.value("streams") == 1500
    assert subject.value("dead_letters_total", error="too_many_streams") == 500
    assert subject.value("readings_total", verdict="next") == 1500


def test_rows_that_do_not_fit_are_an_error_with_an_action(
    walk: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(memory_broker(), walk)
    fleet.start()
    send(fleet.broker, [reading(stream, 0) for stream in range(1200)])
    fleet.settle()
    fleet.kill(fleet.alive[0])
    no_memory_beyond(monkeypatch, 1100)
    with pytest.raises(StateError, match="do not fit") as caught:
        fleet.start().turn(3)
    assert "memory" in caught.value.action


@pytest.mark.parametrize("free", [500, 900, 3000])
def test_streams_fit_into_what_is_left_of_the_address_space(
    monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """The limit allows for thread heaps and stacks, and for row arrays that double."""
    taken = room._mapped_bytes()
    assert taken > 1 << 27
    monkeypatch.setattr(
        resource, "getrlimit", lambda _: (taken + (free << 20), resource.RLIM_INFINITY)
    )
    monkeypatch.setattr(room, "_control_group_files", lambda: iter(()))
    fitting = fitting_streams(6_000)
    assert fitting == 1_000 or 2 * 6_256 * fitting < (free - 400) << 20
    assert fitting > 1_000 or free < 500 + 50


def test_how_many_fit() -> None:
    assert fitting_streams(3_400, 2 << 30) in range(200_000, 400_000)
    assert fitting_streams(400, 16 << 30) > 10_000_000
    assert fitting_streams(400, 1 << 20) == 1_000, "never none"
    assert fitting_streams(400) >= 1_000 and memory_limit() > 1 << 28


@pytest.mark.parametrize(
    ("membership", "file", "version"),
    [
        ("0::/", "memory.max", 2),
        ("0::/kubepods/pod1/box", "kubepods/pod1/memory.max", 2),
        (
            "5:cpu:/x\n4:memory,hugetlb:/docker/abc\n1:name=systemd:/x",
            "memory/docker/abc/memory.limit_in_bytes",
            1,
        ),
    ],
)
def test_memory_is_limited_by_the_control_group(
    tmp_path: Path, membership: str, file: str, version: int
) -> None:
    (tmp_path / "root" / file).parent.mkdir(parents=True)
    (tmp_path / "root" / file).write_text("268435456\n")
    (tmp_path / "cgroup").write_text(membership + "\n")
    files = list(room._control_group_files(tmp_path / "cgroup", tmp_path / "root"))
    assert tmp_path / "root" / file in files
    assert list(room._control_group_files(tmp_path / "none", tmp_path)) == []
