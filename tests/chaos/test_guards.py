"""The proof can fail: take a guard away from the service, and the checker says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.driver import Result, run
from tests.chaos.proxy import Site, site
from tests.chaos.schedule import draw_faults
from tests.chaos.table import is_clean, table
from tests.chaos.weakened import without

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A broker of one's own."""
    with site() as found:
        yield found


def disturbed(place: Site, guard: str | None, *kinds: str) -> Result:
    return run(place, draw_faults(2, 21, kinds), seed=21, build=without(guard))


@pytest.mark.parametrize(("guard", "fault", "seen"), [("handover", "add", "twice"), ("rows", "fence", "lost")])
def test_the_checker_notices_a_missing_guard(place: Site, guard: str, fault: str, seen: str) -> None:
    result = disturbed(place, guard, fault)
    assert result.stuck or seen in {difference.kind for difference, _ in result.differences}


def test_with_all_guards_the_same_faults_change_nothing(place: Site) -> None:
    """With as much at risk."""
    result = disturbed(place, None, "add", "fence")
    assert is_clean([result]), table([result])
