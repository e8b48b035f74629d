"""Evictions depend on records alone."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.bundle import TensorSpec
from eddycast.service.processing.chunks import Decoded, cut_into_chunks
from eddycast.service.processing.demand import StepEstimator
from eddycast.service.records import Observations, PartitionBatch, Tombstones
from eddycast.service.state.arena import Arena
from eddycast.service.state.eviction import Eviction
from eddycast.service.state.journal import Journal
from eddycast.service.state.partition_rows import PartitionRows
from eddycast.service.state.stream_time import Clock

SPECS = (TensorSpec(name="value", dtype="float32", shape=(1,)),)
TTL, LEAP = 80, 60


class Bench:
    """Readings (stream, stamp), served in pieces with commits and rollbacks in between."""

    def __init__(self) -> None:
        self.arena = Arena(SPECS)
        self.partitions = defaultdict[int, PartitionRows](PartitionRows)
        self.journal = Journal(self.arena, self.partitions)
        self.eviction = Eviction(self.journal, self.partitions, TTL, 10, LEAP)
        self.went: list[tuple[int, list[bytes]]] = []  # after how many readings who went

    def serve(self, readings: list[tuple[bytes, int]], first: int) -> None:
        offsets = np.arange(first, first + len(readings), dtype=np.int64)
        names, stamps = (
            [name for name, _ in readings],
            np.array([stamp for _, stamp in readings], np.int64),
        )
        nothing = Tombstones([], np.empty(0, np.int64))
        batch = PartitionBatch("in", 0, list(names), [b"v"] * len(names), offsets, offsets)
        whole = Decoded(
            batch,
            Observations(0, names, stamps, np.zeros((len(names), 1)), offsets, offsets),
            [],
            np.empty(0, np.int64),
            nothing,
        )
        for (part,) in cut_into_chunks(
            [whole], StepEstimator(self.arena, 1, 10), self.eviction.cuts, 1000
        ):
            seen = part.observations
            slots = self.arena.slots(0, seen.streams)
            self.journal.touch(0, seen.streams, slots)
            for slot, stamp in zip(slots.tolist(), seen.timestamps.tolist(), strict=True):
                self.arena.prefix["observations"][slot] += 1
                self.arena.prefix["last_timestamp"][slot] = max(
                    stamp, self.arena.prefix["last_timestamp"][slot]
                )
            before = set(self.arena.streams(0))
            if self.eviction.advance(part.batch, seen.timestamps):
                self.went.append(
                    (int(seen.offsets[-1]), sorted(before - set(self.arena.streams(0))))
                )


def test_an_idle_stream_is_forgotten_when_an_eighth_of_the_time_to_live_is_over() -> None:
    bench = Bench()
    stamps = range(3, 140, 3)
    bench.serve([(b"old", 1), *((b"young", stamp) for stamp in stamps)], 0)
    # looked for at 81, the first reading of the tenth from 80 on, where it is 80 old, and at 90
    assert bench.went == [(list(stamps).index(90) + 1, [b"old"])]
    assert bench.eviction.clock(0).newest == 138


def nothing_but(stamps: list[int], times: list[int] | None = None) -> PartitionBatch:
    """Records of one stream."""
    offsets = np.arange(len(stamps), dtype=np.int64)
    record_times = offsets if times is None else np.array(times, np.int64)
    return PartitionBatch(
        "in", 0, [b"s"] * len(stamps), [b"v"] * len(stamps), record_times, offsets
    )


def test_before_a_first_reading_there_is_no_time() -> None:
    bench = Bench()
    assert bench.eviction.clock(0).newest == -1
    assert bench.eviction.cuts(0, np.array([1000, 1001, 1010, 1011])).tolist() == [0, 0, 0, 1]
    assert bench.eviction.advance(nothing_but([]), np.empty(0, np.int64)) == 0
    assert bench.eviction.advance(nothing_but([1000]), np.array([1000])) == 0
    assert bench.eviction.cuts(0, np.array([1009, 1010, 1005, 1025, 1025])).tolist() == [
        0,
        0,
        1,
        1,
        2,
    ]


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_first_chunk_evicts_like_any_other(cut: int) -> None:
    """Stamp 0 is valid, too."""
    sent = [(b"old", 0), (b"young", 50), (b"young", 100), (b"young", 101), (b"young", 102)]
    whole, bench = Bench(), Bench()
    whole.serve(sent, 0)
    bench.serve(sent[:cut], 0)
    bench.serve(sent[cut:], cut)
    assert bench.went == whole.went == [(2, [b"old"])]


@st.composite
def readings(draw: st.DrawFn) -> list[tuple[bytes, int]]:
    """Live sensors, occasional stamps days ahead or behind, and backfills."""
    sent: list[tuple[bytes, int]] = []
    for i, (name, jitter) in enumerate(
        draw(st.lists(st.tuples(names, st.integers(0, 60)), min_size=1, max_size=40))
    ):
        stamp = 100 + 8 * i + jitter
        away = draw(st.sampled_from([0, 0, 0, 0, 0, -stamp, -70, 75, 100, 10**6]))
        sent += [(name, stamp + away)] * draw(st.sampled_from([1, 1, 1, 3]))
    return sent


names = st.sampled_from([b"a", b"b", b"c", b"d"])


@given(
    sent=readings(),
    cuts=st.lists(st.tuples(st.integers(0, 40), st.sampled_from("crn")), max_size=6),
)
def test_polls_commits_and_roll_backs_change_nothing(
    sent: list[tuple[bytes, int]], cuts: list[tuple[int, str]]
) -> None:
    whole = Bench()
    whole.serve(sent, 0)
    bench, at, done = Bench(), 0, 0
    for upto, what in sorted((min(upto, len(sent)), what) for upto, what in cuts):
        if upto > at:
            bench.serve(sent[at:upto], at)
            at = upto
        if what == "c":
            bench.journal.commit()
            bench.eviction.commit()
            done = at
        elif what == "r":
            bench.journal.roll_back()
            bench.eviction.roll_back()
            bench.went = [(offset, gone) for offset, gone in bench.went if offset < done]
            at = done
    if at < len(sent):
        bench.serve(sent[at:], at)
    assert bench.went == whole.went
    assert sorted(bench.arena.streams(0)) == sorted(whole.arena.streams(0))


@pytest.mark.parametrize("clock", [Clock(), Clock(150, 1)])
def test_a_restart_goes_on_from_the_stream_time_that_was_stored(clock: Clock) -> None:
    bench = Bench()
    bench.partitions[0] = PartitionRows(clock, clock)
    assert bench.eviction.clock(0) == clock
    assert bench.eviction.cuts(0, np.array([155, 161, 161])).tolist() == [0, 0, 1]
    assert bench.eviction.cuts(0, np.array([161, 161])).tolist() == (
        [0, 1] if clock.trust else [0, 0]
    )


def test_readings_are_contradicted_beyond_the_leap() -> None:
    bench = Bench()
    bench.eviction.advance(nothing_but([100] * 5), np.array([100] * 5))
    assert bench.eviction.contradicted(0, np.array([100, 40, 39, 161, 100])).tolist() == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert bench.eviction.clock(0).newest == 100, "nothing was served"
