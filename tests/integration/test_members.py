"""Members of a group as processes: static ones come back or leave, and one name is one process."""

from __future__ import annotations

import signal

import pytest

from eddycast.service.errors import InstanceFenced
from tests.chaos.fleet import await_true
from tests.support.processes import Site, said

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: A session that outlasts the restart of a process, on a slow machine too.
LONG_S = 30
LONG = {"KAFKA__SESSION_TIMEOUT_MS": f"{LONG_S * 1000}"}


def test_a_rolling_restart_of_a_static_member_moves_nothing(site: Site) -> None:
    left = site.serving(KAFKA__INSTANCE_ID="left", **LONG)
    right = site.serving(KAFKA__INSTANCE_ID="right", **LONG)
    await_true(
        lambda: len(left.holds()) == len(right.holds()) == 1, 20.0, "the partitions are not shared"
    )
    kept, beside, handed = left.holds(), right.holds(), said(right, "partitions handed over")
    site.feed(range(3))
    site.await_forecasts(12)
    assert site.end(left) == 0
    site.feed(range(3, 5))
    again = site.serving(KAFKA__INSTANCE_ID="left", **LONG)
    assert again.holds() == kept and right.holds() == beside
    site.await_forecasts(20)
    assert said(right, "partitions handed over") == handed
    assert len(said(right, "partitions assigned")) == 1


def test_a_static_member_that_is_to_leave_gives_its_partitions_away_at_once(site: Site) -> None:
    leaving = site.serving(KAFKA__INSTANCE_ID="left", KAFKA__LEAVE="true", **LONG)
    other = site.serving(KAFKA__INSTANCE_ID="right", **LONG)
    await_true(
        lambda: len(leaving.holds()) == len(other.holds()) == 1,
        90.0,
        "the partitions are not shared",
    )
    site.feed(range(3))
    site.await_forecasts(12)
    assert site.end(leaving) == 0
    assert said(leaving, "left the group")
    await_true(
        lambda: other.holds() == {0, 1}, LONG_S / 2, "the other does not have all partitions"
    )
    site.feed(range(3, 5))
    site.await_forecasts(20)


def test_of_two_processes_with_one_instance_id_the_older_ends_and_says_why(site: Site) -> None:
    older = site.serving(KAFKA__INSTANCE_ID="left")
    newer = site.serving(KAFKA__INSTANCE_ID="left")
    site.fleet.remove(older)
    assert older.wait(90.0) == InstanceFenced.exit_code != 0
    (line,) = said(older, "ended")
    assert (
        "'left'" in line["reason"]
        and line["action"] == "give each process an instance id of its own"
    )
    site.feed(range(3))
    site.await_forecasts(12)
    assert site.end(newer) == 0


def test_a_process_that_was_frozen_while_it_restored_joins_again_and_serves(site: Site) -> None:
    """Its session ends while it is stopped; another process serves and commits;
    then it goes on with its restore."""
    first = site.serving()
    site.feed(range(3))
    site.await_forecasts(12)
    site.end(first)
    sleeper = site.start(FAULTS__KILL_AT="reading", FAULTS__FREEZE="true")
    await_true(lambda: sleeper.is_frozen, 60.0, "it restores nothing")
    other = site.serving()
    await_true(lambda: other.holds() == {0, 1}, 60.0, "the other did not get all partitions")
    site.feed(range(3, 6))
    site.await_forecasts(24, 60.0)
    sleeper.signal(signal.SIGCONT)
    await_true(
        lambda: len(sleeper.holds()) == len(other.holds()) == 1,
        60.0,
        "the partitions are not shared",
    )
    site.feed(range(6, 8))
    site.await_forecasts(32, 60.0)
    assert sleeper.losses() == 1
    assert site.end(sleeper) == site.end(other) == 0
