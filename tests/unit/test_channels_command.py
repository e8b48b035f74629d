"""Streams of several channels through the commands:
train, backtest, replay, and what is refused in one line."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eddycast.service.__main__ import run
from eddycast.service.history import ReadOptions, read_history
from eddycast.service.history.merging import merge
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.simulation import Sensors
from eddycast.training.data.panel import make_panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import backtest
from eddycast.training.export.onnx_export import Identity, export_bundle
from eddycast.training.fitting.families import Plan, fit_family
from eddycast.training.problems import problem_of
from eddycast.training.recipe import Recipe
from tests.support.running import documents, memory_broker, worker

pytestmark = pytest.mark.trains

HOUR = 3_600_000


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hourly: `level` follows the `flow` of three hours before, with holes in single cells;
    `note` is text."""
    path = tmp_path_factory.mktemp("plant") / "plant.csv"
    random = np.random.default_rng(1)
    flow = random.normal(size=700).cumsum()
    level = 5 + 0.1 * np.concatenate([flow[:3], flow[:-3]]) + random.normal(0, 0.01, 700)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "flow", "level", "note"])
        for hour in range(700):
            holes = (
                "" if hour % 31 == 7 else f"{flow[hour]:.3f}",
                "" if hour % 41 == 9 else f"{level[hour]:.4f}",
            )
            writer.writerow(
                [(datetime(2024, 1, 1) + timedelta(hours=hour)).isoformat(), *holes, "text"]
            )
    return path


@pytest.fixture(scope="module")
def bundle(plant: Path) -> Path:
    out = plant.parent / "bundle"
    words = [
        "train",
        str(plant),
        "--channels",
        "flow,level",
        "--targets",
        "level",
        "--family",
        "ar",
    ]
    assert run([*words, "--horizon", "6", "--no-refit", "--out", str(out)]) == 0
    return out


def test_the_other_channel_is_of_use(plant: Path, bundle: Path) -> None:
    """The level three hours ahead is the flow of now, which the level alone cannot know."""
    manifest = read_manifest(bundle)
    assert (manifest.channels, manifest.targets) == (("flow", "level"), ("level",))
    alone = plant.parent / "alone"
    words = [
        "train",
        str(plant),
        "--columns",
        "level",
        "--family",
        "ar",
        "--horizon",
        "6",
        "--no-refit",
        "--out",
        str(alone),
    ]
    assert run(words) == 0
    both, single = manifest.backtest[0], read_manifest(alone).backtest[0]
    assert (both.model, both.origins) == (single.model, single.origins)
    assert both.mae is not None
    assert single.mae is not None
    assert both.mae < 0.8 * single.mae


def test_a_backtest_reads_the_bundles_channels_and_names_the_target(
    plant: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    words = [
        "backtest",
        str(bundle),
        str(plant),
        "--protocol",
        "ltsf",
        "--per-stream",
        "--json",
        str(out),
    ]
    assert run(words) == 0
    capsys.readouterr()
    figures = json.loads(out.read_text())["results"]
    assert {figure.get("stream") for figure in figures} == {None, "level"}
    assert {figure["model"] for figure in figures} == {"ar", "naive"}


def test_without_a_companion_the_figures_are_those_of_one_channel(
    plant: Path, tmp_path: Path
) -> None:
    """A channel that never has a value changes nothing:
    the same fit, and the same figures through the engine."""
    recipe, plan = Recipe(family="ar", horizon=6, seasons_ms=()), Plan()
    single = make_panel(read_history(plant, ReadOptions(columns=("level",))), HOUR)
    pair = make_panel(
        read_history(
            plant,
            ReadOptions(
                channels=(
                    "flow",
                    "level",
                )
            ),
        ),
        HOUR,
    )
    pair.values[0] = np.nan
    split = Split.parse(None, len(single))
    alone = fit_family("ar", problem_of(single, recipe, split), plan)
    export_bundle(alone, Identity("ar"), tmp_path / "one")
    from eddycast.training.train import joined

    part = fit_family("ar", problem_of(pair, recipe, split, "level"), plan)
    model = joined([part], ["level"], pair.channels)
    export_bundle(model, Identity("ar", pair.channels, ("level",)), tmp_path / "two")
    one, two = (
        backtest(tmp_path / name, panel, "rolling", split)
        for name, panel in (("one", single), ("two", pair))
    )
    for a, b in zip(one, two, strict=True):
        assert (a.model, a.horizon, a.origins) == (b.model, b.horizon, b.origins)
        assert a.mae == pytest.approx(b.mae, rel=1e-3)
        assert a.coverage_80 == pytest.approx(b.coverage_80, abs=5e-3)


def test_replay_writes_what_the_service_writes_over_a_broker(
    plant: Path, bundle: Path, tmp_path: Path
) -> None:
    readings = merge(
        read_history(
            plant,
            ReadOptions(
                channels=(
                    "flow",
                    "level",
                )
            ),
        ),
        limit=60,
    )
    assert readings.streams == ["plant"]
    broker = memory_broker()
    producer = broker.producer()
    Sensors(producer, "observations", 1, readings).send(slice(0, len(readings)), 1.0)
    worker(broker, load_runtime(bundle)).turn()
    written = documents(broker)
    out = tmp_path / "forecasts.jsonl"
    assert run(["replay", str(bundle), str(plant), "--limit", "60", "--out", str(out)]) == 0
    replayed = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(replayed) == len(written) == 60
    assert replayed == sorted(written, key=lambda document: document["timestamp"])
    assert [len(document["value"]) for document in replayed[:2]] == [2, 2]
    assert any(None in document["value"] for document in replayed)


def test_replay_and_parquet_have_a_column_a_channel(
    plant: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "forecasts.parquet"
    assert (
        run(
            [
                "replay",
                str(bundle),
                str(plant),
                "--stream",
                "north",
                "--limit",
                "50",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    frame = pl.read_parquet(out)
    values, forecasts = (
        ["value.flow", "value.level"],
        ["expected", "error", "one_step", "multi_step", "surprise", "anomaly", "warm"],
    )
    assert frame.columns == ["stream", "timestamp", *values, *forecasts]
    assert frame["stream"].unique().to_list() == ["north"]


def test_a_long_file_has_several_streams_of_several_channels(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    rows = [
        "stream,timestamp,a,b",
        "x,1700001000,1,2",
        "y,1700001000,3,",
        "x,1700002000,,",
        "x,1700002000,5,6",
        "y,1700002000,7,8",
    ]
    path.write_text("\n".join(rows) + "\n")
    history = read_history(
        path,
        ReadOptions(
            channels=(
                "a",
                "b",
            )
        ),
    )
    assert (history.streams, history.channels) == (["x", "y"], ("a", "b"))
    np.testing.assert_array_equal(history.values[0], [[1, 2], [5, 6]])
    panel = make_panel(history, 1_000_000)
    assert panel.streams == ["x/a", "x/b", "y/a", "y/b"]
    np.testing.assert_array_equal(panel.only(["b"]).values, [[2, 6], [np.nan, 8]])
    again = panel.history()
    for found, expected in zip(again.values, history.values, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--channels", "flow,depth"], "no column 'depth'"),
        (["--channels", "flow,note"], "column 'note' cannot be a channel: not numbers"),
        (["--channels", "flow"], "--channels flow must"),
        (["--channels", "flow,level", "--columns", "flow"], "leave out --columns"),
        (
            ["--channels", "flow,level", "--targets", "depth"],
            "target 'depth' is not among the channels",
        ),
        (["--targets", "level"], "name the channels with --channels"),
        (["--channels", "flow,level", "--family", "ar", "--iterated"], "reads one channel"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], said: str, plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(plant), *words, "--horizon", "4", "--out", str(tmp_path / "b")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_file_of_other_channels_than_the_bundles_is_refused(
    plant: Path, tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    other.write_text(plant.read_text().replace("flow", "stream flow"))
    assert run(["backtest", str(bundle), str(other)]) == 2
    assert "no column 'flow'" in capsys.readouterr().err
