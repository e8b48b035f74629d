"""A seeded group forecasts as one that has read everything since the first reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.broker.kafka.partitioning import PARTITIONERS
from eddycast.service.delivery.topic_checks import CHANGELOG
from eddycast.service.errors import DataError, StateError
from eddycast.service.history import History, read_history
from eddycast.service.migration.export import take_export
from eddycast.service.migration.seeding import Seeded, SeedOptions, seed
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.settings import Settings
from tests.support.bundles import RECURRENT, START_MS, write_bundle
from tests.support.crashing import Fleet, stored
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import AT_ONCE, INPUT, OUTPUT, committed, made, send
from tests.support.tuning import Tuning

MINUTE, PARTITIONS = 60_000, 3
NAMES = [b"boiler-%d" % n for n in range(7)]
Readings = Sequence[tuple[bytes, int, float | None]]


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def readings(minutes: range, names: Sequence[bytes] = NAMES) -> Readings:
    """One reading a minute and stream in the order of time; some are missing or absent."""
    return [
        (name, START_MS + t * MINUTE + s * 1000, None if (t + s) % 7 == 0 else value(t, s))
        for t in minutes
        for s, name in enumerate(names)
        if (t + 2 * s) % 5
    ]


def value(t: int, s: int) -> float:
    return 10.0 * s + (t * 7 + s) % 11 + 0.1


def home(name: bytes, partitions: int = PARTITIONS) -> int:
    return PARTITIONERS["murmur2"](name) % partitions


def broker_with(sent: Readings) -> FaultyBroker:
    broker = FaultyBroker()
    for topic in (INPUT, OUTPUT, "dead-letters"):
        broker.admin().create_topic(topic, PARTITIONS)
    broker.admin().create_topic("eddycast-changelog", PARTITIONS, config=CHANGELOG)
    feed(broker, sent)
    return broker


def feed(broker: FaultyBroker, sent: Readings) -> None:
    send(broker, [(home(n), n, {"timestamp": at, "value": number}) for n, at, number in sent])


def file_of(sent: Readings, path: Path) -> History:
    """The readings as a file that `eddycast train` could read."""
    rows = [f"{name.decode()},{at},{'' if v is None else v}" for name, at, v in sent]
    path.write_text("\n".join(["stream,timestamp,value", *rows]))
    return read_history(path)


def always(runtime: Runtime, before: Readings, after: Readings) -> Fleet:
    """A service that has read everything, in the order in which it came."""
    fleet = Fleet(broker_with(before), runtime)
    fleet.settle()
    feed(fleet.broker, after)
    fleet.settle()
    return fleet


def seeded(
    broker: FaultyBroker, runtime: Runtime, history: History | None, **options: Any
) -> Seeded:
    options = {"from_topic": True} | options
    return seed(broker, Settings(), runtime, history, SeedOptions(**options))


def forecasts(broker: FaultyBroker, since: int) -> dict[tuple[int, bytes], list[bytes]]:
    """The forecasts of readings since a minute, in their order."""
    found: dict[tuple[int, bytes], list[bytes]] = {}
    for record in made(broker, OUTPUT):
        content, key = record.value or b"", record.key or b""
        stamp = int(content.split(b'"timestamp":')[1].split(b",")[0])
        if stamp >= START_MS + since * MINUTE:
            found.setdefault((record.partition, key), []).append(content)
    return found


@pytest.mark.parametrize(
    ("file_end", "topic_begin"),
    [(9, 9), (0, 0), (20, 20), (14, 5), (9, 12), (20, 0)],
    ids=["both", "topic", "file", "overlap", "hole", "all in both"],
)
def test_the_first_forecasts_are_those_of_a_service_that_has_read_everything(
    recurrent: Runtime, tmp_path: Path, file_end: int, topic_begin: int
) -> None:
    past, future = 20, readings(range(20, 26))
    history = file_of(readings(range(file_end)), tmp_path / "a.csv") if file_end else None
    whole = [r for r in readings(range(past)) if _is_in(r, range(file_end), range(topic_begin, 99))]
    same = always(recurrent, whole, future)

    fleet = Fleet(broker_with(readings(range(topic_begin, past))), recurrent)
    done = seeded(fleet.broker, recurrent, history, partitioner="murmur2")
    assert committed(fleet.broker) == done.offsets == _ends(fleet.broker)
    assert done.from_files + done.from_topic == len(whole)
    assert done.streams == len(NAMES) and done.unreadable == 0
    assert not made(fleet.broker, OUTPUT), "a seed forecasts nothing"
    feed(fleet.broker, future)
    fleet.settle()
    assert forecasts(fleet.broker, past) == forecasts(same.broker, past)
    assert stored(fleet.broker) == stored(same.broker)


def _is_in(reading: tuple[bytes, int, float | None], *spans: range) -> bool:
    return any((reading[1] - START_MS) // MINUTE in span for span in spans)


def _ends(broker: FaultyBroker) -> dict[int, int]:
    return {log.partition: log.end for log in broker.logs(INPUT)}


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_history_gives_the_rows_of_a_service(recurrent: Runtime, data: st.DataObject) -> None:
    """Late readings, repeated ones, gaps that reset a row, streams that fall silent for good,
    records that cannot be read, tombstones."""
    minute = st.integers(0, 400)
    name = st.sampled_from(NAMES[:4])
    past = [
        (one, START_MS + t * MINUTE, value(t, 0))
        for t in sorted(data.draw(st.lists(minute, max_size=60, unique=True)))
        for one in data.draw(st.lists(name, max_size=3, unique=True))
    ]
    event = st.one_of(
        st.tuples(name, minute.map(lambda t: START_MS + (400 + t) * MINUTE), st.floats(0, 9)),
        st.tuples(name, st.just(-1), st.just(0.0)),  # a tombstone
        st.tuples(name, st.just(-2), st.just(0.0)),  # not JSON
    )
    events = data.draw(st.lists(event, max_size=60))
    tuning = replace(AT_ONCE, state_ttl_ms=100 * MINUTE)

    def happen(broker: FaultyBroker) -> None:
        producer = broker.producer()
        for one, at, number in events:
            content = {-1: None, -2: b"{"}.get(at, b'{"timestamp":%d,"value":%r}' % (at, number))
            producer.produce(INPUT, home(one), [one], [content])
        producer.flush(1.0)

    same = Fleet(broker_with(past), recurrent, options=tuning)
    happen(same.broker)
    same.settle()
    fleet = Fleet(broker_with([]), recurrent, options=tuning)
    happen(fleet.broker)
    options = SeedOptions(True, "murmur2")
    seed(fleet.broker, tuning.settings(), recurrent, history_of(past), options)
    assert stored(fleet.broker) == stored(same.broker)
    newest = [_newest(one.broker, tuning, recurrent) for one in (fleet, same)]
    assert newest[0] == newest[1]


def _newest(broker: FaultyBroker, tuning: Tuning, runtime: Runtime) -> dict[int, int]:
    """Stream time by partition, where there is any."""
    parts = take_export(broker, tuning.settings(), runtime.manifest).header.parts
    return {part.partition: part.newest for part in parts if part.newest >= 0}


def history_of(sent: Readings) -> History | None:
    """The same as files would be read."""
    names = sorted({name for name, _, _ in sent})
    own = [[(at, np.nan if v is None else v) for n, at, v in sent if n == name] for name in names]
    stamps = [np.array([at for at, _ in one], np.int64) for one in own]
    values = [np.array([v for _, v in one], np.float64) for one in own]
    return History([n.decode() for n in names], stamps, values, []) if sent else None


def test_a_group_that_is_not_new_is_refused_unless_told(recurrent: Runtime) -> None:
    fleet = always(recurrent, readings(range(20), NAMES[:5]), [])
    with pytest.raises(StateError, match=r"eddycast has 1 member"):
        seeded(fleet.broker, recurrent, None)
    fleet.stop(fleet.alive[0])
    before = stored(fleet.broker)
    with pytest.raises(StateError, match=r"offsets of observations") as caught:
        seeded(fleet.broker, recurrent, None)
    assert "--replace" in caught.value.action
    offsets = committed(fleet.broker)
    for partition in offsets:
        del fleet.broker.group(INPUT, "eddycast").committed[partition]
    with pytest.raises(StateError, match=r"eddycast-changelog holds records") as caught:
        seeded(fleet.broker, recurrent, None)
    assert "--replace" in caught.value.action
    assert stored(fleet.broker) == before and not committed(fleet.broker), "nothing was written"


def test_rows_are_replaced_with_all_that_belongs_to_them(recurrent: Runtime) -> None:
    """Streams that the new history does not have are gone."""
    fleet = always(recurrent, readings(range(20)), [])
    fleet.stop(fleet.alive[0])
    sent = readings(range(30, 50), NAMES[:2])
    seeded(
        fleet.broker, recurrent, history_of(sent), from_topic=False, partitioner="murmur2",
        replace=True,
    )  # fmt: skip
    only = always(recurrent, sent, readings(range(50, 55)))
    feed(fleet.broker, readings(range(50, 55)))
    fleet.settle()
    assert stored(fleet.broker) == stored(only.broker)
    assert forecasts(fleet.broker, 50) == forecasts(only.broker, 50)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interrupted_seed_is_never_served(
    recurrent: Runtime, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The group's offsets may already be those of the new markers."""
    fleet = always(recurrent, readings(range(20)), [])
    fleet.stop(fleet.alive[0])
    before, commits, end = stored(fleet.broker), [0], fleet.broker.faults.strike

    def strike(what: str) -> None:
        commits[0] += what == "transaction"
        if commits[0] > after:
            fleet.broker.fail_next(what)
        end(what)

    monkeypatch.setattr("eddycast.service.migration.new_group._TRANSACTION_BYTES", 400)
    monkeypatch.setattr(fleet.broker.faults, "strike", strike)
    with pytest.raises(StateError, match="interrupted"):
        seeded(fleet.broker, recurrent, None, replace=True)
    monkeypatch.undo()
    subject = fleet.start()
    if after == 0:
        fleet.turn(3)
        assert stored(fleet.broker) == before
    else:
        with pytest.raises(StateError, match=r"partition \d: .*interrupted"):
            subject.turn(3)
    fleet.kill(subject)
    seeded(fleet.broker, recurrent, None, replace=True)
    fleet.start()
    fleet.turn(3)
    assert stored(fleet.broker) == before


def test_streams_that_cannot_be_placed_are_refused(recurrent: Runtime) -> None:
    """Nothing in the input tells which partitioner its producers use."""
    history = history_of(readings(range(5)))
    with pytest.raises(StateError, match=r"'boiler-\d' is unknown") as caught:
        seeded(broker_with([]), recurrent, history)
    assert "--partitioner" in caught.value.action
    broker = broker_with(readings(range(5, 9), NAMES[:4]))
    with pytest.raises(StateError, match="crc32 would put streams"):
        seeded(broker, recurrent, history, partitioner="crc32")
    assert seeded(broker, recurrent, history).streams == len(NAMES), "found from four streams"


def test_a_history_that_no_service_would_take_is_refused(recurrent: Runtime) -> None:
    for names in ([b"\x1b"], [b"x" * 2000]):
        with pytest.raises(DataError, match="cannot name a stream"):
            seeded(broker_with([]), recurrent, history_of(readings(range(5), names)))
    long_ago = [(b"s", 1000 * n, 1.0) for n in range(9)]
    with pytest.raises(DataError, match="no reading that the service would take"):
        seeded(broker_with([]), recurrent, history_of(long_ago))


def test_more_streams_than_fit_are_refused(
    recurrent: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eddycast.service.migration.seed_rows.fitting_streams", lambda _: 3)
    broker = broker_with(readings(range(5)))
    with pytest.raises(StateError, match="more than 3 streams do not fit"):
        seeded(broker, recurrent, None)
    assert not committed(broker)
