"""Faults of every sort, on a real broker: nothing lost, nothing twice, the same bits. `make chaos`
has a hundred of all kinds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.driver import Result, run
from tests.chaos.fleet import WHOLE
from tests.chaos.floods import FLOODS
from tests.chaos.proxy import Site, site
from tests.chaos.schedule import draw_faults, kinds_for
from tests.chaos.shapes import MAPPED
from tests.chaos.table import is_clean, table

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

#: Other kinds differ from these in the moment alone.
SORTS = (
    *("kill", "commit.2", "commit.6", "restoring", "revoked", "promote", "rollback", "switch.2"),
    *("freeze", "fence", "cut", "broker", *FLOODS),
)


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A broker of one's own, to be killed."""
    with site() as found:
        yield found


def checked(result: Result, faults: int) -> None:
    what = [f"{difference} after {fault}" for difference, fault in result.differences[:5]]
    assert is_clean([result]), "\n".join(
        [result.stuck or "", *what, *result.failed, table([result])]
    )
    assert len(result.outcomes) == faults
    assert result.records > 0


def test_faults_of_every_sort_change_nothing(place: Site) -> None:
    checked(run(place, draw_faults(len(SORTS), 11, SORTS), seed=11), len(SORTS))


@pytest.mark.exhaustive
def test_every_kind_of_fault_once_changes_nothing(place: Site) -> None:
    kinds = kinds_for(nodes=1)
    checked(run(place, draw_faults(len(kinds), 11, kinds), seed=11), len(kinds))


def test_a_sort_is_a_kind() -> None:
    assert set(SORTS) < set(kinds_for(nodes=1))


def test_at_least_once_repeats_and_does_no_other_harm(place: Site) -> None:
    """At `commit.5` outputs are written whose offsets are not yet committed."""
    faults = draw_faults(3, 13, kinds=("kill", "commit.5", "cut"))
    checked(run(place, faults, seed=13, build=WHOLE.delivering("at_least_once")), 3)


def test_take_overs_of_many_partitions_change_nothing(place: Site) -> None:
    """A read that comes too early in a take-over shows only with many partitions. The records are
    those of gateways."""
    checked(
        run(
            place,
            draw_faults(3, seed=12, kinds=("kill", "pause", "commit.6")),
            seed=12,
            partitions=32,
            shape=MAPPED,
        ),
        3,
    )
