"""The number of readings of a step as a channel: the service counts, records stay as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.errors import BundleError, DataError, SettingsError
from eddycast.service.history import History
from eddycast.service.history.aggregation import aggregated, as_trained
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.holding import Holding
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.store import Store
from eddycast.training.data.options import PanelOptions
from eddycast.training.data.preparation import prepare
from tests.support.bundles import START_MS, TWO_CHANNELS, Walk, write_bundle
from tests.support.running import AT_ONCE, documents, made, memory_broker, send, worker

MINUTE = 60_000
COUNTED = replace(TWO_CHANNELS, fields={"count_channel": "level"})
MEAN = replace(AT_ONCE, aggregate="mean", close_after_ms=0)
SENT = [(0, 1.0), (20, 3.0), (30, None), (60, 0.0), (150, None), (180, -4.0), (240, 1.0)]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("counted")
    write_bundle(path, COUNTED)
    return load_runtime(path)


def served(runtime: Runtime, polls: int) -> list[bytes | None]:
    broker = memory_broker()
    subject = worker(broker, runtime, replace(MEAN, max_poll_records=polls))
    records = [{"timestamp": START_MS + at * 1000, "value": value} for at, value in SENT]
    send(broker, [(0, b"s", record) for record in records])
    subject.turn(len(SENT))
    values = [one["value"] for one in documents(broker)]
    assert values == [[2.0, 2.0], [0.0, 1.0], [None, 0.0], [-4.0, 1.0]]
    return [record.value for record in made(broker)]


def test_readings_with_a_value_are_counted_however_they_are_cut_into_polls(
    counted: Runtime,
) -> None:
    assert served(counted, 1) == served(counted, 100)


def test_a_step_in_which_a_reading_holds_counts_none(counted: Runtime) -> None:
    store = Store(counted.manifest, TimeSettings(aggregate="mean", hold_s=300))
    holding = Holding(store.arena, 5, counts=True)
    slots = store.arena.slots(0, [b"s"])
    holding.keep(slots, np.array([[np.nan, 0.0]]))
    assert holding.reach(slots).tolist() == [0]
    holding.keep(slots, np.array([[2.0, 3.0]]))
    assert holding.reach(slots).tolist() == [5]
    assert holding.over(slots, np.array([4])).values.tolist() == [[2.0, 0.0]]


def test_a_model_that_counts_needs_readings_that_are_gathered(counted: Runtime) -> None:
    with pytest.raises(SettingsError, match=r"time\.aggregate is first"):
        worker(memory_broker(), counted, AT_ONCE)


@pytest.mark.parametrize("walk", [TWO_CHANNELS, Walk()])
def test_the_channel_is_the_last_of_several(tmp_path: Path, walk: Walk) -> None:
    with pytest.raises(BundleError, match="last of several"):
        write_bundle(tmp_path, replace(walk, fields={"count_channel": walk.channels[0]}))
        read_manifest(tmp_path)


def seconds(count: int) -> History:
    stamps = START_MS - START_MS % MINUTE + 1000 * np.arange(count)
    values = np.random.default_rng(0).normal(size=count).cumsum()
    values[::50] = np.nan
    return History(["a"], [stamps], [values], [])


def test_history_is_counted_as_the_service_counts(counted: Runtime) -> None:
    raw = seconds(60 * 50)
    found = aggregated(raw, MINUTE, "mean", "n")
    assert found.channels == ("value", "n")
    assert {*found.values[0][:, 1]} == {58.0, 59.0}
    assert np.array_equal(found.values[0][:, 0], aggregated(raw, MINUTE, "mean").values[0])
    assert as_trained(raw, counted.manifest, "mean").values[0].shape == (50, 2)
    panel = prepare(raw, PanelOptions(interval="1m", aggregate="mean", count="n")).panel
    assert (panel.streams, panel.channels, panel.count) == (["value", "n"], ("value", "n"), "n")


def test_a_count_without_an_aggregate_is_refused() -> None:
    with pytest.raises(DataError, match="not gathered") as caught:
        prepare(seconds(600), PanelOptions(interval="1m", count="n"))
    assert "--aggregate mean" in caught.value.action
    with pytest.raises(DataError, match="such a channel"):
        prepare(seconds(600), PanelOptions(interval="1m", aggregate="mean", count="value"))


@pytest.mark.trains
def test_a_model_learns_from_the_number_of_readings(tmp_path: Path) -> None:
    """And its hold-out is scored, and files are replayed, with the counts of their readings."""
    raw = seconds(60 * 200)
    lines = (
        f"{stamp},{'' if np.isnan(value) else value}"
        for stamp, value in zip(raw.timestamps[0].tolist(), raw.values[0].tolist(), strict=True)
    )
    file, out = tmp_path / "fast.csv", tmp_path / "bundle"
    file.write_text("\n".join(["time,value", *lines]))
    words = ["--family", "naive", "--horizon", "3", "--season", "none", "--interval", "1m"]
    words += ["--aggregate", "mean", "--count", "n", "--no-refit", "--out", str(out)]
    assert run(["train", str(file), *words]) == 0
    manifest = read_manifest(out)
    assert (manifest.channels, manifest.targets) == (("value", "n"), ("value",))
    assert (manifest.count_channel, manifest.read_channels) == ("n", ("value",))
    forecasts = tmp_path / "forecasts.jsonl"
    assert run(["replay", str(out), str(file), "--out", str(forecasts)]) == 0
    counts = [json.loads(line)["value"][1] for line in forecasts.read_text().splitlines()]
    assert len(counts) == 200 and {*counts} == {58, 59}
