"""Another model on the rows of a group: what it keeps, what is refused, and who is behind."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.bundle import layout_id_of
from eddycast.service.errors import StateError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import PartitionBatch
from eddycast.service.state.changelog import MODEL_KEY, RowCodec, Rows
from tests.support.bundles import START_MS, Walk, listed, write_bundle
from tests.support.crashing import Fleet, stored
from tests.support.running import CHANGELOG, INPUT, committed, documents, made, memory_broker, send

MINUTE = 60_000
CONTRACT_1 = Path(__file__).parents[1] / "support" / "contract1"


def loaded(path: Path, walk: Walk) -> Runtime:
    write_bundle(path, walk)
    return load_runtime(path)


def feed(fleet: Fleet, minutes: range, streams: int = 4, partitions: int = 1) -> None:
    send(
        fleet.broker,
        [
            (
                s % partitions,
                b"stream-%d" % s,
                {"timestamp": START_MS + t * MINUTE, "value": 10.0 * s + t % 7},
            )
            for t in minutes
            for s in range(streams)
        ],
    )


def restart(fleet: Fleet, runtime: Runtime) -> None:
    """Stop all workers and start one with this bundle."""
    for subject in list(fleet.alive):
        fleet.stop(subject)
    fleet.runtime = runtime
    fleet.start().turn(3)


def read(fleet: Fleet, runtime: Runtime, partition: int = 0) -> Rows:
    """A partition of the changelog as this bundle reads it."""
    records = [r for r in made(fleet.broker, CHANGELOG) if r.partition == partition]
    offsets = np.array([r.offset for r in records], np.int64)
    batch = PartitionBatch(
        CHANGELOG,
        partition,
        [r.key for r in records],
        [r.value for r in records],
        offsets * 0,
        offsets,
    )
    return RowCodec(runtime.manifest.state).decode(batch)


def row(fleet: Fleet, stream: bytes, partition: int = 0) -> dict[str, list[float]]:
    """The tensors of a stream in the memory of the only worker."""
    arena = fleet.alive[0].pipeline._store.arena
    found = arena.gather(arena.slots(partition, [stream]))
    return {name: tensor[0].tolist() for name, tensor in found.items()}


def test_the_first_commit_records_the_model_under_generation_0(tmp_path: Path) -> None:
    runtime = loaded(tmp_path, listed(Walk(hidden=4)))
    fleet = Fleet(memory_broker(), runtime)
    fleet.start()
    feed(fleet, range(3))
    fleet.settle()
    rows = read(fleet, runtime)
    model = rows.recorded.model
    assert model is not None and rows.marker is not None
    assert (model.generation, rows.marker.generation, set(rows.generations.tolist())) == (0, 0, {0})
    assert (model.version, model.model) == (runtime.manifest.version, runtime.manifest.label)
    assert {part.name: part.since for part in model.parts} == {"core": 0, "latent": 0}
    restart(fleet, runtime)
    assert [r.key for r in made(fleet.broker, CHANGELOG)].count(MODEL_KEY) == 1, "nothing changed"


def test_trained_again_it_keeps_the_core_and_starts_with_a_zero_latent(tmp_path: Path) -> None:
    old = loaded(tmp_path / "old", listed(Walk(hidden=4)))
    new = loaded(tmp_path / "new", listed(Walk(hidden=4, spread=2.0), latent="beef" * 4))
    fleet = Fleet(memory_broker(), old)
    fleet.start()
    feed(fleet, range(5))
    fleet.settle()
    before = row(fleet, b"stream-1")
    assert any(before["hidden"])
    restart(fleet, new)
    after = row(fleet, b"stream-1")
    assert not any(after.pop("hidden")) and all(after[name] == before[name] for name in after)
    model = read(fleet, new).recorded.model
    assert model is not None and (model.generation, model.version) == (1, new.manifest.version)
    assert {part.name: part.since for part in model.parts} == {"core": 0, "latent": 1}
    marker = read(fleet, new).marker
    assert (
        marker is not None
        and marker.generation == 1
        and marker.next_offset == committed(fleet.broker)[0]
    )
    feed(fleet, range(5, 6))
    fleet.settle()
    assert all(document["warm"] for document in documents(fleet.broker)[-4:])
    assert set(read(fleet, new).generations.tolist()) == {1}


def test_a_silent_stream_loses_what_was_not_kept_all_the_way_back(tmp_path: Path) -> None:
    """A -> B -> A: stream-3 has readings under A alone, so its latent state is two changes old."""
    a = loaded(tmp_path / "a", listed(Walk(hidden=4)))
    b = loaded(tmp_path / "b", listed(Walk(hidden=4, spread=2.0), latent="beef" * 4))
    fleet = Fleet(memory_broker(), a)
    fleet.start()
    feed(fleet, range(4))
    fleet.settle()
    silent = row(fleet, b"stream-3")
    restart(fleet, b)
    feed(fleet, range(4, 6), streams=3)
    fleet.settle()
    restart(fleet, a)
    found = row(fleet, b"stream-3")
    assert not any(found.pop("hidden")) and all(found[name] == silent[name] for name in found)
    assert not any(row(fleet, b"stream-0")["hidden"]), "B's weights made it"
    model = read(fleet, a).recorded.model
    assert model is not None and model.generation == 2
    assert {part.name: part.since for part in model.parts} == {"core": 0, "latent": 2}


def test_rows_of_another_layout_are_taken_over_part_by_part(tmp_path: Path) -> None:
    plain = loaded(tmp_path / "plain", listed(Walk()))
    wide = loaded(tmp_path / "wide", listed(Walk(hidden=6)))
    fleet = Fleet(memory_broker(), plain)
    fleet.start()
    feed(fleet, range(4))
    fleet.settle()
    core = row(fleet, b"stream-2")
    for runtime in (wide, plain, wide):
        restart(fleet, runtime)
        found = row(fleet, b"stream-2")
        assert not any(found.pop("hidden", [])) and found == core
    feed(fleet, range(4, 6), streams=2)
    fleet.settle()
    restart(fleet, plain)
    assert row(fleet, b"stream-2") == core and fleet.alive[0].value("streams") == 4


CHANGES = {
    "interval": Walk(interval_ms=15 * MINUTE),
    "kind": Walk(fields={"kind": "counter"}),
    "channels": Walk(channels=("b", "a"), targets=("a", "b")),
    "memory": Walk(spread=3.0),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("parts", [True, False], ids=["parts", "no parts"])
def test_the_same_shapes_with_another_meaning_are_refused_by_name(
    change: str, parts: bool, tmp_path: Path
) -> None:
    walk = Walk(channels=("a", "b"), targets=("a", "b")) if change == "channels" else Walk()
    other = CHANGES[change]
    if parts:
        walk, other = listed(walk), listed(other, core="beef" * 4)
    old, new = loaded(tmp_path / "old", walk), loaded(tmp_path / "new", other)
    assert layout_id_of(old.manifest.state) == layout_id_of(new.manifest.state)
    fleet = Fleet(memory_broker(), old)
    fleet.start()
    value = (
        {"timestamp": START_MS, "value": 1.0}
        if change != "channels"
        else {"timestamp": START_MS, "value": [1, 2]}
    )
    send(fleet.broker, [(0, b"stream-0", value)])
    fleet.settle()
    before = stored(fleet.broker)
    with pytest.raises(StateError, match=r"partition \d") as caught:
        restart(fleet, new)
    for manifest in (old.manifest, new.manifest):
        assert (
            manifest.label in caught.value.what
            and f"{manifest.interval_ms:,} ms" in caught.value.what
        )
    assert caught.value.exit_code == 6 and "group" in caught.value.action
    assert stored(fleet.broker) == before and len(made(fleet.broker)) == 1


def test_in_a_rolling_restart_who_is_behind_ends_and_who_is_ahead_serves(tmp_path: Path) -> None:
    old = loaded(tmp_path / "old", listed(Walk(hidden=4)))
    new = loaded(tmp_path / "new", listed(Walk(hidden=4, spread=2.0), latent="beef" * 4))
    fleet = Fleet(memory_broker(2), old)
    first = fleet.start()
    feed(fleet, range(3), partitions=2)
    fleet.settle()
    fleet.runtime = new
    second = fleet.start()
    fleet.turn(4)
    feed(fleet, range(3, 5), partitions=2)
    fleet.settle()
    taken = set(second.pipeline._delivery.partitions.committed)
    assert len(taken) == 1 and set(first.pipeline._delivery.partitions.committed) == {0, 1} - taken
    fleet.stop(second)
    with pytest.raises(StateError, match=rf"{new.manifest.label} .*\(generation 1\)") as caught:
        for _ in range(5):
            first.turn()
    assert old.manifest.label in caught.value.what and new.manifest.label in caught.value.action
    fleet.alive.remove(first)
    first.pipeline.close()
    third = fleet.start()
    feed(fleet, range(5, 6), partitions=2)
    fleet.settle()
    assert set(third.pipeline._delivery.partitions.committed) == {0, 1}
    offsets = [(r.partition, json.loads(r.value or b"")["timestamp"]) for r in made(fleet.broker)]
    assert len(offsets) == 24, "each reading was answered once"
    generations = [read(fleet, new, partition).recorded.model for partition in (0, 1)]
    assert [model and model.generation for model in generations] == [1, 1]


def test_a_start_with_the_former_bundle_is_a_change_like_any_other(tmp_path: Path) -> None:
    """Half of a rolling restart, taken back: whoever starts is ahead of what was recorded
    before."""
    old = loaded(tmp_path / "old", listed(Walk(hidden=4)))
    new = loaded(tmp_path / "new", listed(Walk(hidden=4, spread=2.0), latent="beef" * 4))
    fleet = Fleet(memory_broker(2), old)
    first = fleet.start()
    fleet.runtime = new
    second = fleet.start()
    feed(fleet, range(4), partitions=2)
    fleet.settle()
    fleet.turn(4)
    assert second.pipeline._delivery.partitions.committed
    fleet.stop(second)
    fleet.alive.remove(first)
    first.pipeline.close()
    restart(fleet, old)
    feed(fleet, range(4, 5), partitions=2)
    fleet.settle()
    assert set(fleet.alive[0].pipeline._delivery.partitions.committed) == {0, 1}
    assert len(made(fleet.broker)) == 20


@pytest.mark.parametrize(
    "fault", ["produce", "flush", "send_offsets", "transaction", "answer", "begin"]
)
def test_a_change_that_cannot_be_committed_is_made_later_and_nothing_is_produced_before(
    fault: str, tmp_path: Path
) -> None:
    old = loaded(tmp_path / "old", listed(Walk(hidden=4)))
    new = loaded(tmp_path / "new", listed(Walk(hidden=4, spread=2.0), latent="beef" * 4))
    fleet = Fleet(memory_broker(), old)
    fleet.start()
    feed(fleet, range(3))
    fleet.settle()
    fleet.stop(fleet.alive[0])
    feed(fleet, range(3, 4))
    fleet.runtime = new
    fleet.broker.fail_next(fault, 2)
    fleet.start()
    fleet.settle()
    rows = read(fleet, new)
    assert rows.recorded.model is not None and rows.recorded.model.generation == 1
    assert [document["model"] for document in documents(fleet.broker)[12:]] == [
        new.manifest.label
    ] * 4
    assert len(made(fleet.broker)) == 16


def contract_1(fleet: Fleet) -> list[dict[str, object]]:
    """Put a changelog that the first contract's service wrote into the broker, with the input it
    had read; what that service forecast of the next readings."""
    kept = json.loads((CONTRACT_1 / "changelog.json").read_text())
    producer = fleet.broker.producer()

    def decoded(text: str | None) -> bytes | None:
        return None if text is None else base64.b64decode(text)

    for record in kept["records"]:
        value = decoded(record["value"])
        producer.produce(CHANGELOG, record["partition"], [decoded(record["key"])], [value])
    feed_1(fleet, range(5))
    offsets = {int(partition): offset for partition, offset in kept["offsets"].items()}
    fleet.broker.admin().set_group_offsets(fleet.options.group, INPUT, offsets)
    forecasts: list[dict[str, object]] = kept["forecasts"]
    return forecasts


def feed_1(fleet: Fleet, minutes: range) -> None:
    send(
        fleet.broker,
        [
            (
                s % 2,
                b"stream-%d" % s,
                {"timestamp": START_MS + t * MINUTE, "value": 10.0 * s + t % 7},
            )
            for t in minutes
            for s in range(6)
            if s != 5 or t < 3
        ],
    )


def test_a_changelog_of_the_first_contract_is_restored_and_written_on(tmp_path: Path) -> None:
    runtime = load_runtime(CONTRACT_1 / "bundle")
    fleet = Fleet(memory_broker(2), runtime)
    expected = contract_1(fleet)
    fleet.start()
    feed_1(fleet, range(5, 8))
    fleet.settle()
    for found, wanted in zip(documents(fleet.broker), expected, strict=True):
        assert found.keys() - {"anomaly", "expected", "error"} == wanted.keys()
        for name in wanted.keys() - {"model", "produced_at"}:
            if name in ("one_step", "multi_step"):  # written in fewer digits now
                ours, theirs = np.array(found[name], float), np.array(wanted[name], float)
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
            else:
                assert found[name] == wanted[name]
    rows = read(fleet, runtime, 1)
    assert rows.recorded.model is not None and rows.recorded.model.generation == 0
    assert set(rows.streams) == {b"stream-1", b"stream-3", b"stream-5"}
    restart(fleet, runtime)
    assert fleet.alive[0].value("streams") == 6, "rows of both contracts, side by side"
    other = loaded(tmp_path, listed(Walk(spread=3.0)))
    with pytest.raises(StateError, match=f"{runtime.manifest.label} .*{other.manifest.label}"):
        restart(fleet, other)


def test_rows_of_an_unrecorded_model_are_not_guessed_at(tmp_path: Path) -> None:
    fleet = Fleet(memory_broker(2), loaded(tmp_path / "parts", listed(Walk())))
    contract_1(fleet)
    with pytest.raises(StateError, match=rf"partition \d: .*{fleet.runtime.manifest.label}"):
        fleet.start().turn(3)
    fleet = Fleet(memory_broker(2), loaded(tmp_path / "slow", Walk(interval_ms=15 * MINUTE)))
    contract_1(fleet)
    with pytest.raises(StateError, match=r"60,000 ms.* walk@\w+ .*900,000 ms"):
        fleet.start().turn(3)
    assert made(fleet.broker) == []
