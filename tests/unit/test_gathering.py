"""Readings of a step, gathered until it is over, and readings that hold: what is forecast, what is
counted, and what becomes of the rows when the settings change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.errors import SettingsError, StateError
from eddycast.service.migration.editing import rename_stream
from eddycast.service.migration.export import take_export
from eddycast.service.migration.parquet_file import read_export, write_export
from eddycast.service.migration.restore_into_group import ImportOptions, import_rows
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.time import TimeSettings
from tests.support.bundles import RECURRENT, START_MS, TWO_CHANNELS, Walk, write_bundle
from tests.support.crashing import Fleet, outputs, stored
from tests.support.faulty_broker import FaultyBroker
from tests.support.histories import MODELS
from tests.support.running import (
    AT_ONCE,
    DEAD,
    Worker,
    documents,
    errors,
    made,
    memory_broker,
    send,
    worker,
)

MINUTE = 60_000
MEAN = replace(AT_ONCE, aggregate="mean", late="dead_letter")
Reading = tuple[float, Any]  # seconds after START_MS, value


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("walk")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def feed(broker: FaultyBroker, readings: Sequence[Reading], stream: bytes = b"s") -> None:
    send(
        broker,
        [(0, stream, {"timestamp": START_MS + int(at * 1000), "value": v}) for at, v in readings],
    )


def forecasts(broker: FaultyBroker) -> list[tuple[float, Any]]:
    """Minute and value of each."""
    return [((one["timestamp"] - START_MS) / MINUTE, one["value"]) for one in documents(broker)]


def counts(subject: Worker) -> dict[str, float]:
    """Readings by verdict, where there are any."""
    verdicts = (
        "first", "next", "gap", "reset", "set_back", "restart", "second", "late", "duplicate",
        "gathered",
    )  # fmt: skip
    found = {name: subject.value("readings_total", verdict=name) for name in verdicts}
    return {name: count for name, count in found.items() if count}


def test_a_reading_a_second_is_a_forecast_a_minute_of_their_mean(walk: Runtime) -> None:
    broker = memory_broker()
    feed(broker, [(t, float(t)) for t in range(1440)])
    subject = worker(broker, walk, MEAN)
    subject.turn()
    assert forecasts(broker) == [(m, m * 60 + 29.5) for m in range(23)]
    assert counts(subject) == {"first": 1, "next": 22, "gathered": 24 * 59}


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [("last", 2.0), ("mean", 4.0), ("sum", 12.0), ("min", 1.0), ("max", 9.0)],
)
def test_what_is_forecast(walk: Runtime, aggregate: str, expected: float) -> None:
    """Readings may arrive in another order than their stamps; missing ones do not count."""
    broker = memory_broker()
    feed(broker, [(0, 1.0), (40, 2.0), (20, 9.0), (30, None), (60, 0.0)])
    worker(broker, walk, replace(MEAN, aggregate=aggregate)).turn()
    assert forecasts(broker) == [(0.0, expected)]


def test_the_mean_of_equal_readings_is_that_reading(walk: Runtime) -> None:
    broker = memory_broker()
    feed(broker, [*((t, 0.1) for t in range(3)), (60, 0.0)])
    assert sum([0.1] * 3) / 3 != 0.1
    worker(broker, walk, MEAN).turn()
    assert forecasts(broker) == [(0.0, 0.1)]


@pytest.mark.parametrize(("aggregate", "expected"), [("last", 7.0), ("mean", 6.0), ("sum", 12.0)])
def test_a_correction_counts_and_a_repetition_does_not(
    walk: Runtime, aggregate: str, expected: float
) -> None:
    broker = memory_broker()
    feed(broker, [(0, 5.0), (0, 5.0), (0, 7.0), (60, 0.0)])
    subject = worker(broker, walk, replace(MEAN, aggregate=aggregate))
    subject.turn()
    assert forecasts(broker) == [(0.0, expected)]
    assert counts(subject) == {"first": 1, "duplicate": 1, "gathered": 1}


def test_channels_are_gathered_each_by_itself(tmp_path: Path) -> None:
    write_bundle(tmp_path, TWO_CHANNELS)
    broker = memory_broker()
    feed(broker, [(0, [1.0, None]), (20, [3.0, 8.0]), (60, [0.0, 0.0])])
    worker(broker, load_runtime(tmp_path), MEAN).turn()
    assert forecasts(broker) == [(0.0, [2.0, 8.0])]


def test_a_slot_closes_by_the_time_of_its_partition(walk: Runtime) -> None:
    """It closes when that has passed its end by `close_after_s`, to the millisecond; later readings
    are late."""
    broker, options = memory_broker(), replace(MEAN, close_after_ms=5_000)
    subject = worker(broker, walk, options)
    feed(broker, [(0, 1.0), (50, 3.0)])
    feed(broker, [(64.999, 0.0)], b"other")
    subject.turn(2)
    assert forecasts(broker) == []
    feed(broker, [(65, 0.0)], b"other")
    subject.turn()
    assert forecasts(broker) == [(0.0, 2.0)]
    feed(broker, [(55, 9.0), (70, 4.0)])
    subject.turn()
    assert [errors(one.headers)["error"] for one in made(broker, DEAD)] == [b"late"]
    assert forecasts(broker) == [(0.0, 2.0)]


def test_a_stream_behind_the_others_has_as_much_time_as_they_have(walk: Runtime) -> None:
    broker = memory_broker()
    subject = worker(broker, walk, replace(MEAN, close_after_ms=0))
    for t in range(0, 300, 10):
        feed(broker, [(t, 1.0)], b"live")
        feed(broker, [(t - 601.5, float(t))], b"behind")
    subject.turn()
    own = [one for one in documents(broker) if one["stream"] == "behind"]
    assert [one["value"] for one in own] == [0.0, *(m * 60 + 35.0 for m in range(4))]
    assert "late" not in counts(subject)


def test_slots_that_close_at_one_record_are_in_the_order_of_their_streams(walk: Runtime) -> None:
    broker = memory_broker()
    for name in (b"c", b"a", b"b"):
        feed(broker, [(0, 1.0)], name)
    feed(broker, [(1_000, 1.0)], b"d")
    worker(broker, walk, MEAN).turn()
    assert [record.key for record in made(broker)] == [b"a", b"b", b"c"]


def test_a_clock_that_is_set_back_is_accepted_after_three_late_slots(walk: Runtime) -> None:
    """Any number of late readings of one slot are one."""
    broker = memory_broker()
    back = [(60 + t, 5.0) for t in range(20)]
    feed(broker, [(600, 1.0), (660, 2.0), *back, (120, 6.0), (180, 7.0), (240, 8.0)])
    subject = worker(broker, walk, MEAN)
    subject.turn()
    assert forecasts(broker) == [(10.0, 1.0), (11.0, 2.0), (3.0, 7.0)]
    assert counts(subject) == {"first": 1, "next": 1, "set_back": 1, "late": 21}


def test_a_tombstone_takes_the_open_slot_along(walk: Runtime) -> None:
    broker = memory_broker()
    feed(broker, [(0, 1.0)])
    broker.producer().produce("observations", 0, [b"s"], [None])
    feed(broker, [(1_000, 1.0)], b"other")
    feed(broker, [(1_000, 4.0), (1_060, 4.0)])
    worker(broker, walk, MEAN).turn()
    assert [one["value"] for one in documents(broker)] == [4.0]


def test_streams_that_have_no_room_are_refused_and_the_others_gathered(walk: Runtime) -> None:
    broker = memory_broker()
    for t in (0, 20, 40, 60):
        feed(broker, [(t, float(t))], b"a")
        feed(broker, [(t + 1, 1.0)], b"b")
    subject = worker(broker, walk, replace(MEAN, max_streams=1))
    subject.turn()
    assert forecasts(broker) == [(0.0, 20.0)]
    assert [errors(one.headers)["error"] for one in made(broker, DEAD)] == [b"too_many_streams"] * 4
    assert counts(subject) == {"first": 1, "gathered": 2}


@pytest.mark.parametrize("place", ["commit.3", "commit.5", "restoring"])
def test_a_slot_that_is_open_survives_a_crash(walk: Runtime, place: str) -> None:
    """A worker dies in the middle of a slot, and so does the next one."""

    def written(place: str | None) -> tuple[object, object]:
        fleet = Fleet(memory_broker(), walk, MEAN)
        fleet.start()
        for t in range(0, 400, 7):
            feed(fleet.broker, [(t, float(t))])
            if t % 5 == 0 and place is not None:
                fleet.start(place)
            fleet.turn()
            if t % 3 == 0 and place is not None and fleet.alive:
                fleet.kill(fleet.alive[0])
        fleet.settle()
        return outputs(fleet.broker), stored(fleet.broker)

    assert written(place) == written(None)


def test_rows_of_first_readings_are_taken_over(walk: Runtime) -> None:
    """They are rewritten in the new layout from then on; the next worker reads both."""
    broker = memory_broker()
    feed(broker, [(0, 1.0), (60, 2.0)])
    feed(broker, [(0, 1.0)], b"silent")
    fleet = Fleet(broker, walk, replace(AT_ONCE, late="dead_letter"))
    fleet.start()
    fleet.settle()
    fleet.stop(fleet.alive[0])
    fleet.options = MEAN
    for minute in (2, 3, 4):
        fleet.start()
        feed(broker, [(minute * 60, 3.0), (minute * 60 + 30, 5.0)])
        fleet.settle()
        fleet.stop(fleet.alive[0])
    own = [one for one in documents(broker) if one["stream"] == "s"]
    assert [(one["timestamp"] - START_MS) // MINUTE for one in own] == [0, 1, 2, 3]
    assert [one["value"] for one in own] == [1.0, 2.0, 4.0, 4.0] and own[-1]["warm"]


def test_rows_with_open_slots_are_not_served_without_them(walk: Runtime) -> None:
    broker = memory_broker()
    feed(broker, [(0, 1.0)])
    subject = worker(broker, walk, MEAN)
    subject.turn()
    subject.finish()
    with pytest.raises(StateError, match=r"time\.aggregate as before"):
        worker(broker, walk, AT_ONCE, name="1").turn(3)


def test_another_aggregate_finishes_the_slot_that_is_open(walk: Runtime) -> None:
    broker = memory_broker()
    fleet = Fleet(broker, walk, MEAN)
    fleet.start()
    feed(broker, [(0, 1.0), (20, 8.0)])
    fleet.settle()
    fleet.stop(fleet.alive[0])
    fleet.options = replace(MEAN, aggregate="max")
    fleet.start()
    feed(broker, [(30, 2.0), (60, 0.0)])
    fleet.settle()
    assert forecasts(broker) == [(0.0, 8.0)]


def test_another_model_finishes_the_slot_that_is_open(tmp_path: Path) -> None:
    """One that keeps the core, and takes over nothing else."""
    for name in ("A", "B"):
        write_bundle(tmp_path / name, MODELS[name])
    broker = memory_broker()
    fleet = Fleet(broker, load_runtime(tmp_path / "A"), MEAN)
    fleet.start()
    feed(broker, [(-60, 1.0), (0, 1.0), (20, 8.0)])
    fleet.settle()
    fleet.stop(fleet.alive[0])
    fleet.runtime = load_runtime(tmp_path / "B")
    fleet.start()
    feed(broker, [(30, 3.0), (60, 0.0)])
    fleet.settle()
    assert forecasts(broker) == [(-1.0, 1.0), (0.0, 4.0)]
    assert documents(broker)[-1]["model"] != documents(broker)[0]["model"]


def test_open_slots_are_exported_and_imported(walk: Runtime, tmp_path: Path) -> None:
    time = TimeSettings(aggregate="mean")
    old = Settings(time=time)
    new = Settings(time=time, kafka=KafkaSettings(group="new"))
    broker = memory_broker()
    fleet = Fleet(broker, walk, MEAN)
    fleet.start()
    feed(broker, [(0, 1.0), (20, 8.0)])
    fleet.settle()
    fleet.stop(fleet.alive[0])
    write_export(take_export(broker, old, walk.manifest), tmp_path / "rows.parquet")
    exported = read_export(tmp_path / "rows.parquet", walk.manifest, time)
    import_rows(broker, new, walk.manifest, exported, ImportOptions())
    other = Fleet(broker, walk, replace(MEAN, group="new"))
    other.start()
    feed(broker, [(30, 3.0), (60, 0.0)])
    other.settle()
    assert forecasts(broker) == [(0.0, 4.0)]


def test_a_row_that_was_renamed_with_other_settings_is_restored(walk: Runtime) -> None:
    """The layout that the command writes is described where it is new."""
    broker = memory_broker()
    fleet = Fleet(broker, walk, AT_ONCE)
    feed(broker, [(0, 1.0), (60, 2.0)])
    fleet.settle()
    fleet.stop(fleet.alive[0])
    rename_stream(broker, Settings(time=TimeSettings(hold_s=600)), walk.manifest, "s", "t")
    fleet.start()
    feed(broker, [(120, 3.0)], b"t")
    fleet.settle()
    last = documents(broker)[-1]
    assert last["stream"] == "t" and last["expected"] is not None


VALVE = [(0, 1.0), (1200, 0.0), (5400, 1.0)]


def test_a_reading_holds_until_the_next_one(walk: Runtime) -> None:
    """A valve that reports changes is warm on a model of one minute, whose longest gap is 8."""
    bare, held = memory_broker(), memory_broker()
    for broker, hold in ((bare, None), (held, 7_200_000)):
        feed(broker, VALVE)
        subject = worker(broker, walk, replace(AT_ONCE, hold_ms=hold))
        subject.turn()
    assert [one["warm"] for one in documents(bare)] == [False, False, False]
    assert [one["warm"] for one in documents(held)] == [False, True, True]
    assert subject.value("held_steps_total") == 19 + 69
    assert subject.value("imputed_steps_total") == 0


def test_a_held_reading_is_what_a_reading_a_minute_would_be(walk: Runtime) -> None:
    held, sent = memory_broker(), memory_broker()
    feed(held, VALVE)
    worker(held, walk, replace(AT_ONCE, hold_ms=7_200_000)).turn()
    feed(sent, [(m * 60, float(not 20 <= m < 90)) for m in range(91)])
    worker(sent, walk).turn()
    at = (0, 20, 90)
    expected = [record.value for record in made(sent)]
    assert [record.value for record in made(held)] == [expected[m] for m in at]


@pytest.mark.parametrize("aggregate", ["first", "last"])
def test_a_reading_holds_no_longer_than_it_may(walk: Runtime, aggregate: str) -> None:
    """Then steps are missing, up to the longest gap, and after that the stream begins anew."""
    broker = memory_broker()
    late = 60 * (1 + 5 + 9)
    feed(broker, [(0, 1.0), (60 * 8, 2.0), (60 * 8 + late, 3.0), (60 * 100, 4.0)])
    options = replace(AT_ONCE, hold_ms=5 * MINUTE, aggregate=aggregate)
    subject = worker(broker, walk, options)
    subject.turn()
    assert subject.value("held_steps_total") == 5 and subject.value("imputed_steps_total") == 2
    assert subject.value("readings_total", verdict="gap") == 1
    assert subject.value("readings_total", verdict="reset") >= 1


def test_a_missing_reading_holds_nothing(walk: Runtime) -> None:
    broker = memory_broker()
    feed(broker, [(0, 1.0), (60, None), (300, 2.0)])
    subject = worker(broker, walk, replace(AT_ONCE, hold_ms=10 * MINUTE))
    subject.turn()
    assert subject.value("held_steps_total") == 0 and subject.value("imputed_steps_total") == 3


def test_rows_without_a_held_reading_are_taken_over(walk: Runtime) -> None:
    broker = memory_broker()
    fleet = Fleet(broker, walk, AT_ONCE)
    for options, at in ((AT_ONCE, 0), (replace(AT_ONCE, hold_ms=10 * MINUTE), 300), (AT_ONCE, 600)):
        fleet.options = options
        subject = fleet.start()
        feed(broker, [(at, 1.0)])
        fleet.settle()
        assert subject.value("held_steps_total") == 0
        fleet.stop(subject)
    assert len(made(broker)) == 3


def test_forecasts_are_due_at_every_nth_step_held_ones_included(walk: Runtime) -> None:
    broker = memory_broker()
    feed(broker, VALVE)
    worker(broker, walk, replace(AT_ONCE, hold_ms=7_200_000, forecast_every=7)).turn()
    assert [one["multi_step"] is not None for one in documents(broker)] == [False, True, True]


@pytest.mark.parametrize(
    ("walk_of", "time", "match"),
    [
        (Walk(fields={"kind": "counter"}), {"aggregate": "sum"}, "time.aggregate = last"),
        (Walk(), {"hold_s": 59}, "shorter than a step"),
        (Walk(), {"hold_s": 60 * 9_993}, "10,000"),
    ],
)
def test_settings_that_do_not_fit_the_model(
    tmp_path: Path, walk_of: Walk, time: dict[str, Any], match: str
) -> None:
    write_bundle(tmp_path, walk_of)
    hold = time.get("hold_s")
    options = replace(
        AT_ONCE, aggregate=time.get("aggregate"), hold_ms=None if hold is None else hold * 1000
    )
    with pytest.raises(SettingsError, match=match):
        worker(memory_broker(), load_runtime(tmp_path), options)


def test_headers_of_one_record_and_gathered_readings_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match=r"output\.headers"):
        load_settings(["--time.aggregate=mean", "--output.headers=traceparent"], {})
