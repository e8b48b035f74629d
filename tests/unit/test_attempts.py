"""Failing again and again: fewer records, then one by itself, then a dead letter or the end."""

from __future__ import annotations

import numpy as np
import pytest

from service.delivery.failures import Attempts
from service.errors import BrokerError, ProduceFailed, RecordRefused, TransactionFailed
from service.records import PartitionBatch

OWN, BROKERS = RecordRefused("too large"), TransactionFailed("no answer")


def batch(partition: int, first: int, count: int) -> PartitionBatch:
    offsets = np.arange(first, first + count, dtype=np.int64)
    return PartitionBatch("in", partition, [b"k"] * count, [b"v"] * count, offsets, offsets)


class Bench:
    """Serves an input in which some offsets always fail, as the pipeline would."""

    def __init__(self, bad: dict[int, Exception], records: int = 100, max_records: int = 64) -> None:
        self.bad, self.records, self.now = bad, records, 0.0
        self.attempts = Attempts("in", max_records, 60.0, lambda: self.now)
        self.committed = {0: 0}
        self.turns = 0

    def turn(self) -> None:
        self.turns += 1
        self.now += 0.01
        at = self.committed[0]
        count = min(self.attempts.limit, self.records - at)
        self.attempts.taken([batch(0, at, count)])
        failing = [o for o in range(at, at + count) if o in self.bad and (0, o) not in self.attempts.hopeless]
        if failing:
            self.attempts.failed(self.bad[failing[0]], self.committed)
        else:
            self.committed[0] = at + count
            self.attempts.succeeded(self.committed)

    def run(self) -> None:
        while self.committed[0] < self.records:
            assert self.turns < 500
            self.turn()


@pytest.mark.parametrize("bad", [0, 1, 37, 63, 64, 99])
def test_a_record_that_always_fails_is_found_and_becomes_a_dead_letter(bad: int) -> None:
    bench = Bench({bad: OWN})
    seen = set()
    while bench.committed[0] < bench.records:
        bench.turn()
        seen |= bench.attempts.hopeless
        assert bench.turns < 120
    assert seen == {(0, bad)}
    assert bench.attempts.hopeless == set(), "behind us"


def test_what_the_graph_or_a_bug_raises_is_the_records_fault_too() -> None:
    bench = Bench({7: RuntimeError("nan"), 8: ValueError("shape")})
    bench.run()
    assert bench.committed == {0: 100}


def test_the_brokers_fault_never_makes_a_dead_letter_and_ends_the_process_at_last() -> None:
    bench = Bench({5: BROKERS})
    with pytest.raises(ProduceFailed, match=r"in partition 0 offset 5 on failed for 60 s: no answer"):
        for _ in range(10_000):
            bench.now += 0.1
            bench.turn()
    assert bench.attempts.hopeless == set() and bench.attempts.limit == 1


def test_too_little_memory_is_no_records_fault_and_is_named() -> None:
    bench = Bench({5: MemoryError()})
    with pytest.raises(ProduceFailed, match=r"failed for 60 s: MemoryError"):
        for _ in range(10_000):
            bench.now += 0.1
            bench.turn()
    assert bench.attempts.hopeless == set() and bench.attempts.limit == 1


def test_an_outage_that_ends_is_forgotten() -> None:
    bench = Bench({0: BROKERS})
    for _ in range(12):
        bench.turn()
    assert bench.attempts.limit < 64
    bench.bad.clear()
    bench.run()
    assert not bench.attempts.cautious
    bench.now += 1000
    bench.records, bench.bad = 200, {150: BROKERS}
    for _ in range(5):
        bench.turn()


def test_twice_is_not_yet_too_often() -> None:
    attempts = Attempts("in", 100, 60.0)
    for _ in range(2):
        attempts.taken([batch(0, 0, 40)])
        attempts.failed(BROKERS, {0: 0})
    assert attempts.limit == 100
    attempts.taken([batch(0, 0, 40)])
    attempts.failed(BROKERS, {0: 0})
    assert attempts.limit == 20


def test_progress_in_between_starts_the_count_anew() -> None:
    attempts = Attempts("in", 100, 60.0)
    for start in range(6):
        attempts.taken([batch(0, start, 40)])
        attempts.failed(BROKERS, {0: start})
        attempts.succeeded({0: start + 1})
    assert attempts.limit == 100


def test_records_taken_back_by_a_rebalance_count_for_nothing() -> None:
    attempts = Attempts("in", 100, 60.0)
    for _ in range(5):
        attempts.taken([batch(0, 0, 40)])
        attempts.undone()
        attempts.taken([batch(1, 0, 1)])
        attempts.succeeded({1: 1})
    assert attempts.limit == 100


def test_a_dead_letter_that_fails_as_well_ends_the_process() -> None:
    attempts = Attempts("in", 1, 60.0)
    with pytest.raises(ProduceFailed, match="partition 3 offset 8 on failed 3 times as a dead letter") as caught:
        for _ in range(6):
            attempts.taken([batch(3, 8, 1)])
            attempts.failed(OWN, {3: 8})
    assert isinstance(caught.value, BrokerError) and caught.value.action
    assert attempts.hopeless == {(3, 8)}


def test_partitions_that_went_are_forgotten() -> None:
    attempts = Attempts("in", 1, 60.0)
    for _ in range(3):
        attempts.taken([batch(3, 8, 1)])
        attempts.failed(OWN, {3: 8})
    assert attempts.hopeless == {(3, 8)}
    attempts.forget([3])
    assert attempts.hopeless == set()
