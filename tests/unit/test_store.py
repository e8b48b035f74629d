"""Rows, evictions and changelog records change together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eddycast.service.records import PartitionBatch
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, Marker
from eddycast.service.state.model_record import Recorded
from eddycast.service.state.store import Changes, Store
from eddycast.service.state.stream_time import Clock
from tests.support.bundles import Walk, write_bundle

MINUTE = 60_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that serves partition 1, without records so far."""
    made = Store(
        write_bundle(tmp_path, Walk()),
        TimeSettings(state_ttl_s=80 * 60, max_gap=8, far_future_s=90 * 60),
    )
    made.start(1, Clock(), made.adoption.adopt("partition 1", Recorded(), None))
    return made


def read(store: Store, streams: list[bytes], minute: int) -> None:
    """Process a reading of each stream in partition 1 at `minute`."""
    slots = store.arena.slots(1, streams)
    store.journal.touch(1, streams, slots)
    for slot in slots.tolist():
        store.arena.prefix["observations"][slot] += 1
        store.arena.prefix["last_timestamp"][slot] = minute * MINUTE
    one = np.array([minute], np.int64)
    store.eviction.advance(PartitionBatch("in", 1, [b"s"], [b"v"], one * MINUTE, one), one * MINUTE)


def clock(minute: int, trust: int) -> Clock:
    """Return the clock after a reading at `minute`."""
    return Clock(minute * MINUTE, trust, record_time=minute * MINUTE, record_offset=minute)


def decoded(store: Store, changes: Changes) -> tuple[list[bytes], list[bytes], Marker | None]:
    """Return streams with a row, streams with a tombstone, and the marker."""
    zeros = np.zeros(len(changes.keys), np.int64)
    found = store.codec.decode(PartitionBatch("log", 1, changes.keys, changes.values, zeros, zeros))
    return found.streams, found.gone, found.marker


def test_changes_are_written_once_with_a_marker(store: Store) -> None:
    for minute in (100, 101):
        read(store, [b"a", b"b"], minute)
    changes = store.changes(1, 7)
    assert changes.keys[-1] == MARKER_KEY and changes.rows == 2
    assert decoded(store, changes) == ([b"a", b"b"], [], Marker(7, 2, clock(101, 2)))
    store.commit()
    read(store, [b"b"], 102)
    assert decoded(store, store.changes(1, 8)) == ([b"b"], [], Marker(8, 2, clock(102, 3)))


def test_evicted_streams_get_a_tombstone_and_return_with_a_row(store: Store) -> None:
    read(store, [b"old", b"young"], 100)
    store.commit()
    read(store, [b"young"], 190)
    assert decoded(store, store.changes(1, 9)) == (
        [b"young"],
        [b"old"],
        Marker(9, 1, clock(190, 2)),
    )
    read(store, [b"old"], 191)
    assert decoded(store, store.changes(1, 10)) == (
        [b"young", b"old"],
        [],
        Marker(10, 2, clock(191, 3)),
    )


def test_a_roll_back_brings_rows_and_stream_time_back(store: Store) -> None:
    read(store, [b"old", b"young"], 100)
    store.commit()
    for _ in range(2):
        read(store, [b"young", b"new"], 190)
        assert sorted(store.arena.streams(1)) == [b"new", b"young"], (
            "each time, though it was taken back"
        )
        store.roll_back()
        assert sorted(store.arena.streams(1)) == [b"old", b"young"]
        assert store.eviction.clock(1) == clock(100, 1)


def test_a_partition_that_goes_leaves_nothing(store: Store) -> None:
    read(store, [b"a"], 100)
    store.close(1)
    assert len(store.arena) == 0 and store.eviction.clock(1) == Clock()
    store.start(1, Clock(), store.adoption.adopt("partition 1", Recorded(), None))
    assert decoded(store, store.changes(1, 0)) == ([], [], Marker(0, 0, Clock()))


def test_the_model_is_recorded_with_the_first_commit_and_again_after_a_roll_back(
    store: Store,
) -> None:
    layout = store.codec.layout_record()[0]
    for _ in range(2):
        read(store, [b"a"], 100)
        assert store.changes(1, 7).keys == [layout, MODEL_KEY, b"a", MARKER_KEY]
        store.roll_back()
    read(store, [b"a"], 100)
    store.changes(1, 7)
    store.commit()
    read(store, [b"a"], 101)
    assert store.changes(1, 8).keys == [b"a", MARKER_KEY]


def test_rows_that_could_not_be_copied_are_not_counted_by_the_next_marker(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A marker that counts a stream without a row would end every restore."""
    read(store, [b"old"], 100)
    store.commit()
    with monkeypatch.context() as patch:
        patch.setattr(store.arena, "gather", lambda slots: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            read(store, [b"old", b"new"], 101)
    store.roll_back()
    read(store, [b"old"], 101)
    assert decoded(store, store.changes(1, 8)) == ([b"old"], [], Marker(8, 1, clock(101, 2)))
