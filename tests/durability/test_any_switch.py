"""Whatever a registry's champions are, and whenever running workers learn of them, with crashes,
lost partitions, silent streams and stale views of the registry: the rows in memory are those that
rule 2 of docs/durability.md gives, no older generation answers after a newer one, each reading is
answered once, and with the bits of a replay that is restarted where the model records say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eddycast.service.model.runtime import Runtime
from eddycast.service.registry.change import StoredChange
from eddycast.service.registry.registry import Registry
from eddycast.service.settings.faults import PLACES
from tests.support.crashing import Fleet, outputs
from tests.support.faulty_broker import RECOVERABLE
from tests.support.histories import MODELS, PARTITIONS, STREAMS, Group, models
from tests.support.registry import MemoryFolder, promoted, published
from tests.support.running import AT_ONCE, INPUT, OUTPUT, made, memory_broker

events = st.lists(
    st.one_of(
        st.tuples(
            st.just("feed"),
            st.integers(1, 3),
            st.sampled_from([2**STREAMS - 1, 0b101101, 0b000111]),
        ),
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(st.just("promote"), st.sampled_from(["A", "B"]), st.just(True)),
        st.tuples(st.just("promote"), st.sampled_from(sorted(MODELS)), st.booleans()),
        st.tuples(st.just("look"), st.integers(0, 2)),
        st.tuples(st.just("begin"), st.sampled_from([None, *PLACES]), st.integers(0, 2)),
        st.tuples(st.just("kill"), st.integers(0, 2)),
        st.tuples(st.just("stop"), st.integers(0, 2)),
        st.tuples(st.just("fail"), st.sampled_from(RECOVERABLE), st.integers(1, 3)),
    ),
    min_size=12,
    max_size=30,
)


class View(Registry):
    """A registry as one worker sees it: `stale` changes late, and with bundles that are loaded."""

    def __init__(self, registry: Registry, runtimes: dict[str, Runtime], stale: int = 0) -> None:
        self._all, self._runtimes, self.stale = registry, runtimes, stale

    def newest(self) -> StoredChange | None:
        changes = self._all.changes()
        return changes[max(0, len(changes) - 1 - self.stale)]

    def load(self, version: str) -> Runtime:
        return self._runtimes[version]


@dataclass
class Switching(Group):
    """A group whose workers follow a registry."""

    registry: Registry = field(default_factory=lambda: Registry(MemoryFolder(), "walk"))
    versions: dict[str, str] = field(default_factory=dict)  # by name

    def happen(self, event: tuple[object, ...]) -> None:
        match event:
            case ("promote", str(name), bool(seen)):
                self.promote(name)
                for subject in self.fleet.alive if seen else ():
                    self._look(subject)
            case ("look", int(which)) if self.fleet.alive:
                self._look(self.fleet.alive[which % len(self.fleet.alive)])
            case ("begin", place, int(stale)) if len(self.fleet.alive) < 3:
                self.begin(None if place is None else str(place), stale)
            case ("begin" | "look", *_):
                pass
            case _:
                super().happen(event)

    def promote(self, name: str) -> None:
        """Make this model champion, unless it is."""
        newest = self.registry.newest()
        if newest is None or newest.change.champion != self.versions[name]:
            promoted(self.registry, self.versions[name])

    def begin(self, place: str | None = None, stale: int = 0) -> None:
        """A worker whose first view of the registry is this many changes late."""
        runtimes = {runtime.manifest.version: runtime for runtime in self.runtimes.values()}
        self.fleet.registry = View(self.registry, runtimes, stale)
        self.fleet.start(place)

    def _look(self, subject: Any) -> None:
        view = subject.follower._registry
        view.stale = 0
        subject.look()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryFolder, dict[str, str]]:
    """A registry's storage with three versions and no champion."""
    folder, root = MemoryFolder(), Path(tmp_path_factory.mktemp("models"))
    registry = Registry(folder, "walk")
    return folder, {name: published(registry, root / name, w) for name, w in MODELS.items()}


@pytest.fixture(scope="module")
def runtimes(life: tuple[MemoryFolder, dict[str, str]]) -> dict[str, Runtime]:
    registry = Registry(life[0], "walk")
    return {name: registry.load(version) for name, version in life[1].items()}


def new_group(
    life: tuple[MemoryFolder, dict[str, str]], runtimes: dict[str, Runtime], delivery: Any
) -> Switching:
    folder = MemoryFolder()
    folder.files |= life[0].files
    fleet = Fleet(memory_broker(PARTITIONS), runtimes["A"], replace(AT_ONCE, delivery=delivery))
    group = Switching(fleet, runtimes, registry=Registry(folder, "walk"), versions=life[1])
    by_version = {life[1][name]: runtime for name, runtime in runtimes.items()}
    group.registry.load = by_version.__getitem__  # type: ignore[method-assign, assignment]
    return group


def never_falls(labels: list[str], history: list[str]) -> bool:
    """True if the labels are those of a walk through the history, forwards."""
    place = 0
    for label in labels:
        while place < len(history) and history[place] != label:
            place += 1
    return place < len(history) or not labels


def replayed(group: Switching, partition: int) -> list[tuple[int, bytes | None, bytes | None]]:
    """The forecasts of a partition by workers that are restarted where the model records say."""
    records = [r for r in made(group.fleet.broker, INPUT) if r.partition == partition]
    history = list(models(group, partition).values())
    ends = [model.offset for model in history[1:]] + [len(records)]
    fleet = Fleet(memory_broker(PARTITIONS), group.runtimes["A"])
    producer, begin = fleet.broker.producer(), 0
    for model, end in zip(history, ends, strict=True):
        for subject in list(fleet.alive):
            fleet.stop(subject)
        fleet.runtime = next(
            r for r in group.runtimes.values() if r.manifest.version == model.version
        )
        fleet.start()
        for record in records[begin:end]:
            producer.produce(INPUT, partition, [record.key], [record.value])
        producer.flush(1.0)
        fleet.settle()
        begin = end
    return [one for one in outputs(fleet.broker)[OUTPUT] if one[0] == partition]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=events)
def test_any_history_of_champions_keeps_what_the_rule_says(
    life: tuple[MemoryFolder, dict[str, str]],
    runtimes: dict[str, Runtime],
    delivery: str,
    events: list[tuple[object, ...]],
) -> None:
    group = new_group(life, runtimes, delivery)
    fleet = group.fleet
    group.promote("A")
    group.begin()
    for event in events:
        group.happen(event)
        group.check()
    for subject in list(fleet.alive):
        fleet.kill(subject)
    fleet.broker.faults.clear()
    group.begin()
    for _ in range(300):
        group.turn()
        if fleet.is_done():
            break
    group.check()
    group.check_answers(delivery)
    for partition in range(PARTITIONS):
        visible = [r for r in made(fleet.broker, OUTPUT) if r.partition == partition]
        labels = [json.loads(r.value or b"")["model"] for r in visible]
        assert never_falls(labels, [m.model for m in models(group, partition).values()])
        if delivery == "exactly_once":
            found = [one for one in outputs(fleet.broker)[OUTPUT] if one[0] == partition]
            assert found == replayed(group, partition)
