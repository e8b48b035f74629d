"""Rows are exported and imported into another group with more partitions;
forecasts stay the same."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from eddycast.service.broker.kafka.partitioning import PARTITIONERS
from eddycast.service.bundle import Manifest
from eddycast.service.delivery.topic_checks import CHANGELOG
from eddycast.service.errors import DataError, StateError, TopicMissing
from eddycast.service.migration.describe import describe
from eddycast.service.migration.export import Exported, take_export
from eddycast.service.migration.parquet_file import KEY, read_export, write_export
from eddycast.service.migration.restore_into_group import Imported, ImportOptions, import_rows
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import ROW_PREFIX
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec
from eddycast.service.state.model_record import initial_record
from eddycast.service.state.stream_time import Clock
from tests.support.bundles import RECURRENT, START_MS, Walk, listed, write_bundle
from tests.support.crashing import Fleet, stored
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import AT_ONCE, INPUT, OUTPUT, committed, made, running, send, worker

MINUTE = 60_000
NAMES = [b"boiler-%d" % n for n in range(12)]
OLD, NEW = Settings(), Settings(kafka=KafkaSettings(group="new"))
NEW_OPTIONS = replace(AT_ONCE, group="new")


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def broker_of(partitions: int) -> FaultyBroker:
    broker = FaultyBroker()
    for topic in (INPUT, OUTPUT, "dead-letters"):
        broker.admin().create_topic(topic, partitions)
    broker.admin().create_topic("eddycast-changelog", partitions, config=CHANGELOG)
    return broker


def feed(
    broker: FaultyBroker, minutes: range, partitions: int, partitioner: str = "murmur2"
) -> None:
    """Send one reading per minute and stream, some missing, to the partition of its producer."""
    place = PARTITIONERS[partitioner]
    sent: list[tuple[int, bytes, Any]] = []
    for t in minutes:
        for s, name in enumerate(NAMES):
            if (t + s) % 5:
                value = {
                    "timestamp": START_MS + t * MINUTE + s * 1000,
                    "value": 10.0 * s + (t * 7 + s) % 11,
                }
                sent.append((place(name) % partitions, name, value))
    send(broker, sent)


def served(
    runtime: Runtime, partitions: int = 2, minutes: int = 9, partitioner: str = "murmur2"
) -> Fleet:
    """A service that has processed everything and was stopped."""
    fleet = Fleet(broker_of(partitions), runtime)
    fleet.start()
    feed(fleet.broker, range(minutes), partitions, partitioner)
    fleet.settle()
    fleet.stop(fleet.alive[0])
    return fleet


def export(broker: FaultyBroker, manifest: Manifest, path: Path) -> Exported:
    """Export through a file."""
    write_export(take_export(broker, OLD, manifest), path)
    return read_export(path, manifest, TimeSettings())


def bring(fleet: Fleet, exported: Exported, settings: Settings = NEW, **options: Any) -> Imported:
    return import_rows(
        fleet.broker, settings, fleet.runtime.manifest, exported, ImportOptions(**options)
    )


def grow(broker: FaultyBroker, partitions: int = 3) -> None:
    for topic in (INPUT, OUTPUT, "dead-letters"):
        broker.grow(topic, partitions)


def forecasts(broker: FaultyBroker) -> dict[bytes, list[bytes]]:
    """Return the outputs of each stream, in order."""
    found: dict[bytes, list[bytes]] = defaultdict(list)
    for record in made(broker, OUTPUT):
        found[record.key or b""].append(record.value or b"")
    return {
        name: sorted(own, key=lambda value: json.loads(value)["timestamp"])
        for name, own in found.items()
    }


@pytest.mark.parametrize("partitioner", list(PARTITIONERS))
def test_a_grown_service_goes_on_as_if_it_had_always_been_so(
    recurrent: Runtime, tmp_path: Path, partitioner: str
) -> None:
    fleet = served(recurrent, 2, 9, partitioner)
    before = {name: row for rows in stored(fleet.broker).values() for name, row in rows.items()}
    exported = export(fleet.broker, recurrent.manifest, tmp_path / "rows.parquet")
    grow(fleet.broker)
    done = bring(fleet, exported)
    after = stored(fleet.broker, "new-changelog")
    assert done.partitioner == partitioner and done.streams == len(NAMES)
    assert {name: row for rows in after.values() for name, row in rows.items()} == before
    assert all(
        PARTITIONERS[partitioner](name) % 3 == p for p, rows in after.items() for name in rows
    )
    assert {p for p, rows in after.items() if rows} == {0, 1, 2}
    assert committed(fleet.broker, "new") == done.offsets == committed(fleet.broker) | {2: 0}

    fleet.options = NEW_OPTIONS
    feed(fleet.broker, range(9, 20), 3, partitioner)
    fleet.settle()
    always = Fleet(broker_of(3), recurrent)
    always.start()
    for minutes in (range(9), range(9, 20)):
        feed(always.broker, minutes, 3, partitioner)
        always.settle()
    assert forecasts(fleet.broker) == forecasts(always.broker)
    assert stored(fleet.broker, "new-changelog") == stored(always.broker)


def test_the_same_partitions_keep_their_streams_and_stream_time(
    recurrent: Runtime, tmp_path: Path
) -> None:
    fleet = served(recurrent)
    exported = export(fleet.broker, recurrent.manifest, tmp_path / "rows.parquet")
    done = bring(fleet, exported)
    assert done.partitioner is None and done.offsets == committed(fleet.broker)
    assert stored(fleet.broker, "new-changelog") == stored(fleet.broker)
    again = take_export(fleet.broker, NEW, recurrent.manifest)
    assert again.header.parts == exported.header.parts


def test_every_bit_passes_the_file(tmp_path: Path) -> None:
    manifest = write_bundle(tmp_path / "bundle", RECURRENT)
    rng, n = np.random.default_rng(3), 50
    prefix = np.frombuffer(rng.bytes(n * ROW_PREFIX.itemsize), ROW_PREFIX)
    tensors = {
        spec.name: np.frombuffer(rng.bytes(n * spec.row_bytes), spec.dtype).reshape(n, *spec.shape)
        for spec in manifest.state
    }
    codec = RowCodec(manifest.state)
    broker = broker_of(1)
    streams = [f"ström-{i}" for i in range(n)]
    producer = broker.producer()
    producer.produce(
        "eddycast-changelog", 0, [s.encode() for s in streams], codec.encode(prefix, tensors)
    )
    about = [
        codec.encode_model(initial_record(manifest, codec.layout)),
        codec.encode_marker(Marker(7, n, Clock(5, 1))),
    ]
    producer.produce("eddycast-changelog", 0, [MODEL_KEY, MARKER_KEY], about)
    broker.admin().set_group_offsets("eddycast", INPUT, {0: 7})
    found = export(broker, manifest, tmp_path / "rows.parquet")
    assert codec.encode(found.prefix, found.tensors) == codec.encode(prefix, tensors)
    assert [stream.decode() for stream in found.streams] == streams


def test_an_export_beside_a_running_service_is_cut_at_a_commit(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    before = stored(fleet.broker)
    codec = RowCodec(recurrent.manifest.state)
    name, value = next(iter(before[0].items()))
    # rows of a commit whose marker lies beyond the end that was fixed
    half = fleet.broker.producer()
    half.produce("eddycast-changelog", 0, [name, b"another"], [value[:-4] + b"\1\1\1\1", value])
    half.produce("eddycast-changelog", 0, [NAMES[1]], [None])
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    rows = codec.encode(exported.prefix, exported.tensors)
    assert dict(zip(exported.streams, rows, strict=True)) == before[0] | before[1]


def test_every_export_beside_a_running_service_is_one_of_its_commits(recurrent: Runtime) -> None:
    """Rows equal those of a service that has read exactly the records up to the offsets."""
    broker = broker_of(2)
    subject = worker(broker, recurrent, replace(AT_ONCE, poll_timeout_s=0.01, max_poll_records=7))
    exports, parts = list[Exported](), None
    with running(subject):
        for t in range(0, 60, 3):
            feed(broker, range(t, t + 3), 2)
            while (taken := take_export(broker, OLD, recurrent.manifest)).header.parts == parts:
                time.sleep(0.001)  # the service has not committed since
            parts = taken.header.parts
            exports.append(taken)
    codec = RowCodec(recurrent.manifest.state)
    cuts = [
        {part.partition: part.next_offset for part in exported.header.parts} for exported in exports
    ]
    for exported, cut in list(zip(exports, cuts, strict=True))[4::5]:
        same = Fleet(broker_of(2), recurrent)
        records = [r for r in made(broker, INPUT) if r.offset < cut.get(r.partition, 0)]
        send(same.broker, [(r.partition, r.key or b"", r.value or b"") for r in records])
        same.settle()
        rows = dict(
            zip(exported.streams, codec.encode(exported.prefix, exported.tensors), strict=True)
        )
        assert rows == {
            name: row for rows in stored(same.broker).values() for name, row in rows.items()
        }


def test_a_file_that_cannot_be_written_is_named(recurrent: Runtime, tmp_path: Path) -> None:
    exported = take_export(served(recurrent).broker, OLD, recurrent.manifest)
    with pytest.raises(DataError, match="cannot be written"):
        write_export(exported, tmp_path / "nowhere" / "rows.parquet")


def test_offsets_and_changelog_must_agree(
    recurrent: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eddycast.service.migration.export._SETTLE_S", 0.0)
    fleet = served(recurrent)
    admin, true = fleet.broker.admin(), committed(fleet.broker)
    for wrong in (true[0] - 1, true[0] + 1):
        admin.set_group_offsets("eddycast", INPUT, {0: wrong})
        with pytest.raises(StateError, match=f"partition 0: .*offset {wrong} .*{true[0]}"):
            take_export(fleet.broker, OLD, recurrent.manifest)
    with pytest.raises(TopicMissing, match="new-changelog"):
        take_export(fleet.broker, NEW, recurrent.manifest)


def test_files_that_are_not_exports_are_refused(recurrent: Runtime, tmp_path: Path) -> None:
    manifest = recurrent.manifest
    good = tmp_path / "good.parquet"
    export(served(recurrent).broker, manifest, good)
    bad = tmp_path / "bad.parquet"
    with pytest.raises(DataError, match=r"bad\.parquet"):
        read_export(bad, manifest, TimeSettings())
    for content in (b"", b"hello", good.read_bytes()[:-50]):
        bad.write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.parquet"):
            read_export(bad, manifest, TimeSettings())
    frame, header = pl.read_parquet(good), pl.read_parquet_metadata(good)[KEY]
    frame.write_parquet(bad)
    with pytest.raises(DataError, match=r"bad\.parquet"):
        read_export(bad, manifest, TimeSettings())
    for damaged in (
        frame[1:],
        frame.drop("state.hidden"),
        pl.concat([frame[1:], frame[1:2]]),
        frame.cast({"phase": int}),
    ):
        damaged.write_parquet(bad, metadata={KEY: header})
        with pytest.raises(DataError, match=r"bad\.parquet"):
            read_export(bad, manifest, TimeSettings())
    frame.write_parquet(bad, metadata={KEY: json.dumps({"format": 3})})
    with pytest.raises(DataError, match=r"bad\.parquet"):
        read_export(bad, manifest, TimeSettings())
    other = write_bundle(tmp_path / "other", Walk())
    with pytest.raises(StateError, match=rf"good.parquet: .*{manifest.label}.*{other.label}"):
        read_export(good, other, TimeSettings())


def test_a_group_and_a_changelog_that_are_not_new_are_refused(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    with pytest.raises(StateError, match=r"eddycast .*observations"):
        bring(fleet, exported, OLD)
    fleet.start()
    fleet.turn(3)
    with pytest.raises(StateError, match=r"eddycast .*1 member"):
        bring(fleet, exported, OLD)
    with pytest.raises(StateError, match=r"exported .*eddycast .*1 member"):
        bring(fleet, exported)
    fleet.stop(fleet.alive[0])
    bring(fleet, exported)
    for partition in committed(fleet.broker, "new"):
        del fleet.broker.group(INPUT, "new").committed[partition]
    with pytest.raises(StateError, match=r"new-changelog .*partition 0") as caught:
        bring(fleet, exported)
    assert "--delete --topic new-changelog" in caught.value.action


def test_an_export_that_is_overtaken_is_refused(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    feed(fleet.broker, range(9, 11), 2)
    fleet.settle()
    fleet.stop(fleet.alive[0])
    with pytest.raises(StateError, match=r"partition \d: .*eddycast .*offset \d+"):
        bring(fleet, exported)
    assert fleet.broker.admin().partitions("new-changelog") is None, "nothing was written"
    assert bring(fleet, exported, force=True).streams == len(NAMES)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_import_is_never_served(
    recurrent: Runtime, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    fleet = served(recurrent)
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    monkeypatch.setattr("eddycast.service.migration.new_group._TRANSACTION_BYTES", 400)
    if after == 3:
        fleet.broker.fail_next("commit")
    else:
        commits, end = [0], fleet.broker.faults.strike

        def strike(what: str) -> None:
            commits[0] += what == "transaction"
            if commits[0] > after:
                fleet.broker.fail_next(what)
            end(what)

        monkeypatch.setattr(fleet.broker.faults, "strike", strike)
    with pytest.raises(StateError, match="import") as caught:
        bring(fleet, exported)
    assert "--delete --topic new-changelog" in caught.value.action
    monkeypatch.undo()
    with pytest.raises(StateError, match="new-changelog"):
        bring(fleet, exported)
    marked = {
        record.partition
        for record in made(fleet.broker, "new-changelog")
        if record.key == MARKER_KEY
    }
    assert marked == {0, 1} and committed(fleet.broker, "new") == {}, (
        "so a worker refuses each, whichever it is given"
    )
    fleet.options = NEW_OPTIONS
    subject = fleet.start()
    with pytest.raises(StateError, match=r"partition \d: .*(interrupted|no offset.*marker)"):
        subject.turn(3)
    fleet.kill(subject)
    fleet.broker.delete_topic("new-changelog")
    assert bring(fleet, exported).streams == len(NAMES)
    fleet.start()
    fleet.turn(3)


def test_unread_records_of_streams_that_moved_are_refused(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    feed(fleet.broker, range(9, 10), 2)  # they are not read before the topic grows
    grow(fleet.broker)
    with pytest.raises(StateError, match=rf"{INPUT} partition \d .*\b\d+ unread"):
        bring(fleet, exported)
    assert bring(fleet, exported, force=True).partitioner == "murmur2"


def test_unread_records_of_streams_that_stayed_are_accepted(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    grow(fleet.broker)
    feed(fleet.broker, range(9, 10), 3)
    done = bring(fleet, exported)
    assert done.offsets[2] == 0
    fleet.options = NEW_OPTIONS
    fleet.settle()


def test_the_start_of_the_group_can_be_chosen(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    feed(fleet.broker, range(9, 10), 2)
    ends = {log.partition: log.end for log in fleet.broker.logs(INPUT)}
    assert bring(fleet, exported, begin="latest").offsets == ends
    early = Settings(kafka=KafkaSettings(group="early"))
    assert bring(fleet, exported, early, begin="earliest").offsets == {0: 0, 1: 0}


def test_a_recreated_input_is_refused(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    fleet.broker.delete_topic(INPUT)
    fleet.broker.admin().create_topic(INPUT, 2)
    fleet.broker.group(INPUT, "eddycast").committed.clear()
    with pytest.raises(StateError, match=rf"{INPUT} partition \d .*offset 0, .*\d") as caught:
        bring(fleet, exported)
    assert "--from" in caught.value.action


def test_custom_partitioners_are_refused(recurrent: Runtime) -> None:
    fleet = Fleet(broker_of(2), recurrent)
    fleet.start()
    reading = {"timestamp": START_MS, "value": 1.0}
    send(fleet.broker, [(n % 2, name, reading) for n, name in enumerate(NAMES)])
    fleet.settle()
    fleet.stop(fleet.alive[0])
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    grow(fleet.broker)
    with pytest.raises(StateError, match=r"murmur2 .*crc32"):
        bring(fleet, exported)
    with pytest.raises(StateError, match=r"crc32 .*2"):
        bring(fleet, exported, partitioner="crc32")
    assert bring(fleet, exported, partitioner="crc32", force=True).partitioner == "crc32"


def test_the_partitioner_cannot_be_inferred_from_one_partition(recurrent: Runtime) -> None:
    fleet = served(recurrent, 1)
    exported = take_export(fleet.broker, OLD, recurrent.manifest)
    grow(fleet.broker)
    with pytest.raises(StateError, match=r"murmur2 .*crc32") as caught:
        bring(fleet, exported)
    assert "--partitioner" in caught.value.action
    assert bring(fleet, exported, partitioner="murmur2").partitioner == "murmur2"


def test_partitions_are_those_of_kafkas_own_producers() -> None:
    """Known answers: Java's `Utils.murmur2`, as in Kafka's own tests."""
    assert PARTITIONERS["murmur2"](b"21") == -973932308 & 0x7FFFFFFF
    assert PARTITIONERS["murmur2"](b"foobar") == -790332482 & 0x7FFFFFFF


def test_a_stream_is_described(recurrent: Runtime) -> None:
    fleet = served(recurrent)
    found = describe(fleet.broker, OLD, recurrent.manifest, "boiler-7")
    rows = stored(fleet.broker)
    partition = PARTITIONERS["murmur2"](b"boiler-7") % 2
    record = [r for r in made(fleet.broker, "eddycast-changelog") if r.key == b"boiler-7"][-1]
    assert (found["partition"], found["offset"]) == (partition, record.offset)
    assert found["last_timestamp"] == START_MS + 7 * MINUTE + 7000
    assert found["last_time"] == "2023-11-14T00:07:07.000Z"
    assert found["observations"] == 7
    assert [t["name"] for t in found["tensors"]] == ["last", "count", "time", "hidden"]
    assert found["tensors"][1] == {
        "name": "count",
        "dtype": "float32",
        "shape": [1],
        "norm": 7.0,
        "nonfinite": 0,
    }
    assert found["marker"]["next_offset"] == committed(fleet.broker)[partition]
    assert found["marker"]["streams"] == len(rows[partition])


def test_similar_names_are_suggested_for_a_stream_without_a_row(
    recurrent: Runtime, tmp_path: Path
) -> None:
    fleet = served(recurrent)
    with pytest.raises(StateError, match=r"'boiler7'.* 12 streams in 2 partitions") as caught:
        describe(fleet.broker, OLD, recurrent.manifest, "boiler7")
    assert "boiler-7" in caught.value.action
    other = write_bundle(tmp_path / "other", Walk())
    with pytest.raises(StateError, match=rf"{recurrent.manifest.label}.*{other.label}"):
        describe(fleet.broker, OLD, other, "boiler-7")


@pytest.fixture
def trained_again(tmp_path: Path) -> tuple[Runtime, Runtime]:
    """Two models with the same core and different weights."""
    walks = listed(Walk(hidden=4)), listed(Walk(hidden=4, spread=2.0), latent="beef" * 4)
    for name, walk in zip(("old", "new"), walks, strict=True):
        write_bundle(tmp_path / name, walk)
    return load_runtime(tmp_path / "old"), load_runtime(tmp_path / "new")


@pytest.mark.parametrize("exports", ["old", "new"])
def test_another_model_takes_exported_rows_over_part_by_part(
    trained_again: tuple[Runtime, Runtime], exports: str, tmp_path: Path
) -> None:
    """Rows are the same whether adopted at export or at import."""
    old, new = trained_again
    fleet = served(old)
    file = tmp_path / "rows.parquet"
    write_export(take_export(fleet.broker, OLD, (old if exports == "old" else new).manifest), file)
    exported, as_they_were = (
        read_export(file, new.manifest, TimeSettings()),
        take_export(fleet.broker, OLD, old.manifest),
    )
    assert as_they_were.tensors["hidden"].any() and not exported.tensors["hidden"].any()
    for name in ("last", "count", "time"):
        assert exported.tensors[name].tobytes() == as_they_were.tensors[name].tobytes()
    fleet.runtime, fleet.options = new, NEW_OPTIONS
    bring(fleet, exported)
    subject = fleet.start()
    subject.turn(3)
    assert subject.value("streams") == len(NAMES)
    again = take_export(fleet.broker, NEW, new.manifest)
    assert again.header.rows_of == exported.header.rows_of or exports == "old"
    assert dict(zip(again.streams, again.tensors["last"].tolist(), strict=True)) == dict(
        zip(exported.streams, exported.tensors["last"].tolist(), strict=True)
    )


def test_an_export_of_another_core_is_refused_by_name(
    trained_again: tuple[Runtime, Runtime], tmp_path: Path
) -> None:
    old, _ = trained_again
    other = write_bundle(
        tmp_path / "other", listed(Walk(hidden=4, interval_ms=900_000), core="beef" * 4)
    )
    fleet, file = served(old), tmp_path / "rows.parquet"
    with pytest.raises(
        StateError, match=f"{old.manifest.label} .*60,000 ms.* {other.label} .*900,000 ms"
    ):
        take_export(fleet.broker, OLD, other)
    export(fleet.broker, old.manifest, file)
    with pytest.raises(
        StateError, match=f"{old.manifest.label} .*60,000 ms.* {other.label} .*900,000 ms"
    ):
        read_export(file, other, TimeSettings())


def test_an_export_of_the_first_format_is_read_by_its_own_layout_without_parts(
    recurrent: Runtime, tmp_path: Path
) -> None:
    fleet, file = served(recurrent), tmp_path / "rows.parquet"
    export(fleet.broker, recurrent.manifest, file)
    header = json.loads(pl.read_parquet_metadata(file)[KEY])
    del header["rows_of"]
    pl.read_parquet(file).write_parquet(
        file, metadata={KEY: json.dumps(header | {"format": 1, "contract": 1})}
    )
    found = read_export(file, recurrent.manifest, TimeSettings())
    assert len(found.streams) == len(NAMES) and found.tensors["hidden"].any()
    with pytest.raises(StateError, match=f"{recurrent.manifest.label} "):
        read_export(file, write_bundle(tmp_path / "parts", listed(RECURRENT)), TimeSettings())


def test_a_stream_is_described_with_what_a_bundle_keeps_of_it(
    trained_again: tuple[Runtime, Runtime],
) -> None:
    old, new = trained_again
    fleet = served(old)
    for runtime, kept, zeros in ((old, ["core", "latent"], []), (new, ["core"], ["latent"])):
        found = describe(fleet.broker, OLD, runtime.manifest, "boiler-7")
        assert (found["model"], found["bundle"]) == (old.manifest.label, runtime.manifest.label)
        assert (found["generation"], found["kept"], found["from_zeros"]) == (0, kept, zeros)
        assert found["marker"]["generation"] == 0
