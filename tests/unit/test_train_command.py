"""Messages of `eddycast train`: wrong flags, a replaced bundle,
a model worse than the baselines."""

from __future__ import annotations

import csv
import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.model.manifest_file import read_manifest
from eddycast.training.commands.train import beaten_by
from eddycast.training.evaluation.metrics import Figure

pytestmark = pytest.mark.trains


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A random walk, hourly: nothing beats its last value by much, and a season is of no use."""
    path = tmp_path / "walk.csv"
    values = np.random.default_rng(1).normal(size=400).cumsum()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "value"])
        for hour, value in enumerate(values):
            writer.writerow(
                [(datetime(2024, 1, 1) + timedelta(hours=hour)).isoformat(), f"{value:.3f}"]
            )
    return path


def test_an_interval_finer_than_the_readings_is_refused(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        [
            "train",
            str(walk),
            "--family",
            "naive",
            "--interval",
            "5min",
            "--out",
            str(tmp_path / "b"),
        ]
    )
    assert code == 2
    assert "most readings are 1h apart, --interval 5min is finer" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_model_worse_than_a_yardstick_is_said_and_so_is_a_bundle_replaced(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(walk), "--horizon", "4", "--season", "24h", "--out", str(tmp_path / "b")]
    words.append("--no-calibration")
    assert run([*words, "--family", "seasonal_naive", "--name", "day"]) == 0
    first = capsys.readouterr().out
    assert "mean over streams, naive has the smaller MASE" in " ".join(first.split())
    assert "is replaced" not in first
    spent = r"trained and scored in [\d.]+ s, [\d.]+ s of CPU"
    assert re.search(spent, " ".join(first.split()))
    assert "note: narrow: one stream taught this model" in " ".join(first.split())
    record = read_manifest(tmp_path / "b").training
    assert record and record.narrow.startswith("narrow: one stream")
    assert run([*words, "--family", "naive", "--name", "last"]) == 0
    second = " ".join(capsys.readouterr().out.split())
    assert "is replaced" in second
    assert "warning" not in second


def figure(
    model: str, mae: float, mase: float | None, wql: float, stream: str | None = None
) -> Figure:
    return Figure(
        model=model,
        mae=mae,
        mase=mase,
        wql=wql,
        stream=stream,
        horizon=4,
        origins=9,
        mse=1.0,
        coverage_80=None,
    )


def test_the_verdict_goes_by_streams_and_not_by_the_errors_of_the_largest() -> None:
    own, large = figure("ours", 50.0, 0.8, 0.1), figure("naive", 40.0, 0.9, 0.2)
    assert beaten_by(
        [own, large, figure("naive", 1.0, 0.1, 0.01, "one"), figure("day", 60.0, 0.7, 0.2)], "ours"
    ) == {"day": ["mase"]}
    assert beaten_by([own, figure("day", 60.0, None, 0.05)], "ours") == {"day": ["wql"]}
    assert beaten_by([figure("day", 60.0, 0.7, 0.05)], "ours") == {}


def test_auto_names_the_season_and_the_family_that_it_kept(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(walk), "--horizon", "4", "--out", str(tmp_path / "b"), "--family", "auto"]
    assert run([*words, "--season", "auto", "--budget", "1ms"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "note: no season" in said
    assert "smallest weighted quantile loss on the validation part" in said
    assert read_manifest(tmp_path / "b").family in ("naive", "ar")


@pytest.mark.parametrize("family", ["ar", pytest.param("seq2seq", marks=pytest.mark.exhaustive)])
def test_the_horizon_may_have_a_grid_of_its_own(
    family: str, walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train",
        str(walk),
        "--horizon",
        "4",
        "--epochs",
        "1",
        "--no-calibration",
        "--family",
        family,
        "--out",
        str(tmp_path / "b"),
    ]
    assert run([*words, "--forecast-interval", "90min"]) == 2
    assert (
        "a forecast interval of 90min is not a whole number of intervals of 1h"
        in capsys.readouterr().err
    )
    assert run([*words, "--forecast-interval", "9h"]) == 2
    assert "needs 72" in capsys.readouterr().err
    assert run([*words, "--forecast-interval", "3h"]) == 0
    manifest = read_manifest(tmp_path / "b")
    assert (manifest.interval_ms, manifest.forecast_interval_ms) == (3_600_000, 3 * 3_600_000)
    assert [figure.origins for figure in manifest.backtest][:1] == [80 - 4 * 3 + 1]


def test_what_only_ar_can_be_is_refused_for_others(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["train", str(walk), "--family", "lstm", "--iterated", "--out", str(tmp_path / "b")])
        == 2
    )
    assert "lstm is not iterated" in capsys.readouterr().err


def test_a_second_season_is_named_and_held(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(walk), "--horizon", "4", "--family", "ar", "--out", str(tmp_path / "b")]
    assert run([*words, "--season", "24h,7d", "--no-refit", "--no-calibration"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "note: seasons 1d and 7d" in said
    assert "hold-out, seasons 1d and 7d" in said
    manifest = read_manifest(tmp_path / "b")
    assert manifest.seasons_ms == (86_400_000, 7 * 86_400_000)
    assert {"table", "second_table"} <= {spec.name for spec in manifest.state}
    assert run(["backtest", str(tmp_path / "b"), str(walk)]) == 0


@pytest.mark.parametrize(
    ("season", "said"),
    [
        ("7d,24h", "not the longer one"),
        ("24h,7d,365d", "names 3 seasons"),
        ("24h,60d", "longer than the train part"),
    ],
)
def test_seasons_that_do_not_go_together_are_refused(
    season: str, said: str, walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(walk), "--horizon", "4", "--family", "ar", "--out", str(tmp_path / "b")]
    assert run([*words, "--season", season]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
