"""`--mlflow` of `eddycast models publish` and `eddycast train`, against a real MLflow server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from eddycast.service.__main__ import run
from eddycast.service.bundle import BacktestFigure, TrainingRecord
from eddycast.service.model.manifest_file import read_manifest
from tests.support.bundles import START_MS, Walk, listed, write_bundle
from tests.support.training import train_naive

FIGURE = BacktestFigure(
    model="walk", horizon=3, origins=10, mse=0.4, mae=0.5, wql=0.3, mase=None, coverage_80=0.8
)
TRAINED = TrainingRecord(
    fingerprint="f00d", streams=2, observations=9, end_time_ms=START_MS, seconds=1.0
)


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words of the command; the bundle has figures."""
    monkeypatch.setenv("EDDYCAST_REGISTRY__URL", str(tmp_path / "models"))
    monkeypatch.setenv("EDDYCAST_REGISTRY__MODEL", "load")
    fields = {"training": TRAINED, "backtest": (FIGURE,)}
    write_bundle(tmp_path / "bundle", listed(Walk(fields=fields)))
    return ["models", "publish", str(tmp_path / "bundle"), "--json"]


@pytest.mark.slow
def test_a_version_is_recorded_once_with_its_figures_and_tags(
    publish: list[str], mlflow_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run([*publish, "--mlflow", mlflow_server]) == 0, capsys.readouterr().err
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["mlflow"] for one in said] == ["1", "1"]
    assert [one["published"] for one in said] == [True, False]
    client = MlflowClient(mlflow_server, mlflow_server)
    (version,) = client.search_model_versions("name = 'load'")
    assert version.tags["eddycast.version"] == said[0]["version"]
    assert version.tags["eddycast.trained_until_ms"] == str(START_MS)
    assert "@" in version.tags["eddycast.by"]
    assert version.run_id is not None
    found = client.get_run(version.run_id)
    assert found.data.metrics == {
        "walk/3/mse": 0.4, "walk/3/mae": 0.5, "walk/3/wql": 0.3, "walk/3/coverage_80": 0.8,
    }  # fmt: skip
    assert found.info.status == "FINISHED" and found.info.run_name == said[0]["label"]
    assert [file.path for file in client.list_artifacts(version.run_id, "bundle")] == [
        "bundle/manifest.json"
    ]


def test_a_server_that_does_not_answer_is_named_in_one_line(
    publish: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert run([*publish, "--mlflow", "http://127.0.0.1:9"]) == 7
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("eddycast: MLflow at http://127.0.0.1:9")
    assert "the version is in the registry" in said


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Hourly readings of a random walk."""
    values = np.random.default_rng(1).normal(size=400).cumsum()
    stamps = np.datetime64("2026-01-01T00:00") + np.arange(400).astype("timedelta64[h]")
    lines = [f"{stamp},{value:.3f}" for stamp, value in zip(stamps, values, strict=True)]
    path = tmp_path / "walk.csv"
    path.write_text("\n".join(["time,value", *lines]))
    return path


@pytest.mark.slow
@pytest.mark.trains
def test_a_training_is_a_run_with_its_choices_figures_and_version(
    history: Path, tmp_path: Path, mlflow_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    words = train_naive(history, out, "--name", "plain", "--mlflow", mlflow_server)
    assert run(words) == 0, capsys.readouterr().err
    manifest = read_manifest(out)
    client = MlflowClient(mlflow_server, mlflow_server)
    experiment = client.get_experiment_by_name("plain")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert f"run {found.info.run_id} of the experiment plain" in capsys.readouterr().out
    assert found.info.status == "FINISHED" and found.info.run_name == manifest.label
    assert found.data.tags["eddycast.version"] == manifest.version
    parameters = found.data.params
    assert (parameters["family"], parameters["horizon"], parameters["refit"]) == (
        "naive", "4", "True",
    )  # fmt: skip
    assert parameters["data"] == str(history) and "epochs" not in parameters
    figures = {f"{figure.model}/{figure.horizon}/mae": figure.mae for figure in manifest.backtest}
    assert figures and figures.items() <= found.data.metrics.items()
    assert found.data.metrics["training/observations"] == 400
    assert client.search_model_versions("name = 'plain'") == [], "a run is no version of a model"


def test_a_server_that_does_not_answer_is_found_before_the_training(
    history: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    words = train_naive(history, tmp_path / "bundle", "--mlflow", "http://127.0.0.1:9")
    assert run(words) == 7
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("eddycast: MLflow at http://127.0.0.1:9")
    assert "nothing was trained" in said and not (tmp_path / "bundle").exists()
