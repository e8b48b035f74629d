"""Chunks are prefixes, complete and small enough."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.bundle import TensorSpec
from eddycast.service.processing.chunks import Decoded, cut_into_chunks
from eddycast.service.processing.demand import StepEstimator
from eddycast.service.records import DeadLetter, Int64, Observations, PartitionBatch, Tombstones
from eddycast.service.state.arena import Arena

MINUTE, MAX_GAP = 60_000, 8
SPECS = (TensorSpec(name="value", dtype="float32", shape=(1,)),)


def decoded(
    partition: int,
    stamps: list[int | None],
    streams: list[bytes] | None = None,
    first: int = 5,
    tombstones: Tombstones | None = None,
) -> Decoded:
    """Records with a reading of this minute, or (None) a dead letter; offsets have gaps."""
    names = streams or [b"s"] * len(stamps)
    offsets = first + 2 * np.arange(len(stamps), dtype=np.int64)
    here = [i for i, stamp in enumerate(stamps) if stamp is not None]
    times = np.array([stamp * MINUTE for stamp in stamps if stamp is not None], np.int64)
    batch = PartitionBatch("in", partition, list(names), [b"v"] * len(stamps), offsets, offsets)
    observations = Observations(
        partition,
        [names[i] for i in here],
        times,
        np.zeros((len(here), 1)),
        offsets[here],
        offsets[here],
    )
    letters = [
        DeadLetter("in", partition, int(offsets[i]), b"k", b"v", "e", "r")
        for i in range(len(stamps))
        if i not in here
    ]
    return Decoded(
        batch,
        observations,
        letters,
        np.empty(0, np.int64),
        tombstones or Tombstones([], np.empty(0, np.int64)),
    )


def steps(arena: Arena | None = None) -> StepEstimator:
    return StepEstimator(arena or Arena(SPECS), MINUTE, MAX_GAP)


def never(_partition: int, timestamps: Int64) -> Int64:
    return np.zeros(len(timestamps), np.int64)


def test_a_poll_that_is_small_enough_stays_whole() -> None:
    whole = [decoded(0, [1, 2, 3]), decoded(1, [1, None])]
    assert list(cut_into_chunks(whole, steps(), never, 1000)) == [whole]


def test_steps_are_counted_from_the_row_and_from_the_reading_before() -> None:
    arena = Arena(SPECS)
    arena.prefix["last_timestamp"][arena.slots(0, [b"known"])] = 10 * MINUTE
    one = decoded(
        0,
        [12, 40, 11, 14, 15, 100, 3],
        [b"known", b"new", b"x", b"known", b"new", b"known", b"new"],
    )
    asked = steps(arena)(one.observations).steps
    assert asked.tolist() == [2, 1, 1, 2, 1, 1, 1], (
        "a gap, anew, anew, a gap, late, beyond any gap, late"
    )
    assert arena.count(0) == 1, "nobody is given a row for being counted"


def test_a_chunk_ends_where_its_steps_do() -> None:
    one = decoded(0, [1, 5, 9, 13, 17], [b"s"] * 5)  # 1, then 4 steps each
    parts = [
        part[0].observations.timestamps // MINUTE
        for part in cut_into_chunks([one], steps(), never, 8)
    ]
    assert [part.tolist() for part in parts] == [[1, 5], [9, 13], [17]]


def test_a_record_larger_than_a_chunk_gets_its_own() -> None:
    one = decoded(0, [1, 8, 15, 16])
    assert [len(part[0].batch) for part in cut_into_chunks([one], steps(), never, 3)] == [
        1,
        1,
        1,
        1,
    ]


def test_a_chunk_ends_after_the_record_that_evicts() -> None:
    def cuts(partition: int, timestamps: Int64) -> Int64:
        found: Int64 = np.cumsum(np.concatenate([[False], np.diff(timestamps // (3 * MINUTE)) > 0]))
        return np.concatenate([[0], found[:-1]]) if partition == 0 else found * 0

    whole = [decoded(0, [1, 2, 3, 4, 7, 7]), decoded(1, [1, 9])]
    parts = [
        [(one.batch.partition, len(one.batch)) for one in part]
        for part in cut_into_chunks(whole, steps(), cuts, 1000)
    ]
    assert parts == [[(0, 3), (1, 2)], [(0, 2)], [(0, 1)]]


def test_a_chunk_ends_before_a_stream_comes_back_that_was_to_be_forgotten() -> None:
    names = [b"a", b"b", b"a", b"b", b"b", b"a", b"b", b"a", b"a"]
    asked = Tombstones([b"a", b"c", b"b", b"b"], np.array([6, 10, 10, 12], np.int64))
    one = decoded(0, [1] * 9, names, tombstones=asked)  # offsets 5, 7, ... 21
    parts = [part[0] for part in cut_into_chunks([one], steps(), never, 1000)]
    assert [part.observations.streams for part in parts] == [
        names[:2],
        names[2:3],
        names[3:4],
        names[4:],
    ]
    assert [part.tombstones.streams for part in parts] == [[b"a"], [b"c", b"b"], [b"b"], []]
    assert [
        offset for part in parts for offset in part.batch.offsets.tolist()
    ] == one.batch.offsets.tolist()


stamps = st.lists(st.one_of(st.none(), st.integers(0, 30)), min_size=1, max_size=12)


@given(polled=st.lists(stamps, min_size=1, max_size=3), at_most=st.integers(1, 12), data=st.data())
def test_chunks_are_prefixes_of_every_partition_and_together_the_poll(
    polled: list[list[int | None]], at_most: int, data: Any
) -> None:
    whole = [decoded(p, column) for p, column in enumerate(polled)]
    rise = data.draw(st.booleans())

    def cuts(_partition: int, timestamps: Int64) -> Int64:
        found: Int64 = np.arange(len(timestamps)) // 3 * rise
        return found

    counted = steps()
    parts = list(cut_into_chunks(whole, counted, cuts, at_most))
    assert all(part and all(len(one.batch) for one in part) for part in parts)
    for one in whole:
        mine = [
            part for chunk in parts for part in chunk if part.batch.partition == one.batch.partition
        ]
        assert [
            o for part in mine for o in part.batch.offsets.tolist()
        ] == one.batch.offsets.tolist()
        assert [v for part in mine for v in part.batch.keys] == one.batch.keys
        assert [
            o for part in mine for o in part.observations.offsets.tolist()
        ] == one.observations.offsets.tolist()
        assert [letter for part in mine for letter in part.letters] == one.letters
        for part in mine:
            held = set(part.batch.offsets.tolist())
            assert {
                *part.observations.offsets.tolist(),
                *(letter.offset for letter in part.letters),
            } == held
    for chunk in parts if not rise else []:
        asked = [
            counted(one.observations)
            for one in whole
            for part in chunk
            if part.batch is not one.batch
        ]
        assert (
            sum(len(part.observations) for part in chunk) <= at_most or not asked or len(parts) == 1
        )
