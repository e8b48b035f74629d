"""A running worker switches to a newer champion of the registry: no record is lost or answered
twice, the memory is that of a restore, and a crash at any step changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.errors import StateError
from eddycast.service.model.runtime import Runtime, StepResult
from eddycast.service.registry.registry import Registry
from eddycast.service.state.changelog import MODEL_KEY
from eddycast.service.state.model_record import ModelRecord
from tests.support.bundles import START_MS, Walk, listed
from tests.support.crashing import Fleet, Rows, held, outputs, stored
from tests.support.registry import MemoryFolder, promoted, published
from tests.support.running import (
    AT_ONCE,
    CHANGELOG,
    INPUT,
    Worker,
    documents,
    made,
    memory_broker,
    send,
)

MINUTE, STREAMS = 60_000, 6
WALKS = {
    "A": listed(Walk(hidden=4)),
    "B": listed(Walk(hidden=4, spread=2.0), latent="beef" * 4),
    "C": listed(Walk()),
}


class Site:
    """A registry with three versions, the first of which is champion, and a fleet that serves
    it."""

    def __init__(self, root: Path, partitions: int = 2) -> None:
        self.folder = MemoryFolder()
        self.registry = Registry(self.folder, "walk")
        self.versions = {n: published(self.registry, root / n, w) for n, w in WALKS.items()}
        self.partitions = partitions
        self.promote("A")
        self.fleet = self.new_fleet()

    def new_fleet(self, **options: object) -> Fleet:
        tuning = replace(AT_ONCE, **options)  # type: ignore[arg-type]
        broker = memory_broker(self.partitions)
        return Fleet(broker, self.runtime("A"), tuning, registry=self.registry)

    def runtime(self, name: str) -> Runtime:
        return self.registry.load(self.versions[name])

    def promote(self, name: str) -> int:
        return promoted(self.registry, self.versions[name]).change.number

    def label(self, name: str) -> str:
        return f"walk@{self.versions[name][:6]}"

    def look(self) -> None:
        for subject in self.fleet.alive:
            subject.look()

    def models(self, partition: int) -> list[ModelRecord]:
        """All model records of a partition, in order."""
        records = [r for r in made(self.fleet.broker, CHANGELOG) if r.partition == partition]
        values = [r.value or b"" for r in records if r.key == MODEL_KEY]
        return [ModelRecord.model_validate_json(value[22:]) for value in values]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def feed(fleet: Fleet, minutes: range, streams: int = STREAMS, partitions: int = 2) -> None:
    send(
        fleet.broker,
        [
            (
                s % partitions,
                b"stream-%d" % s,
                {"timestamp": START_MS + t * MINUTE, "value": 10.0 * s + t * 1.5 % 7},
            )
            for t in minutes
            for s in range(streams)
        ],
    )


def since(fleet: Fleet, minute: int) -> list[dict[str, Any]]:
    """The forecasts for readings from this minute on."""
    return [d for d in documents(fleet.broker) if d["timestamp"] >= START_MS + minute * MINUTE]


def answers(fleet: Fleet) -> list[tuple[str, int]]:
    return sorted((d["stream"], d["timestamp"]) for d in documents(fleet.broker))


def undated(rows: Rows) -> Rows:
    """Rows without the generation that wrote them, which is not part of the memory."""
    return {
        p: {stream: row[:22] + row[26:] for stream, row in found.items()}
        for p, found in rows.items()
    }


def every(minutes: int, streams: int = STREAMS) -> list[tuple[str, int]]:
    """Keys of all readings, each once."""
    return sorted(
        (f"stream-{s}", START_MS + t * MINUTE) for t in range(minutes) for s in range(streams)
    )


def bare(site: Site) -> Registry:
    """A registry with the same versions, of which none is champion."""
    folder = MemoryFolder()
    folder.files |= {n: content for n, content in site.folder.files.items() if "/versions/" in n}
    return Registry(folder, "walk")


def by_hand(site: Site, names: list[str], **options: object) -> Fleet:
    """The oracle: a fleet that is stopped and started again with each champion in turn."""
    registry = bare(site)
    fleet = site.new_fleet(**options)
    fleet.registry = registry
    for n, name in enumerate(names):
        promoted(registry, site.versions[name])
        for subject in list(fleet.alive):
            fleet.stop(subject)
        fleet.start()
        feed(fleet, range(4 * n, 4 * n + 4))
        fleet.settle()
    return fleet


def replayed(site: Site, names: list[str]) -> Fleet:
    """The oracle for switches amid records: the same input, with a restart in each partition's
    recorded places."""
    records = {
        p: [r for r in made(site.fleet.broker, INPUT) if r.partition == p]
        for p in range(site.partitions)
    }
    starts = {p: [m.offset for m in site.models(p)] + [len(r)] for p, r in records.items()}
    registry = bare(site)
    fleet = site.new_fleet()
    fleet.registry = registry
    producer = fleet.broker.producer()
    for n, name in enumerate(names):
        promoted(registry, site.versions[name])
        for subject in list(fleet.alive):
            fleet.stop(subject)
        fleet.start()
        for p, all_records in records.items():
            for record in all_records[starts[p][n] : starts[p][n + 1]]:
                producer.produce(INPUT, p, [record.key], [record.value])
        producer.flush(1.0)
        fleet.settle()
    return fleet


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_switches_amid_records_give_the_bits_of_a_replay_with_the_recorded_switches(
    site: Site, delivery: str
) -> None:
    names = ["A", "B", "A", "C", "B"]
    site.fleet = fleet = site.new_fleet(delivery=delivery, max_poll_records=7)
    subject = fleet.start()
    for n, name in enumerate(names):
        feed(fleet, range(6 * n, 6 * n + 6))
        subject.turn(2)
        if n:
            site.promote(name)
            subject.look()
    fleet.settle()
    assert fleet.started == 1 and subject.value("model_generation") == len(names)
    assert answers(fleet) == every(6 * len(names))
    for partition in range(site.partitions):
        assert [model.generation for model in site.models(partition)] == [1, 2, 3, 4, 5]
    expected = replayed(site, names)
    assert outputs(fleet.broker) == outputs(expected.broker)
    assert stored(fleet.broker) == stored(expected.broker)
    assert held(subject) == held(expected.alive[0])


def test_a_switch_between_records_gives_the_bytes_of_a_restart(site: Site) -> None:
    names = ["A", "B", "A", "C"]
    fleet = site.fleet
    subject = fleet.start()
    for n, name in enumerate(names):
        if n:
            site.promote(name)
            subject.look()
            subject.turn(2)
        feed(fleet, range(4 * n, 4 * n + 4))
        fleet.settle()
    assert outputs(fleet.broker) == outputs(by_hand(site, names).broker)


def test_a_stream_stays_warm_and_starts_with_a_zero_latent(site: Site) -> None:
    subject = site.fleet.start()
    feed(site.fleet, range(5))
    site.fleet.settle()
    site.promote("B")
    subject.look()
    subject.turn(2)
    arena = subject.pipeline._store.arena
    rows = arena.gather(arena.slots(1, [b"stream-1"]))
    assert rows["count"][0, 0] == 5 and not rows["hidden"].any()
    feed(site.fleet, range(5, 6))
    site.fleet.settle()
    assert all(document["warm"] for document in since(site.fleet, 5))
    assert {document["model"] for document in since(site.fleet, 5)} == {site.label("B")}
    for partition in (0, 1):
        last = site.models(partition)[-1]
        assert {part.name: part.since for part in last.parts} == {"core": 0, "latent": 2}


def test_partitions_without_records_are_switched_as_well(site: Site) -> None:
    subject = site.fleet.start()
    subject.turn(2)
    site.promote("B")
    subject.look()
    subject.turn(2)
    assert [[m.generation for m in site.models(p)] for p in (0, 1)] == [[1, 2], [1, 2]]
    assert subject.pipeline._delivery.partitions.serving == [0, 1]
    feed(site.fleet, range(3))
    site.fleet.settle()
    assert {document["model"] for document in documents(site.fleet.broker)} == {site.label("B")}


STEPS = ["switch.2", "switch.3", "reading", *(f"commit.{step}" for step in range(1, 8))]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("place", STEPS)
def test_a_crash_at_any_step_of_the_switch_changes_nothing(
    site: Site, place: str, delivery: str
) -> None:
    """A worker that has served dies when it reaches the step after the switch was due."""
    site.fleet = fleet = site.new_fleet(delivery=delivery)
    victim = fleet.start()
    feed(fleet, range(4))
    fleet.settle()
    site.promote("B")
    victim.look()
    victim.pipeline._delivery._reached._place = place
    fleet.turn(4)
    assert not fleet.alive, "it crashed"
    feed(fleet, range(4, 8))
    fleet.settle()
    expected = by_hand(site, ["A", "B"], delivery=delivery)
    assert answers(fleet) == every(8)
    assert outputs(fleet.broker) == outputs(expected.broker)
    assert stored(fleet.broker) == stored(expected.broker)
    assert undated(stored(fleet.broker)) == undated(held(fleet.alive[0]))


@pytest.mark.parametrize(
    "fault", ["produce", "flush", "send_offsets", "transaction", "answer", "begin", "committed"]
)
def test_a_switch_whose_commit_fails_is_made_later(site: Site, fault: str) -> None:
    subject = site.fleet.start()
    feed(site.fleet, range(4))
    site.fleet.settle()
    site.promote("B")
    subject.look()
    site.fleet.broker.fail_next(fault, 2)
    site.fleet.turn(6)
    feed(site.fleet, range(4, 8))
    site.fleet.settle()
    assert outputs(site.fleet.broker) == outputs(by_hand(site, ["A", "B"]).broker)
    assert [m.generation for m in site.models(0)] == [1, 2]


def test_a_champion_that_does_not_load_is_refused_and_the_former_one_serves_on(site: Site) -> None:
    subject = site.fleet.start()
    feed(site.fleet, range(2))
    site.fleet.settle()
    site.promote("B")
    name = f"models/walk/versions/{site.versions['B']}/step.onnx"
    whole = site.folder.files[name]
    site.folder.files[name] = b"damaged"
    for _ in range(3):
        subject.look()
    feed(site.fleet, range(2, 4))
    site.fleet.settle()
    assert subject.value("model_refused_total") == 1
    assert {document["model"] for document in documents(site.fleet.broker)} == {site.label("A")}
    site.folder.files[name] = whole
    assert site.promote("C") == 3
    subject.look()
    subject.turn(2)
    assert subject.value("model_generation") == 3


@pytest.mark.parametrize("failure", ["raises", "not finite"])
def test_a_champion_that_fails_on_live_rows_is_refused_before_anything_changes(
    site: Site, failure: str
) -> None:
    subject = site.fleet.start()
    feed(site.fleet, range(3))
    site.fleet.settle()
    before = held(subject)
    site.promote("B")
    subject.look()
    assert subject.follower is not None and subject.follower.loaded is not None
    runtime = subject.follower.loaded.runtime
    step = runtime.step

    def broken(values: Any, stamps: Any, state: Any) -> StepResult:
        if failure == "raises":
            raise RuntimeError("an operator failed")
        result = step(values, stamps, state)
        return replace(result, one_step=result.one_step * np.nan)

    runtime.step = broken  # type: ignore[method-assign, assignment]
    subject.turn(2)
    assert subject.value("model_refused_total") == 1 and subject.value("model_generation") == 1
    assert held(subject) == before and [m.generation for m in site.models(0)] == [1]
    feed(site.fleet, range(3, 4))
    site.fleet.settle()
    assert {document["model"] for document in documents(site.fleet.broker)} == {site.label("A")}


def test_a_registry_that_is_gone_or_damaged_or_restored_is_not_followed(site: Site) -> None:
    site.promote("B")
    subject = site.fleet.start()
    subject.turn(2)
    site.folder.is_gone = True
    subject.look()
    site.folder.is_gone = False
    newest = site.folder.files.pop("models/walk/changes/00000002.json")
    subject.look()
    site.promote("C")  # another second change
    subject.look()
    site.folder.files["models/walk/changes/00000002.json"] = newest[:40]
    subject.look()
    feed(site.fleet, range(2))
    site.fleet.settle()
    problems = ("unavailable", "restored", "damaged")
    counted = [subject.value("registry_failures_total", problem=problem) for problem in problems]
    assert counted == [1, 2, 1]
    assert {document["model"] for document in documents(site.fleet.broker)} == {site.label("B")}


def test_a_restored_registry_is_healed_by_a_number_above(site: Site) -> None:
    for name in ("B", "A", "C"):
        site.promote(name)
    subject = site.fleet.start()
    feed(site.fleet, range(2))
    site.fleet.settle()
    for number in (3, 4):
        site.folder.files.pop(f"models/walk/changes/{number:08}.json")
    for started in (False, True):
        if started:
            site.fleet.stop(subject)
            subject = site.fleet.start()
            with pytest.raises(StateError, match=r"generation 4.*newest change is 2") as caught:
                subject.turn(4)
            assert "--above 4" in caught.value.action
            site.fleet.alive.remove(subject)
            subject.pipeline.close()
    promoted(site.registry, site.versions["A"], above=4)
    subject = site.fleet.start()
    feed(site.fleet, range(2, 4))
    site.fleet.settle()
    assert subject.value("model_generation") == 5 and answers(site.fleet) == every(4)
    assert {document["model"] for document in since(site.fleet, 2)} == {site.label("A")}


def two_that_serve_one_partition_each(fleet: Fleet) -> tuple[Worker, Worker]:
    workers = fleet.start(), fleet.start()
    feed(fleet, range(2))
    fleet.settle()
    fleet.turn(4)
    assert [len(one.pipeline._delivery.partitions.serving) for one in workers] == [1, 1]
    return workers


def test_a_worker_that_sees_the_change_late_switches_when_it_is_given_a_newer_partition(
    site: Site,
) -> None:
    fleet = site.fleet
    late, early = two_that_serve_one_partition_each(fleet)
    site.promote("B")
    early.look()
    feed(fleet, range(2, 4))
    fleet.settle()
    assert (late.value("model_generation"), early.value("model_generation")) == (1, 2)
    fleet.stop(early)
    feed(fleet, range(4, 6))
    fleet.settle()
    assert late.value("model_generation") == 2 and late.pipeline._delivery.partitions.serving == [
        0,
        1,
    ]
    assert answers(fleet) == every(6)
    for partition in (0, 1):
        generations = [model.generation for model in site.models(partition)]
        assert generations == [1, 2]


def test_a_worker_that_refuses_a_change_does_not_hold_partitions_that_are_ahead(
    site: Site,
) -> None:
    fleet = site.fleet
    late, early = two_that_serve_one_partition_each(fleet)
    site.promote("B")
    early.look()
    fleet.turn(3)
    site.folder.files[f"models/walk/versions/{site.versions['B']}/step.onnx"] = b"damaged"
    late.look()
    assert late.value("model_refused_total") == 1
    fleet.stop(early)
    with pytest.raises(StateError, match=r"generation 2.*change 2: .*step\.onnx") as caught:
        for _ in range(6):
            late.turn()
    assert caught.value.exit_code == 6


def test_a_group_that_served_a_bundle_goes_on_with_a_registry_of_higher_numbers(
    site: Site,
) -> None:
    fleet = site.fleet
    fleet.registry = None
    fleet.runtime = site.runtime("A")
    fleet.start()
    feed(fleet, range(3))
    fleet.settle()
    fleet.stop(fleet.alive[0])
    fleet.registry = site.registry
    site.promote("B")
    fleet.start().turn(3)
    feed(fleet, range(3, 4))
    fleet.settle()
    assert [model.generation for model in site.models(0)] == [0, 2]
    assert all(document["warm"] for document in since(fleet, 3))
    assert {document["model"] for document in since(fleet, 3)} == {site.label("B")}


def test_a_switch_is_measured_until_all_partitions_are_served(site: Site) -> None:
    fleet = site.fleet
    worker = fleet.start()
    worker.turn(3)
    assert worker.value("switch_seconds_count") == 0
    site.promote("B")
    site.look()
    worker.turn(6)
    assert worker.value("switch_seconds_count") == 1
    assert worker.value("model_generation") == 2
