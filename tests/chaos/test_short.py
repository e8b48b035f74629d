"""Every kind of fault once, on a real broker: nothing lost, nothing twice, the same bits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.kafka import KafkaServer
from tests.chaos.driver import BROKER, Result, run
from tests.chaos.schedule import KINDS, draw_faults
from tests.chaos.table import is_clean, table

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """One that may be killed."""
    with KafkaServer(config=BROKER) as server:
        yield server


def checked(result: Result, faults: int) -> None:
    what = [f"{difference} after {fault}" for difference, fault in result.differences[:5]]
    assert is_clean([result]), "\n".join([result.stuck or "", *what, *result.failed, table([result])])
    assert len(result.outcomes) == faults
    assert result.records > 0


def test_every_kind_of_fault_once_changes_nothing(broker: KafkaServer) -> None:
    checked(run(broker, draw_faults(len(KINDS), seed=11), seed=11), len(KINDS))


def test_take_overs_of_many_partitions_change_nothing(broker: KafkaServer) -> None:
    """What is read too early in a take-over shows with many partitions only."""
    checked(run(broker, draw_faults(3, seed=12, kinds=("kill", "pause", "commit.6")), seed=12, partitions=32), 3)
