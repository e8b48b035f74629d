"""The harm of each fault when its guard is missing; with the guard the same faults are harmless.

The end of a commit reaches the offsets before the changelog. A worker that takes over just then
waits for the rows; one that does not restores old ones. A transaction is refused, and its records
come again; rows that already had them count twice.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from eddycast.service.broker.memory.reader import MemoryReader
from eddycast.service.delivery.restore import Restore
from eddycast.service.errors import StateError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.state.store import Store
from tests.chaos.weakened import believing
from tests.durability.test_crashes import feed, undisturbed
from tests.support.bundles import RECURRENT, write_bundle
from tests.support.crashing import Fleet, outputs, stored
from tests.support.running import CHANGELOG, memory_broker


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def taken_over(runtime: Runtime) -> Fleet:
    """A worker dies right after a commit, another begins while the changelog does not know of that
    commit."""
    fleet = Fleet(memory_broker(2), runtime)
    fleet.start("commit.6", 3)
    for n in range(6):
        feed(fleet, range(4 * n, 4 * n + 4))
        if n == 2:
            with fleet.broker.late_marks(CHANGELOG):
                fleet.turn()
                assert not fleet.alive, "it has died after its commit"
                successor = fleet.start()
                for _ in range(3):
                    successor.pipeline.turn()
        fleet.settle()
    return fleet


def to_what_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the end that a reader of committed records is told."""

    def end(
        self: MemoryReader, partitions: Collection[int], timeout_s: float = 10.0
    ) -> dict[int, int]:
        return {partition: self._log(partition).stable_end for partition in partitions}

    monkeypatch.setattr(MemoryReader, "end", end)


def test_rows_that_are_committed_and_not_yet_readable_are_waited_for(recurrent: Runtime) -> None:
    fleet, expected = taken_over(recurrent), undisturbed(recurrent)
    assert outputs(fleet.broker) == outputs(expected.broker)
    assert stored(fleet.broker) == stored(expected.broker)


def test_reading_to_what_is_committed_is_noticed_by_the_marker(
    recurrent: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_what_is_committed(monkeypatch)
    with pytest.raises(StateError, match=r"partition \d: .*offset \d+.*marker"):
        taken_over(recurrent)


def test_without_the_marker_it_would_serve_from_old_rows(
    recurrent: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_what_is_committed(monkeypatch)
    monkeypatch.setattr(Restore, "_finish", believing(Restore._finish))
    fleet, expected = taken_over(recurrent), undisturbed(recurrent)
    assert outputs(fleet.broker) != outputs(expected.broker)
    assert stored(fleet.broker) != stored(expected.broker)


@pytest.mark.parametrize("guarded", [True, False])
def test_rows_that_are_not_rolled_back_count_records_twice(
    recurrent: Runtime, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    if not guarded:
        monkeypatch.setattr(Store, "roll_back", lambda self: None)
    fleet, expected = Fleet(memory_broker(2), recurrent), undisturbed(recurrent)
    fleet.start()
    for n in range(6):
        feed(fleet, range(4 * n, 4 * n + 4))
        if n == 3:
            fleet.broker.fail_next("send_offsets")
        fleet.settle()
    assert (outputs(fleet.broker) == outputs(expected.broker)) is guarded
    assert (stored(fleet.broker) == stored(expected.broker)) is guarded
