"""Backtests in which models replace one another: `--retrain-every`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.errors import DataError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import backtest
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.renewal import Renewal
from tests.support.bundles import RECURRENT, Walk, write_bundle

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
SPLIT = Split(100, 120, 240)


def walks(rows: int = 240) -> Panel:
    steps = np.random.default_rng(3).normal(0, 1, (2, rows))
    return Panel(["a", "b"], START + np.arange(rows) * HOUR, np.cumsum(steps, axis=1), HOUR)


@pytest.fixture(scope="module")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hourly")
    write_bundle(path, Walk(interval_ms=HOUR, hidden=RECURRENT.hidden))
    return path


class Trainer:
    """A training that gives the bundle itself; notes what it was shown."""

    def __init__(self, bundle: Path) -> None:
        self.bundle, self.seen = bundle, list[Panel]()

    def __call__(self, panel: Panel) -> Runtime:
        self.seen.append(panel)
        return load_runtime(self.bundle)


def measures(figures: list[Figure], model: str) -> list[tuple[object, ...]]:
    """Measures of a model, but for the order in which errors were added."""
    return [
        (f.stream, f.horizon, f.origins, *(round(v or 0.0, 9) for v in (f.mse, f.mae, f.wql)))
        for f in figures
        if f.model == model
    ]


def test_a_model_that_replaces_itself_changes_nothing(hourly: Path) -> None:
    panel, trainer = walks(), Trainer(hourly)
    figures = backtest(
        hourly, panel, "rolling", SPLIT, per_stream=True, renewal=Renewal(50, trainer)
    )
    assert measures(figures, "walk renewed") == measures(figures, "walk") != []
    assert {figure.model for figure in figures} == {"naive", "walk", "walk renewed"}
    assert len(figures) == len({(f.model, f.horizon, f.stream) for f in figures})


def test_a_training_sees_the_readings_before_its_forecasts_and_no_others(hourly: Path) -> None:
    panel, trainer = walks(), Trainer(hourly)
    backtest(hourly, panel, "rolling", SPLIT, renewal=Renewal(50, trainer))
    assert [len(seen) for seen in trainer.seen] == [170, 220]
    for seen in trainer.seen:
        assert np.array_equal(seen.values, panel.values[:, : len(seen)])


@pytest.mark.parametrize("protocol", ["gift", "book"])
def test_protocols_of_a_single_model_are_refused(hourly: Path, protocol: str) -> None:
    with pytest.raises(DataError, match="scores a single model"):
        backtest(hourly, walks(1_000), protocol, renewal=Renewal(50, Trainer(hourly)))


@pytest.mark.parametrize("every", ["90m", "1m"])
def test_less_than_an_interval_is_refused(
    hourly: Path, tmp_path: Path, every: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(walks(), tmp_path / "walks.csv")
    assert run(["backtest", str(hourly), data, "--retrain-every", every]) == 2
    assert "is not a whole number of the bundle's intervals" in capsys.readouterr().err


@pytest.mark.trains
def test_a_world_that_changes_is_forecast_better_by_models_that_follow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the training each hour's change is reversed by the next one."""
    rng, rows = np.random.default_rng(4), 1_200
    noise = rng.normal(0, 1, (2, rows + 1))
    persistent = np.cumsum(noise[:, 1:], axis=1)
    values = np.where(np.arange(rows) < 500, persistent, noise[:, 1:] - noise[:, :-1])
    data = written(
        Panel(["a", "b"], START + np.arange(rows) * HOUR, values, HOUR), tmp_path / "changed.csv"
    )
    out, found = tmp_path / "bundle", tmp_path / "found.json"
    plan = ["--family", "ar", "--horizon", "4", "--no-season", "--split", "450,150,600"]
    assert run(["train", data, "--out", str(out), "--no-refit", *plan]) == 0
    words = ["--split", "450,150,600", "--retrain-every", "10d", "--json", str(found)]
    assert run(["backtest", str(out), data, *words]) == 0
    assert "renewed every 10d: 2 trainings of" in capsys.readouterr().out
    content = json.loads(found.read_text())
    assert content["renewal"]["trainings"] == 2
    error = {one["model"]: one["mse"] for one in content["results"] if one["horizon"] == 1}
    assert error["ar renewed"] < 0.95 * error["ar"]


def written(panel: Panel, path: Path) -> str:
    """The panel as a table in which each stream is a column."""
    lines = [f"time,{','.join(panel.streams)}"]
    lines += [
        f"{stamp},{','.join(map(repr, row))}"
        for stamp, row in zip(panel.timestamps.tolist(), panel.values.T.tolist(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)
