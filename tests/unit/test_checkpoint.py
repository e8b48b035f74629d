"""The commit's order, and what is left when a step fails, seen from the calls that it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from eddycast.service.delivery.checkpoint import Checkpoint, Producers
from eddycast.service.delivery.partition import Partitions, Restoration
from eddycast.service.delivery.start_positions import StartPosition
from eddycast.service.errors import (
    BrokerError,
    BrokerUnavailable,
    CommitUnknown,
    MembershipLost,
    ProduceFailed,
    RecordRefused,
    TransactionFailed,
)
from eddycast.service.processing.outputs import Output
from eddycast.service.settings.commit import CommitSettings
from eddycast.service.state.store import Changes
from tests.support.faulty_broker import FaultyBroker

Calls = list[tuple[object, ...]]


class Script:
    """A producer that writes down what is asked of it, and fails as it is told."""

    def __init__(self, name: str, calls: Calls, failures: dict[str, BrokerError]) -> None:
        self.name, self.calls, self.failures = name, calls, failures

    def _called(self, call: str, *rest: object) -> None:
        self.calls.append((self.name, call, *rest))
        if call in self.failures:
            raise self.failures.pop(call)

    def produce(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: object = None,
    ) -> None:
        self._called(f"produce {topic}", partition, *values)

    def flush(self, timeout_s: float) -> None:
        self._called("flush")

    def begin(self) -> None:
        self._called("begin")

    def send_offsets(
        self, topic: str, offsets: Mapping[int, int], consumer: object, timeout_s: float
    ) -> None:
        self._called("offsets", topic, dict(offsets))

    def commit(self, timeout_s: float) -> None:
        self._called("commit")

    def abort(self, timeout_s: float) -> None:
        self._called("abort")

    def close(self, timeout_s: float) -> None:
        self._called("close")


class Rows:
    """A store with one row changed in every partition."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def changes(self, partition: int, next_offset: int) -> Changes:
        return Changes([b"k", b"\xffmarker"], [b"row", b"%d" % next_offset], 1)

    def commit(self) -> None:
        self.calls.append(("store", "commit"))

    def roll_back(self) -> None:
        self.calls.append(("store", "roll back"))

    def close(self, partition: int) -> None:
        self.calls.append(("store", "close", partition))


class Bench:
    """A checkpoint with a clock that moves only when it is told."""

    def __init__(
        self, interval_s: float = 0.1, at_least_once: bool = False, steps: int = 1000
    ) -> None:
        self.now, self.made, self.takes = 100.0, 0, 0.0
        self.calls: Calls = []
        self.failures: dict[str, BrokerError] = {}
        rows = Rows(self.calls)
        self.partitions = Partitions(rows, FaultyBroker().reader("log"))
        self.checkpoint = Checkpoint(
            self.partitions,
            Producers(lambda: self._new("t"), (lambda: self._new("o")) if at_least_once else None),  # type: ignore[arg-type, return-value]
            object(),  # type: ignore[arg-type]
            rows,  # type: ignore[arg-type]
            ("in", "log"),
            CommitSettings(interval_ms=round(interval_s * 1000), max_steps=steps),
            self._reaches,
            lambda: self.now,
        )
        self.partitions.assign((0, 1), 0.0)
        for partition in self.partitions:
            partition.begin_restore(Restoration(10, 0), StartPosition(10))
            partition.serve()

    def _reaches(self, place: str) -> None:
        self.calls.append(("reached", place))
        self.now += self.takes if place == "commit.6" else 0.0

    def _new(self, kind: str) -> Script:
        self.made += 1
        if "connect" in self.failures:
            raise self.failures.pop("connect")
        return Script(f"{kind}{self.made}", self.calls, self.failures)

    def turn(self, partition: int, next_offset: int, *values: bytes) -> None:
        self.checkpoint.produce(Output("out", partition, [b"key"] * len(values), values))
        self.partitions[partition].done = next_offset

    def taken(self) -> Calls:
        """The calls since the last look, without the places passed."""
        calls = [call for call in self.calls if call[0] != "reached"]
        self.calls.clear()
        return calls


def test_the_steps_in_their_order() -> None:
    bench = Bench()
    bench.turn(0, 12, b"a", b"b")
    bench.turn(1, 19, b"c")
    bench.turn(0, 13, b"d")
    assert bench.checkpoint.commit(1.0) == {0: 13, 1: 19}
    assert bench.calls == [
        ("t1", "begin"),
        ("reached", "commit.1"),
        ("t1", "produce out", 0, b"a", b"b"),
        ("t1", "produce out", 1, b"c"),
        ("t1", "produce out", 0, b"d"),
        ("reached", "commit.2"),
        ("t1", "produce log", 0, b"row", b"13"),
        ("t1", "produce log", 1, b"row", b"19"),
        ("reached", "commit.3"),
        ("t1", "flush"),
        ("reached", "commit.4"),
        ("t1", "offsets", "in", {0: 13, 1: 19}),
        ("reached", "commit.5"),
        ("t1", "commit"),
        ("reached", "commit.6"),
        ("store", "commit"),
        ("reached", "commit.7"),
    ]
    assert bench.partitions.committed == {0: 13, 1: 19} and bench.partitions.uncommitted == {}
    assert bench.checkpoint.written == 2, "the markers are not rows"


def test_at_least_once_outputs_are_out_and_checked_before_the_transaction() -> None:
    bench = Bench(at_least_once=True)
    bench.turn(0, 12, b"a")
    assert bench.checkpoint.flush(1.0)
    assert bench.taken() == [("o1", "produce out", 0, b"a"), ("o1", "flush")]
    bench.checkpoint.commit(1.0)
    names = [call[:2] for call in bench.taken()]
    assert names == [
        ("o1", "flush"),
        ("t2", "begin"),
        ("t2", "produce log"),
        ("t2", "flush"),
        ("t2", "offsets"),
        ("t2", "commit"),
        ("store", "commit"),
    ]


def test_exactly_once_nothing_is_acknowledged_before_the_commit() -> None:
    bench = Bench()
    bench.turn(0, 12, b"a")
    assert not bench.checkpoint.flush(1.0)


def test_records_without_an_output_are_committed_too() -> None:
    bench = Bench()
    bench.partitions[0].done = 13
    assert bench.checkpoint.commit(1.0) == {0: 13}
    assert [call[1] for call in bench.taken()][:2] == ["begin", "produce log"]
    assert bench.checkpoint.commit(1.0) == {} and bench.taken() == [], "what is done is forgotten"


def test_when_a_commit_is_due() -> None:
    bench = Bench(interval_s=0.5)
    bench.now += 10
    assert not bench.checkpoint.due() and bench.checkpoint.remaining() == float("inf")
    bench.partitions[0].done = 11
    assert bench.checkpoint.due()
    bench.checkpoint.commit(1.0)
    bench.partitions[0].done = 12
    assert not bench.checkpoint.due() and bench.checkpoint.remaining() == pytest.approx(0.5)
    bench.now += 0.3
    assert bench.checkpoint.remaining() == pytest.approx(0.2)
    bench.now += 0.2
    assert bench.checkpoint.due()


def after_a_commit(takes: float) -> Bench:
    """A commit took `takes` seconds of an interval of 0.5, and there is more to commit."""
    bench = Bench(interval_s=0.5)
    bench.takes = takes
    bench.partitions[0].done = 11
    bench.checkpoint.commit(1.0)
    bench.partitions[0].done = 12
    return bench


def test_between_slow_commits_there_is_as_much_work_as_between_quick_ones() -> None:
    assert after_a_commit(30.0).checkpoint.remaining() == pytest.approx(0.5)


def test_while_records_wait_most_of_the_time_is_not_for_commits() -> None:
    assert after_a_commit(0.01).checkpoint.remaining(backlog=True) == pytest.approx(0.5)
    bench = after_a_commit(0.4)
    assert bench.checkpoint.remaining() == pytest.approx(0.5)
    assert bench.checkpoint.remaining(backlog=True) == pytest.approx(0.8)
    bench.now += 0.6
    assert bench.checkpoint.due() and not bench.checkpoint.due(backlog=True)
    bench.now += 0.3
    assert bench.checkpoint.due(backlog=True)


def test_enough_steps_make_a_commit_due_before_its_time() -> None:
    bench = Bench(interval_s=100.0, steps=1000)
    bench.partitions[0].done = 11
    bench.checkpoint.steps += 999
    bench.now += 1
    bench.checkpoint.commit(1.0)
    bench.partitions[0].done = 12
    bench.checkpoint.steps += 999
    assert not bench.checkpoint.due()
    bench.checkpoint.steps += 1
    assert bench.checkpoint.due()
    bench.checkpoint.commit(1.0)
    bench.partitions[0].done = 13
    assert not bench.checkpoint.due(), "the steps are counted anew"


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("connect", BrokerUnavailable("nobody answers")),
        ("begin", TransactionFailed("no")),
        ("produce log", TransactionFailed("no")),
        ("flush", RecordRefused("too large")),
        ("offsets", TransactionFailed("fenced")),
        ("commit", CommitUnknown("no answer")),
    ],
)
def test_whatever_fails_ends_the_producer_and_the_next_transaction_has_a_new_one(
    step: str, error: BrokerError
) -> None:
    bench = Bench()
    bench.failures[step] = error
    bench.partitions[0].done = 13
    with pytest.raises(type(error)):
        bench.checkpoint.commit(1.0)
    assert ("store", "commit") not in bench.taken()
    bench.checkpoint.roll_back(1.0, keep_producer=False)
    assert bench.partitions.committed == {0: 10, 1: 10} and bench.partitions.uncommitted == {}
    assert bench.taken() == [
        ("store", "roll back"),
        *([("t1", "close")] if step != "connect" else []),
    ]
    bench.partitions[0].done = 13
    assert bench.checkpoint.commit(1.0) == {0: 13}
    assert {call[0] for call in bench.taken()} == {"t2", "store"}


def test_a_transaction_in_which_nothing_failed_is_aborted_and_its_producer_kept() -> None:
    bench = Bench()
    bench.failures["offsets"] = MembershipLost("moved on")
    bench.turn(0, 13, b"a")
    with pytest.raises(MembershipLost):
        bench.checkpoint.commit(1.0)
    bench.taken()
    bench.checkpoint.roll_back(1.0, keep_producer=True)
    assert bench.taken() == [("store", "roll back"), ("t1", "abort")]
    bench.turn(0, 13, b"a")
    bench.checkpoint.commit(1.0)
    assert bench.taken()[0] == ("t1", "begin") and bench.made == 1


def test_an_abort_that_fails_ends_the_producer_too() -> None:
    bench = Bench()
    bench.turn(0, 13, b"a")
    bench.failures["abort"] = TransactionFailed("no answer")
    bench.taken()
    bench.checkpoint.roll_back(1.0, keep_producer=True)
    assert bench.taken() == [("store", "roll back"), ("t1", "abort"), ("t1", "close")]


def test_an_output_not_acknowledged_at_least_once_opens_no_transaction() -> None:
    bench = Bench(at_least_once=True)
    bench.failures["flush"] = ProduceFailed("out partition 0")
    bench.turn(0, 13, b"a")
    with pytest.raises(ProduceFailed):
        bench.checkpoint.commit(1.0)
    assert {call[0] for call in bench.taken()} == {"o1"}


def test_every_wait_is_cut_at_the_same_deadline() -> None:
    bench, waits = Bench(), []

    class Slow(Script):
        def flush(self, timeout_s: float) -> None:
            waits.append(timeout_s)
            bench.now += 0.4

        def send_offsets(
            self, topic: str, offsets: object, consumer: object, timeout_s: float
        ) -> None:
            waits.append(timeout_s)
            bench.now += 0.7

        def commit(self, timeout_s: float) -> None:
            waits.append(timeout_s)

    bench.checkpoint._transactions = Slow("slow", bench.calls, {})  # type: ignore[assignment]
    bench.partitions[0].done = 13
    bench.checkpoint.commit(1.0)
    assert waits == pytest.approx([1.0, 0.6, 0.0])


def test_closed_partitions_are_not_committed() -> None:
    bench = Bench()
    bench.turn(0, 13, b"a")
    bench.partitions[1].done = 14
    bench.partitions.close([1])
    assert bench.checkpoint.commit(1.0) == {0: 13}
    assert bench.partitions.committed == {0: 13}
    assert ("store", "close", 1) in bench.taken()
