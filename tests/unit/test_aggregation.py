"""Readings finer than the grid become, for training, what the service gathers of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.bundle import TrainingRecord
from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.service.history.aggregation import aggregated, as_asked, as_trained
from eddycast.service.history.merging import merge
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.processing.gathering import Arrived, Gathering
from eddycast.service.processing.grid_check import trained_otherwise
from eddycast.service.records import Float64, Int64, Observations, Tombstones
from eddycast.service.sealing.manifest_types import Aggregate
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.store import Store
from eddycast.training.data.options import PanelOptions
from eddycast.training.data.preparation import prepare
from tests.support.bundles import START_MS, TWO_CHANNELS, Walk, write_bundle
from tests.support.running import AT_ONCE, memory_broker, worker

MINUTE = 60_000
AGGREGATES: tuple[Aggregate, ...] = ("last", "mean", "sum", "min", "max")


def seconds(count: int, channels: int = 1, seed: int = 0) -> tuple[Int64, Float64]:
    """Readings about a second apart, with outages and missing values."""
    random = np.random.default_rng(seed)
    apart = random.choice([400, 900, 1_000, 1_000, 1_100, 75_000, 400_000], count,
                          p=[.1, .2, .3, .2, .19, .007, .003])  # fmt: skip
    values = random.normal(20, 5, (count, channels)).round(2)
    values[random.random((count, channels)) < 0.05] = np.nan
    values[::97] = -0.0
    stamps = START_MS + int(random.integers(0, MINUTE)) + apart.cumsum()
    return stamps, values[:, 0] if channels == 1 else values


def history(channels: int = 1) -> History:
    own = [seconds(3_000, channels, seed) for seed in range(3)]
    names = tuple("ab")[:channels] if channels > 1 else ()
    return History(["x", "y", "z"], [s for s, _ in own], [v for _, v in own], [], names)


def served(raw: History, aggregate: Aggregate, path: Path) -> History:
    """The slots that a service has closed, all readings being of one partition."""
    manifest = write_bundle(path, TWO_CHANNELS if raw.channels else Walk())
    time = TimeSettings(aggregate=aggregate, close_after_s=0)
    store = Store(manifest, time)
    gathering = Gathering(store, MINUTE, aggregate, 0)
    readings = merge(raw)
    names = [raw.streams[i].encode() for i in readings.stream.tolist()]
    count = len(readings)
    which = np.arange(count)
    one = Observations(0, names, readings.timestamps, readings.values, which, which)
    arrived = Arrived(
        one, np.ones(count, np.bool_), np.zeros(count, np.bool_), Tombstones([], which[:0])
    )
    (closed,) = gathering.take([arrived]).observations
    own = [np.flatnonzero([s == n.encode() for s in closed.streams]) for n in raw.streams]
    values = [closed.values[at] if raw.channels else closed.values[at, 0] for at in own]
    return History(
        list(raw.streams), [closed.timestamps[at] for at in own], values, [], raw.channels
    )


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_training_sees_the_bits_that_are_served(
    tmp_path: Path, aggregate: Aggregate, channels: int
) -> None:
    raw = history(channels)
    expected = served(raw, aggregate, tmp_path)
    found = aggregated(raw, MINUTE, aggregate)
    for i, name in enumerate(raw.streams):
        closed = len(expected.timestamps[i])
        assert len(found.timestamps[i]) - closed in (0, 1), name  # the last slot may stay open
        assert found.timestamps[i][:closed].tolist() == expected.timestamps[i].tolist()
        assert found.values[i][:closed].tobytes() == expected.values[i].tobytes()
    panel = prepare(raw, PanelOptions(interval="1m", aggregate=aggregate)).panel
    cell = (found.timestamps[0] - panel.timestamps[0]) // MINUTE
    first = found.values[0] if channels == 1 else found.values[0][:, 0]
    assert panel.values[0, cell].tobytes() == first.tobytes()
    assert panel.aggregate == aggregate


def every(apart_ms: int, count: int, start_ms: int = 0) -> History:
    stamps = start_ms + apart_ms * np.arange(count)
    return History(["a"], [stamps], [np.arange(count, dtype=np.float64)], [])


@pytest.mark.parametrize(
    ("raw", "slots"),
    [
        (every(1_000, 120), 2),
        (every(1_000, 119), 1),  # a reading is missing of the second slot
        (every(MINUTE, 5), 5),  # on the grid already
        (every(25_000, 3), 1),  # the next one, at 75 s, is of the next slot
    ],
)
def test_the_last_slot_counts_once_it_is_over(raw: History, slots: int) -> None:
    found = aggregated(raw, MINUTE, "sum")
    assert len(found) == slots
    assert ("left out" in found.notes[-1]) == (len(raw) == 119)


def test_a_stream_that_stops_early_keeps_its_last_slot() -> None:
    early, whole = every(1_000, 70), every(1_000, 600)
    both = History(["a", "b"], early.timestamps + whole.timestamps, early.values + whole.values, [])
    assert [len(stamps) for stamps in aggregated(both, MINUTE, "mean").timestamps] == [2, 10]


def test_first_and_none_change_nothing() -> None:
    raw = every(1_000, 120)
    assert aggregated(raw, MINUTE, "first") is raw and as_asked(raw, None, None) is raw


@pytest.mark.parametrize(
    ("aggregate", "interval", "match"),
    [("mean", None, "no interval"), (None, "1m", "is of --aggregate"), ("mean", "1h", "no slot")],
)
def test_what_cannot_be_gathered(
    aggregate: Aggregate | None, interval: str | None, match: str
) -> None:
    with pytest.raises(DataError, match=match):
        as_asked(every(1_000, 90), aggregate, interval)


@pytest.mark.parametrize("command", [["simulate"], ["feed", "file"]])
def test_senders_gather_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Before they look for a broker."""
    file = tmp_path / "fast.csv"
    file.write_text("time,value\n2024-03-01T00:00:00Z,1\n2024-03-01T00:00:01Z,2\n")
    assert run([*command, str(file), "--aggregate", "mean"]) == 2
    assert "--aggregate mean --interval 1m" in " ".join(capsys.readouterr().err.split())
    assert run([*command, str(file), "--aggregate", "mean", "--interval", "1m"]) == 2
    assert "no slot of 1min is over" in " ".join(capsys.readouterr().err.split())


def test_counters_are_not_added() -> None:
    asked = PanelOptions(interval="1m", kind="counter", aggregate="mean")
    with pytest.raises(DataError, match="--aggregate mean") as caught:
        prepare(every(1_000, 900), asked)
    assert caught.value.action == "use --aggregate last"


@pytest.mark.parametrize("apart_ms", [1_000, MINUTE])
def test_a_history_finer_than_its_grid_is_known_as_one_of_first_readings(apart_ms: int) -> None:
    panel = prepare(every(apart_ms, 1_200), PanelOptions(interval="1m", split=".6,.2,.2")).panel
    assert panel.aggregate == ("first" if apart_ms == 1_000 else None)


def trained_on(path: Path, aggregate: Aggregate | None) -> Path:
    record = TrainingRecord(
        fingerprint="f", streams=1, observations=9, seconds=1.0, end_time_ms=START_MS,
        aggregate=aggregate,
    )  # fmt: skip
    write_bundle(path, Walk(fields={"training": record}))
    return path


def test_a_bundle_reads_files_as_it_was_trained_unless_told(tmp_path: Path) -> None:
    manifest = read_manifest(trained_on(tmp_path, "max"))
    raw = every(1_000, 180)
    assert as_trained(raw, manifest, None).values[0].tolist() == [59.0, 119.0, 179.0]
    assert as_trained(raw, manifest, "min").values[0].tolist() == [0.0, 60.0, 120.0]
    assert as_trained(raw, manifest, "first") is raw


@pytest.mark.parametrize(
    ("trained", "serves", "warned"),
    [("mean", "mean", False), ("mean", "first", True), ("first", "mean", True),
     (None, "mean", False), ("first", "first", False)],
)  # fmt: skip
def test_a_model_that_was_trained_otherwise_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    trained: Aggregate | None,
    serves: Aggregate,
    warned: bool,
) -> None:
    from eddycast.service.model.loading import load_runtime

    runtime = load_runtime(trained_on(tmp_path, trained))
    found = trained_otherwise(runtime.manifest, TimeSettings(aggregate=serves))
    assert (found is not None) == warned
    worker(memory_broker(), runtime, replace(AT_ONCE, aggregate=serves))
    shown = "".join(capsys.readouterr())
    assert (f"set time.aggregate = {trained}" in shown) == warned


@pytest.mark.trains
def test_a_sensor_of_seconds_trains_a_model_of_minutes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is scored and replayed as it was trained, without further options."""
    count = 60 * 300
    series = np.random.default_rng(0).normal(size=count).cumsum().round(3)
    lines = (f"{START_MS + 1000 * t},{value}" for t, value in enumerate(series.tolist()))
    file, out = tmp_path / "fast.csv", tmp_path / "bundle"
    file.write_text("\n".join(["time,value", *lines]))
    words = ["--family", "naive", "--horizon", "3", "--season", "none", "--interval", "1m"]
    assert run(["train", str(file), *words, "--aggregate", "mean", "--out", str(out)]) == 0
    assert "18,000 readings become 300" in " ".join(capsys.readouterr().out.split())
    record = read_manifest(out).training
    assert record is not None and record.aggregate == "mean"
    figures = tmp_path / "figures.json"
    assert run(["backtest", str(out), str(file), "--json", str(figures)]) == 0
    assert "become 300" in " ".join(capsys.readouterr().out.split())
    assert json.loads(figures.read_text())["results"]
    forecasts = tmp_path / "forecasts.jsonl"
    assert run(["replay", str(out), str(file), "--out", str(forecasts)]) == 0
    values = [json.loads(line)["value"] for line in forecasts.read_text().splitlines()]
    assert values == pytest.approx(series.reshape(-1, 60).mean(axis=1).tolist())
    assert run(["backtest", str(out), str(file), "--aggregate", "median"]) == 2
    assert "choose first, last, mean" in " ".join(capsys.readouterr().err.split())
