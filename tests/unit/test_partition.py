"""Phases of a partition: every transition that is drawn is possible, every other one is refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from eddycast.service.delivery.partition import Partition, Partitions, Phase, Restoration
from eddycast.service.delivery.start_positions import StartPosition
from tests.support.faulty_broker import FaultyBroker

STEPS: dict[str, tuple[Callable[[Partition], None], Phase]] = {
    "begin_restore": (
        lambda p: p.begin_restore(Restoration(3, 9), StartPosition(4, 1, 20)),
        Phase.RESTORING,
    ),
    "adopt": (Partition.adopt, Phase.ADOPTING),
    "serve": (Partition.serve, Phase.SERVING),
    "restart": (lambda p: p.restart(7.0), Phase.ASSIGNED),
    "close": (Partition.close, Phase.CLOSED),
}
#: Steps that lead to each phase from a new partition.
WAYS = {
    Phase.ASSIGNED: [],
    Phase.RESTORING: ["begin_restore"],
    Phase.ADOPTING: ["begin_restore", "adopt"],
    Phase.SERVING: ["begin_restore", "serve"],
    Phase.CLOSED: ["close"],
}
LEGAL = {
    (Phase.ASSIGNED, "begin_restore"),
    (Phase.RESTORING, "adopt"),
    (Phase.RESTORING, "serve"),
    (Phase.RESTORING, "restart"),
    (Phase.ADOPTING, "serve"),
    (Phase.ADOPTING, "restart"),
    (Phase.SERVING, "restart"),
    *((phase, "close") for phase in Phase if phase is not Phase.CLOSED),
}


def in_phase(phase: Phase) -> Partition:
    partition = Partition(5)
    for step in WAYS[phase]:
        STEPS[step][0](partition)
    assert partition.phase is phase
    return partition


def offsets(partition: Partition) -> tuple[int | None, int | None, int]:
    """Committed, done and position."""
    return partition.committed, partition.done, partition.position


@pytest.mark.parametrize(("phase", "step"), list(product(Phase, STEPS)), ids=str)
def test_only_the_transitions_that_are_drawn_are_possible(phase: Phase, step: str) -> None:
    partition, (take, reached) = in_phase(phase), STEPS[step]
    if (phase, step) in LEGAL:
        take(partition)
        assert partition.phase is reached
        return
    before = repr(partition)
    with pytest.raises(ValueError, match=rf"partition 5.*{phase.value}.*{reached.value}"):
        take(partition)
    assert repr(partition) == before, "a refused transition changes nothing"


def test_a_partition_is_served_from_its_start_and_moves_on_with_what_is_done() -> None:
    partition = in_phase(Phase.SERVING)
    assert offsets(partition) == (4, None, 4)
    partition.done = 8
    assert offsets(partition) == (4, 8, 8)
    partition.commit(8)
    assert offsets(partition) == (8, None, 8)


def test_an_adopted_partition_waits_for_a_commit_of_its_start() -> None:
    partition = in_phase(Phase.ADOPTING)
    assert offsets(partition) == (None, 4, 4)
    partition.commit(4)
    partition.serve()
    assert offsets(partition) == (4, None, 4)


@pytest.mark.parametrize("phase", [Phase.RESTORING, Phase.ADOPTING, Phase.SERVING])
def test_a_restart_forgets_progress_and_keeps_failures(phase: Phase) -> None:
    partition = in_phase(phase)
    partition.quarantined.add(6)
    assert partition.count_failure() == 1
    partition.restart(7.0)
    assert (partition.committed, partition.done, partition.restoration, partition.rows) == (
        None,
        None,
        None,
        None,
    )
    assert (partition.assigned_at, partition.failures, partition.quarantined) == (7.0, 1, {6})


def test_failures_count_from_one_offset_on() -> None:
    partition = in_phase(Phase.SERVING)
    assert [partition.count_failure() for _ in range(3)] == [1, 2, 3]
    partition.commit(6)
    assert [partition.count_failure() for _ in range(2)] == [1, 2]
    partition.clear_failures()
    assert partition.count_failure() == 1


class Rows:
    """A store that notes which partitions were closed."""

    def __init__(self) -> None:
        self.closed: list[int] = []

    def close(self, partition: int) -> None:
        self.closed.append(partition)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def partitions(rows: Rows) -> Partitions:
    """Partitions 0 to 3, one in each phase before CLOSED."""
    broker = FaultyBroker()
    broker.admin().create_topic("log", 4)
    made = Partitions(rows, broker.reader("log"))
    made.assign(range(4), 0.0)
    for partition, phase in zip(
        made, [Phase.ASSIGNED, Phase.RESTORING, Phase.ADOPTING, Phase.SERVING], strict=True
    ):
        for step in WAYS[phase]:
            STEPS[step][0](partition)
    return made


def test_the_table_by_phase(partitions: Partitions) -> None:
    assert (partitions.pending, partitions.serving) == ([0, 1], [3])
    assert [partition.number for partition in partitions.in_phase(Phase.ADOPTING)] == [2]
    assert (partitions.committed, partitions.uncommitted, partitions.has_uncommitted) == (
        {3: 4},
        {2: 4},
        True,
    )
    assert [partitions.is_serving(number) for number in range(5)] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_one_call_closes_partitions_wherever_they_are(partitions: Partitions, rows: Rows) -> None:
    held = list(partitions)
    partitions.close([0, 1, 2, 3, 9])
    assert {partition.phase for partition in held} == {Phase.CLOSED} and not list(partitions)
    assert rows.closed == [0, 1, 2, 3]
    assert (partitions.pending, partitions.serving, partitions.uncommitted) == ([], [], {})


def test_a_restart_frees_the_rows_and_skips_partitions_without_any(
    partitions: Partitions, rows: Rows
) -> None:
    partitions.restart([0, 1, 2, 3], 5.0)
    assert partitions.pending == [0, 1, 2, 3] and rows.closed == [1, 2, 3]


def test_a_partition_assigned_twice_starts_over(partitions: Partitions, rows: Rows) -> None:
    before = partitions[3]
    partitions.assign([3], 5.0)
    assert (
        before.phase is Phase.CLOSED
        and partitions[3].phase is Phase.ASSIGNED
        and rows.closed == [3]
    )
