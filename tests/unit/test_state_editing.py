"""One stream is removed or renamed while its group is stopped; other rows stay unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from eddycast.service.broker.kafka.partitioning import PARTITIONERS
from eddycast.service.errors import StateError, TopicMissing
from eddycast.service.migration.editing import forget_stream, rename_stream
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.settings import Settings
from tests.support.bundles import RECURRENT, START_MS, write_bundle
from tests.support.crashing import Fleet, stored
from tests.support.running import INPUT, committed, documents, memory_broker, send

MINUTE = 60_000
NAMES = [b"boiler-%d" % n for n in range(8)]
SETTINGS = Settings()


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def feed(
    fleet: Fleet, minutes: range, names: list[bytes] = NAMES, partitioner: str = "murmur2"
) -> None:
    partitions, place = len(fleet.broker.logs(INPUT)), PARTITIONERS[partitioner]
    sent = [
        (
            place(name) % partitions,
            name,
            {"timestamp": START_MS + t * MINUTE, "value": float(t * 7 % 5)},
        )
        for t in minutes
        for name in names
    ]
    send(fleet.broker, sent)


def served(runtime: Runtime, partitions: int = 3, partitioner: str = "murmur2") -> Fleet:
    fleet = Fleet(memory_broker(partitions), runtime)
    fleet.start()
    feed(fleet, range(6), partitioner=partitioner)
    fleet.settle()
    fleet.stop(fleet.alive[0])
    return fleet


def all_rows(fleet: Fleet) -> dict[bytes, bytes]:
    return {name: row for rows in stored(fleet.broker).values() for name, row in rows.items()}


def test_a_forgotten_stream_restarts_and_the_others_continue(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    before, offsets = all_rows(fleet), committed(fleet.broker)
    held = forget_stream(fleet.broker, SETTINGS, recurrent.manifest, "boiler-3")
    assert held == [PARTITIONERS["murmur2"](b"boiler-3") % 3]
    assert all_rows(fleet) == {name: row for name, row in before.items() if name != b"boiler-3"}
    assert committed(fleet.broker) == offsets
    subject = fleet.start()
    feed(fleet, range(6, 7))
    fleet.settle()
    assert subject.value("readings_total", verdict="first") == 1
    assert subject.value("readings_total", verdict="next") == 7


@pytest.mark.parametrize("partitioner", list(PARTITIONERS))
def test_a_renamed_stream_goes_on_wherever_its_new_name_belongs(
    recurrent: Runtime, partitioner: str
) -> None:
    fleet = served(recurrent, partitioner=partitioner)
    row = all_rows(fleet)[b"boiler-3"]
    last, home = "boiler-3", PARTITIONERS[partitioner](b"boiler-3") % 3
    for target in range(3):  # each partition once, the own one too
        new = next(
            n
            for n in map("kiln-{}".format, range(99))
            if PARTITIONERS[partitioner](n.encode()) % 3 == target
        )
        done = rename_stream(fleet.broker, SETTINGS, recurrent.manifest, last, new)
        assert (done.before, done.after) == (home, target)
        assert stored(fleet.broker)[target][new.encode()] == row and last.encode() not in all_rows(
            fleet
        )
        home, last = target, new
    subject = fleet.start()
    feed(
        fleet,
        range(6, 7),
        [*(name for name in NAMES if name != b"boiler-3"), last.encode()],
        partitioner,
    )
    fleet.settle()
    assert subject.value("readings_total", verdict="next") == 8
    assert [one["warm"] for one in documents(fleet.broker) if one["stream"] == last] == [True]


def test_a_group_that_serves_is_left_alone(
    recurrent: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = served(recurrent)
    before = stored(fleet.broker)
    fleet.start().turn()
    for edit in (
        lambda: forget_stream(fleet.broker, SETTINGS, recurrent.manifest, "boiler-3"),
        lambda: rename_stream(fleet.broker, SETTINGS, recurrent.manifest, "boiler-3", "kiln"),
    ):
        with pytest.raises(StateError, match="has 1 member"):
            edit()
    fleet.stop(fleet.alive[0])
    answers = iter([0, 1])
    monkeypatch.setattr(
        "eddycast.service.broker.memory.admin.MemoryAdmin.members",
        lambda self, group: next(answers),
    )
    with pytest.raises(StateError, match="has 1 member"):
        forget_stream(fleet.broker, SETTINGS, recurrent.manifest, "boiler-3")
    assert stored(fleet.broker) == before, (
        "it joined while the records were written: they are aborted"
    )


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("boiler-x", "kiln", "'boiler-x'"),
        ("boiler-3", "boiler-4", "'boiler-4'"),
        ("boiler-3", "boiler-3", "'boiler-3'"),
        ("boiler-3", "", "''"),
        ("boiler-3", "a\tb", r"'a\\tb'"),
    ],
)
def test_impossible_renames_are_refused(recurrent: Runtime, old: str, new: str, what: str) -> None:
    fleet = served(recurrent)
    before = stored(fleet.broker)
    with pytest.raises(StateError, match=what):
        rename_stream(fleet.broker, SETTINGS, recurrent.manifest, old, new)
    assert stored(fleet.broker) == before


def test_an_unknown_partitioner_must_be_named(recurrent: Runtime) -> None:
    fleet = Fleet(memory_broker(2), recurrent)
    fleet.start()
    by_hand = {"timestamp": START_MS, "value": 1.0}
    send(fleet.broker, [(n % 2, name, by_hand) for n, name in enumerate(NAMES)])
    fleet.settle()
    fleet.stop(fleet.alive[0])
    with pytest.raises(StateError, match="'kiln'") as caught:
        rename_stream(fleet.broker, SETTINGS, recurrent.manifest, "boiler-3", "kiln")
    assert "--partitioner" in caught.value.action
    done = rename_stream(fleet.broker, SETTINGS, recurrent.manifest, "boiler-3", "kiln", "crc32")
    assert done.after == PARTITIONERS["crc32"](b"kiln") % 2


def test_a_partition_that_was_never_committed_is_not_begun(recurrent: Runtime) -> None:
    fleet = Fleet(memory_broker(2), recurrent)
    fleet.start()
    alone = next(n for n in map(b"s%d".__mod__, range(9)) if PARTITIONERS["murmur2"](n) % 2 == 0)
    feed(fleet, range(2), [alone])
    fleet.settle()
    fleet.stop(fleet.alive[0])
    other = next(
        n for n in map("k{}".format, range(9)) if PARTITIONERS["murmur2"](n.encode()) % 2 == 1
    )
    with pytest.raises(StateError, match="partition 1 of observations"):
        rename_stream(fleet.broker, SETTINGS, recurrent.manifest, alone.decode(), other, "murmur2")


def test_without_a_changelog_there_is_nothing_to_forget(recurrent: Runtime) -> None:
    with pytest.raises(TopicMissing):
        settings = Settings().model_copy(
            update={"topics": Settings().topics.model_copy(update={"changelog": "x"})}
        )
        forget_stream(memory_broker(), settings, recurrent.manifest, "s")
