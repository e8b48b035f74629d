"""The proof can fail: take a guard away from the service, and the checker says so."""

from __future__ import annotations

import pytest

from tests.chaos.driver import run
from tests.chaos.proxy import site
from tests.chaos.schedule import draw_faults
from tests.chaos.table import is_clean
from tests.chaos.weakened import without

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("guard", "fault", "seen"),
    [("handover", "add", "twice"), ("rows", "fence", "lost")],
)
def test_the_checker_notices_a_missing_guard(guard: str, fault: str, seen: str) -> None:
    """The same faults, and as much at risk, change nothing while all guards are there."""
    with site() as place:
        weak = run(place, draw_faults(2, 21, (fault,)), seed=21, build=without(guard))
        whole = run(place, draw_faults(2, 21, (fault,)), seed=21, build=without(None))
    assert weak.stuck is None
    assert seen in {difference.kind for difference, _ in weak.differences}
    assert is_clean([whole])
