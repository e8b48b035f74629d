"""The commit's order, and what it does when a step fails, seen from the calls that it makes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest

from service.broker.port import Headers
from service.checkpoint import Checkpoint, Output
from service.errors import BrokerError, BrokerUnavailable, MembershipLost, ProduceFailed, RecordTooLarge


class Script:
    """A producer and a consumer in one that write down what is asked of them, and fail as they are told."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.failures: dict[str, list[BrokerError]] = {}

    def fail(self, call: str, *errors: BrokerError) -> None:
        self.failures.setdefault(call, []).extend(errors)

    def _called(self, *call: object) -> None:
        self.calls.append(call)
        if waiting := self.failures.get(str(call[0])):
            raise waiting.pop(0)

    def produce(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None = None,
    ) -> None:
        self._called("produce", partition, *values)

    def flush(self, timeout_s: float) -> None:
        self._called("flush")

    def commit(self, offsets: Mapping[int, int] | None = None) -> None:
        self._called("commit", dict(offsets or {}))

    def begin(self) -> None:
        self._called("begin")

    def send_offsets(self, topic: str, offsets: Mapping[int, int], consumer: object) -> None:
        self._called("send_offsets")

    def abort(self) -> None:
        self._called("abort")

    def close(self, timeout_s: float = 0.0) -> None:
        self._called("close")

    def poll(self, timeout_s: float, max_records: int) -> list[object]:
        raise AssertionError("a commit does not poll")

    def assignment(self) -> frozenset[int]:
        return frozenset()

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        return {}

    def seek(self, offsets: Mapping[int, int]) -> None:
        raise AssertionError("a commit does not seek")

    def pause(self, partitions: Collection[int]) -> None:
        raise AssertionError("a commit does not pause")

    def resume(self, partitions: Collection[int]) -> None:
        raise AssertionError("a commit does not resume")

    def lag(self) -> dict[int, int]:
        return {}


class Bench:
    """A checkpoint with a clock that moves only when it is told, or paused."""

    def __init__(self, interval_s: float = 0.1) -> None:
        self.now = 100.0
        self.script = Script()
        self.checkpoint = Checkpoint(self.script, self.script, interval_s, lambda: self.now, self._wait)  # type: ignore[arg-type]

    def _wait(self, seconds: float) -> None:
        self.now += seconds

    def turn(self, partition: int, next_offset: int, *values: bytes) -> None:
        self.checkpoint.produce(Output("out", partition, [b"key"] * len(values), values))
        self.checkpoint.record(partition, next_offset)

    @property
    def calls(self) -> list[tuple[object, ...]]:
        made, self.script.calls = self.script.calls, []
        return made


REFUSED = ProduceFailed("out partition 1: not acknowledged")


def test_outputs_are_checked_before_offsets_are_stored_and_once() -> None:
    bench = Bench()
    bench.turn(0, 5, b"a", b"b")
    bench.turn(1, 9, b"c")
    bench.turn(0, 7, b"d")
    assert bench.checkpoint.commit(1.0) == {0: 7, 1: 9}
    assert [call[0] for call in bench.calls] == ["produce"] * 3 + ["flush", "commit"]
    assert bench.checkpoint.commit(1.0) == {}
    assert bench.calls == [], "what is done is forgotten"


def test_records_without_an_output_are_committed_too() -> None:
    bench = Bench()
    bench.checkpoint.record(0, 3)
    assert bench.checkpoint.commit(1.0) == {0: 3}
    assert bench.calls == [("commit", {0: 3})]


def test_when_a_commit_is_due() -> None:
    bench = Bench(interval_s=0.5)
    bench.now += 10
    assert not bench.checkpoint.due() and bench.checkpoint.remaining() == float("inf")
    bench.checkpoint.record(0, 1)
    assert bench.checkpoint.due()
    bench.checkpoint.commit(1.0)
    bench.checkpoint.record(0, 2)
    assert not bench.checkpoint.due() and bench.checkpoint.remaining() == pytest.approx(0.5)
    bench.now += 0.3
    assert bench.checkpoint.remaining() == pytest.approx(0.2)
    bench.now += 0.2
    assert bench.checkpoint.due()


def test_what_was_not_acknowledged_is_produced_again_from_the_same_bytes() -> None:
    bench = Bench()
    bench.turn(0, 1, b"a")
    bench.turn(1, 1, b"b", b"c")
    bench.script.fail("flush", REFUSED, REFUSED)
    assert bench.checkpoint.commit(10.0) == {0: 1, 1: 1}
    again = [("produce", 0, b"a"), ("produce", 1, b"b", b"c"), ("flush",)]
    assert bench.calls == [*again, *again, *again, ("commit", {0: 1, 1: 1})]


def test_only_what_is_not_acknowledged_yet_is_produced_again() -> None:
    bench = Bench()
    bench.turn(0, 1, b"a")
    bench.checkpoint.flush(1.0)
    bench.turn(0, 2, b"b")
    bench.script.fail("flush", REFUSED)
    bench.checkpoint.flush(1.0)
    assert [call for call in bench.calls if call[1:] == (0, b"a")] == [("produce", 0, b"a")]


def test_an_output_that_is_never_acknowledged_is_named_and_nothing_is_committed() -> None:
    bench = Bench()
    bench.turn(3, 1, b"a", b"b")
    bench.script.fail("flush", *[REFUSED] * 100)
    with pytest.raises(ProduceFailed, match=r"2 outputs, the first for out partition 3, not acknowledged within 5 s"):
        bench.checkpoint.commit(5.0)
    assert bench.now == pytest.approx(105.0, abs=0.5), "the deadline holds"
    assert "commit" not in {call[0] for call in bench.calls}


def test_outputs_wait_in_order_for_a_producer_that_cannot_connect() -> None:
    bench = Bench()
    bench.script.fail("produce", BrokerUnavailable("nobody answers"))
    bench.turn(0, 1, b"a")
    bench.turn(0, 2, b"b")
    bench.checkpoint.commit(1.0)
    assert bench.calls == [
        ("produce", 0, b"a"),
        ("produce", 0, b"a"),
        ("produce", 0, b"b"),
        ("flush",),
        ("commit", {0: 2}),
    ]


def test_a_record_too_large_is_not_tried_again() -> None:
    bench = Bench()
    bench.script.fail("produce", RecordTooLarge("a record of 2 MB"))
    with pytest.raises(RecordTooLarge):
        bench.turn(0, 1, b"a")


@pytest.mark.parametrize("error", [MembershipLost("the group moved on"), BrokerUnavailable("nobody answers")])
def test_a_commit_that_fails_keeps_the_offsets_and_repeats_no_output(error: BrokerError) -> None:
    bench = Bench()
    bench.turn(0, 4, b"a")
    bench.turn(1, 6, b"b")
    bench.script.fail("commit", error)
    with pytest.raises(type(error)):
        bench.checkpoint.commit(1.0)
    assert not bench.checkpoint.due(), "not tried again at every turn"
    bench.checkpoint.forget([1])
    bench.now += 1
    assert bench.checkpoint.due()
    assert bench.checkpoint.commit(1.0) == {0: 4}
    assert [call for call in bench.calls if call[0] == "produce"] == [("produce", 0, b"a"), ("produce", 1, b"b")]


def test_forgotten_partitions_are_neither_committed_nor_repeated() -> None:
    bench = Bench()
    bench.turn(0, 1, b"a")
    bench.turn(1, 1, b"b")
    bench.script.fail("flush", REFUSED)
    with pytest.raises(ProduceFailed):
        bench.checkpoint.flush(0.0)
    bench.checkpoint.forget({1})
    assert bench.checkpoint.commit(1.0) == {0: 1}
    assert bench.calls[-3:] == [("produce", 0, b"a"), ("flush",), ("commit", {0: 1})]
