"""A worker's follower of a registry: its thread, refusals and demands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from eddycast.service.errors import (
    BrokerError,
    BrokerUnavailable,
    RegistryError,
    StateError,
    WorkerBehind,
)
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.metric_kinds import METRIC_PREFIX
from eddycast.service.observability.metrics import Metrics
from eddycast.service.registry.following import Follower
from eddycast.service.registry.registry import Registry
from eddycast.service.registry.starting import Started, await_champion
from tests.chaos.fleet import await_true
from tests.support.bundles import Walk, listed
from tests.support.registry import MemoryFolder, promoted, published

PATIENCE_S = 90.0
BEHIND = WorkerBehind("partition 0: rows belong to another model", "look", 2)


class Subject:
    """A follower of a registry with two versions, the first of which is served."""

    def __init__(self, root: Path) -> None:
        self.folder, self.metrics = MemoryFolder(), Metrics(CollectorRegistry())
        self.registry = Registry(self.folder, "walk")
        walks = {"old": Walk(hidden=4), "new": Walk(hidden=4, spread=2.0)}
        self.versions = {
            name: published(self.registry, root / name, listed(walk))
            for name, walk in walks.items()
        }
        self.first = promoted(self.registry, self.versions["old"])

    def follower(
        self, accept: Callable[[Runtime], int | None] = lambda _: 7, poll_s: float = 60.0
    ) -> Follower:
        served = self.registry.load(self.versions["old"])
        started = Started(served, self.first, self.registry, None)
        return Follower(started, accept, self.metrics, poll_s)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(METRIC_PREFIX + name, labels) or 0.0


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return Subject(tmp_path)


def test_the_thread_loads_a_newer_champion_and_ends_with_the_context(subject: Subject) -> None:
    with subject.follower(poll_s=0.01) as follower:
        promoted(subject.registry, subject.versions["new"])
        await_true(lambda: follower.loaded is not None, PATIENCE_S, "nothing was loaded")
        champion = follower.loaded
        assert champion is not None and (champion.generation, champion.max_streams) == (2, 7)
        assert champion.runtime.manifest.version == subject.versions["new"]
        follower.serve(champion)
        assert (follower.loaded, follower.generation) == (None, 2)
    assert not follower._thread.is_alive()


def test_a_start_waits_for_a_first_champion_and_for_the_storage(tmp_path: Path) -> None:
    folder, stop, waits = MemoryFolder(), threading.Event(), list[str]()
    registry = Registry(folder, "walk")
    version = published(registry, tmp_path / "old", listed(Walk()))
    with pytest.raises(RegistryError, match="walk has no champion") as caught:
        await_champion(registry, 0.0, stop, waits.append)
    assert caught.value.exit_code == 7 and not waits
    folder.is_gone = True
    with pytest.raises(RegistryError, match="does not answer"):
        await_champion(registry, 0.0, stop, waits.append)

    def waiting(what: str) -> None:
        waits.append(what)
        if folder.is_gone:
            folder.is_gone = False
        else:
            promoted(registry, version)

    found = await_champion(registry, PATIENCE_S, stop, waiting)
    assert found is not None and found.change.champion == version
    assert waits == ["a champion of walk"] * 2
    stop.set()
    bare = Registry(MemoryFolder(), "walk")
    assert await_champion(bare, PATIENCE_S, stop, waits.append) is None


def test_a_champion_that_does_not_fit_is_refused_once_and_one_that_may_fit_later_is_not(
    subject: Subject,
) -> None:
    errors: list[Exception] = [
        BrokerUnavailable("no broker answers"),
        BrokerError("the topic accepts smaller rows"),
    ]

    def accept(_: Runtime) -> int | None:
        raise errors.pop(0)

    follower = subject.follower(accept)
    promoted(subject.registry, subject.versions["new"])
    for _ in range(4):
        follower.look()
    assert not errors and follower.loaded is None
    assert subject.count("model_refused_total") == 1
    assert subject.count("registry_failures_total", problem="unavailable") == 1


def test_an_error_that_nothing_foresaw_refuses_the_champion_as_well(subject: Subject) -> None:
    def accept(_: Runtime) -> int | None:
        raise RuntimeError("a library broke")

    follower = subject.follower(accept)
    promoted(subject.registry, subject.versions["new"])
    follower.look()
    assert subject.count("model_refused_total") == 1 and follower.loaded is None


def test_a_demand_is_met_by_a_newer_champion(subject: Subject) -> None:
    with subject.follower() as follower:
        promoted(subject.registry, subject.versions["new"])

        def met() -> bool:
            follower.demand(BEHIND)
            return follower.loaded is not None

        await_true(met, PATIENCE_S, "the demand was not met")


def test_a_demand_fails_after_a_look_that_found_nothing_and_anew_each_time(
    subject: Subject,
) -> None:
    follower = subject.follower()
    follower.demand(BEHIND)
    subject.folder.is_gone = True
    follower.look()
    follower.demand(BEHIND)  # that look does not count
    subject.folder.is_gone = False
    follower.look()
    with pytest.raises(StateError, match="another model; the registry's newest change is 1"):
        follower.demand(BEHIND)
    another = WorkerBehind("partition 1: rows belong to another model", "look", 2)
    follower.demand(another)  # only a look from now on counts
    follower.look()
    with pytest.raises(StateError, match="partition 1"):
        follower.demand(another)
