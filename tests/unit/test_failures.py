"""Failing again and again: fewer records, then one by itself, then a dead letter or the end."""

from __future__ import annotations

import numpy as np
import pytest

from eddycast.service.delivery.failures import FailureBackoff
from eddycast.service.delivery.partition import Partitions, Restoration
from eddycast.service.delivery.start_positions import StartPosition
from eddycast.service.errors import BrokerError, ProduceFailed, RecordRefused, TransactionFailed
from eddycast.service.records import PartitionBatch
from tests.support.faulty_broker import FaultyBroker

OWN, BROKERS = RecordRefused("too large"), TransactionFailed("no answer")


def batch(partition: int, first: int, count: int) -> PartitionBatch:
    offsets = np.arange(first, first + count, dtype=np.int64)
    return PartitionBatch("in", partition, [b"k"] * count, [b"v"] * count, offsets, offsets)


class Rows:
    """A store without rows."""

    def close(self, partition: int) -> None:
        """Nothing to free."""


def serving(offsets: dict[int, int]) -> Partitions:
    """Partitions that are served, each from its offset."""
    partitions = Partitions(Rows(), FaultyBroker().reader("log"))
    partitions.assign(offsets, 0.0)
    for number, offset in offsets.items():
        partitions[number].begin_restore(Restoration(offset, 0), StartPosition(offset))
        partitions[number].serve()
    return partitions


def backoff(partitions: Partitions, max_records: int = 100) -> FailureBackoff:
    """One whose clock stands still."""
    return FailureBackoff(partitions, "in", max_records, 60.0, lambda: 0.0)


class Bench:
    """Serves an input in which some offsets always fail, as the pipeline would."""

    def __init__(
        self, bad: dict[int, Exception], records: int = 100, max_records: int = 64
    ) -> None:
        self.bad, self.records, self.now = bad, records, 0.0
        self.partitions = serving({0: 0})
        self.attempts = FailureBackoff(self.partitions, "in", max_records, 60.0, lambda: self.now)
        self.turns = 0

    @property
    def at(self) -> int:
        return self.partitions.committed[0]

    def turn(self) -> None:
        self.turns += 1
        self.now += 0.01
        at = self.at
        count = min(self.attempts.limit, self.records - at)
        self.attempts.taken([batch(0, at, count)])
        failing = [
            o
            for o in range(at, at + count)
            if o in self.bad and (0, o) not in self.attempts.quarantined
        ]
        if failing:
            self.attempts.failed(self.bad[failing[0]])
        else:
            self.partitions[0].commit(at + count)
            self.attempts.succeeded({0: at + count})

    def run(self) -> None:
        while self.at < self.records:
            assert self.turns < 500
            self.turn()


@pytest.mark.parametrize("bad", [0, 1, 37, 63, 64, 99])
def test_a_record_that_always_fails_is_found_and_becomes_a_dead_letter(bad: int) -> None:
    bench = Bench({bad: OWN})
    seen = set()
    while bench.at < bench.records:
        bench.turn()
        seen |= bench.attempts.quarantined
        assert bench.turns < 120
    assert seen == {(0, bad)}
    assert bench.attempts.quarantined == set(), "behind us"


def test_what_the_graph_or_a_bug_raises_is_the_records_fault_too() -> None:
    bench = Bench({7: RuntimeError("nan"), 8: ValueError("shape")})
    bench.run()
    assert bench.at == 100


def test_the_brokers_fault_never_makes_a_dead_letter_and_ends_the_process_at_last() -> None:
    bench = Bench({5: BROKERS})
    with pytest.raises(ProduceFailed, match=r"in partition 0 offset 5 .*60 s: no answer"):
        for _ in range(10_000):
            bench.now += 0.1
            bench.turn()
    assert bench.attempts.quarantined == set() and bench.attempts.limit == 1


def test_too_little_memory_is_no_records_fault_and_is_named() -> None:
    bench = Bench({5: MemoryError()})
    with pytest.raises(ProduceFailed, match=r"in partition 0 offset 5 .*60 s: MemoryError"):
        for _ in range(10_000):
            bench.now += 0.1
            bench.turn()
    assert bench.attempts.quarantined == set() and bench.attempts.limit == 1


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
    attempts = backoff(serving({0: 0}))
    for limit in (100, 100, 20):
        attempts.taken([batch(0, 0, 40)])
        attempts.failed(BROKERS)
        assert attempts.limit == limit


def test_progress_in_between_starts_the_count_anew() -> None:
    partitions = serving({0: 0})
    attempts = backoff(partitions)
    for start in range(6):
        attempts.taken([batch(0, start, 40)])
        attempts.failed(BROKERS)
        partitions[0].commit(start + 1)
        attempts.succeeded({0: start + 1})
    assert attempts.limit == 100


def test_records_taken_back_by_a_rebalance_count_for_nothing() -> None:
    attempts = backoff(serving({0: 0, 1: 0}))
    for _ in range(5):
        attempts.taken([batch(0, 0, 40)])
        attempts.undone()
        attempts.taken([batch(1, 0, 1)])
        attempts.succeeded({1: 1})
    assert attempts.limit == 100


def test_a_dead_letter_that_fails_as_well_ends_the_process() -> None:
    attempts = backoff(serving({3: 8}), 1)
    with pytest.raises(
        ProduceFailed, match=r"in partition 3 offset 8 .*3 times as a dead letter"
    ) as caught:
        for _ in range(6):
            attempts.taken([batch(3, 8, 1)])
            attempts.failed(OWN)
    assert isinstance(caught.value, BrokerError) and caught.value.action
    assert attempts.quarantined == {(3, 8)}


def test_a_commit_that_fails_without_any_records_is_given_up_too() -> None:
    now = [0.0]
    attempts = FailureBackoff(serving({0: 0}), "in", 100, 60.0, lambda: now[0])
    attempts.failed(BROKERS)
    now[0] = 61.0
    with pytest.raises(ProduceFailed, match=r"of in .*60 s: no answer"):
        attempts.failed(BROKERS)


def test_failures_outlive_a_restart_and_not_a_partition() -> None:
    partitions = serving({3: 8})
    attempts = backoff(partitions, 1)
    for _ in range(3):
        attempts.taken([batch(3, 8, 1)])
        attempts.failed(OWN)
    assert attempts.quarantined == {(3, 8)}
    partitions.restart([3], 0.0)
    assert attempts.quarantined == {(3, 8)}
    partitions.close([3])
    assert attempts.quarantined == set()
