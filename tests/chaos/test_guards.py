"""The proof can fail: take a guard away from the service, and the checker finds the harm.

Harm that occurs every time even without a real broker is shown in tests/durability/test_guards.py,
harm that one client does to a real broker in tests/broker/test_kafka_faults.py.
"""

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


def disturbed(place: Site, guard: str | None) -> Result:
    return run(place, draw_faults(2, 21, ("add",)), seed=21, build=without(guard))


def test_the_checker_notices_a_commit_that_comes_after_the_handover(place: Site) -> None:
    result = disturbed(place, "handover")
    assert result.stuck or "twice" in {difference.kind for difference, _ in result.differences}


def test_with_all_guards_the_same_faults_change_nothing(place: Site) -> None:
    """The run has as many records at risk as those without a guard."""
    result = disturbed(place, None)
    assert is_clean([result]), table([result])
