"""`eddycast models publish --mlflow` against a real MLflow server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from eddycast.service.__main__ import run
from eddycast.service.bundle import BacktestFigure, TrainingRecord
from tests.support.bundles import START_MS, Walk, listed, write_bundle

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
