"""The served weights saw the newest readings, the figures do not: after scoring, training fits once
more on everything, with what the validation part chose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.bundle import Manifest
from eddycast.service.errors import BundleError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.fitting.problem import Problem
from eddycast.training.problems import problem_of, whole_of
from eddycast.training.recipe import Recipe
from eddycast.training.train import fit_bundle, train_bundle
from tests.support.training import train_naive

HOUR = 3_600_000
ROWS = 600
SPLIT = Split(420, 480, ROWS)


def panel(changed_at: int = ROWS) -> Panel:
    """A daily wave whose sign changes at a row:
    what a model learns there is the opposite of what it knew."""
    random, hours = np.random.default_rng(3), np.arange(ROWS)
    wave = np.sin(2 * np.pi * hours / 24) * np.where(hours < changed_at, 1.0, -1.0)
    values = np.stack([wave, 5 + 2 * wave]) + random.normal(0, 0.1, (2, ROWS))
    return Panel(["a", "b"], 1_700_006_400_000 + hours * HOUR, values, HOUR)


def recipe(family: str) -> Recipe:
    return Recipe(
        family=family, horizon=4, seasons_ms=(24 * HOUR,), lags=24, epochs=1, members=("ar", "lstm")
    )


def contents(bundle: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in bundle.iterdir() if file.suffix == ".onnx"}


@pytest.mark.parametrize("family", ["naive", "seasonal_naive", "ar", "lstm", "auto"])
def test_figures_are_of_the_fit_without_the_hold_out(family: str, tmp_path: Path) -> None:
    data = panel()
    kept, figures = train_bundle(data, recipe(family), SPLIT, tmp_path / "kept")
    refit, again = train_bundle(data, recipe(family), SPLIT, tmp_path / "refit", refit=True)
    assert [figure.model_dump() for figure in again] == [figure.model_dump() for figure in figures]
    assert refit.family == kept.family
    for manifest, seen, ending in ((kept, False, 479), (refit, True, ROWS - 1)):
        record = manifest.training
        assert record is not None
        assert record.refit is seen
        assert record.end_time_ms == data.timestamps[ending]
        assert record.holdout_start_ms == data.timestamps[480]
        assert record.holdout_end_ms == data.timestamps[-1]
    assert load_runtime(tmp_path / "refit").manifest == refit == read_manifest(tmp_path / "refit")
    learns = family not in ("naive", "seasonal_naive")
    assert (contents(tmp_path / "kept") != contents(tmp_path / "refit")) is learns


def test_the_hold_out_is_learned_and_nothing_of_it_before(tmp_path: Path) -> None:
    """Two histories that differ in the hold-out alone:
    the scored fits are the same, the served ones are not."""
    for name, data in (("same", panel()), ("other", panel(480))):
        fit_bundle(data, recipe("ar"), SPLIT, tmp_path / f"{name}-scored")
        train_bundle(data, recipe("ar"), SPLIT, tmp_path / name, refit=True)
    assert contents(tmp_path / "same-scored") == contents(tmp_path / "other-scored")
    assert contents(tmp_path / "same") != contents(tmp_path / "other")


def test_what_validation_chose_stands_in_the_last_fit() -> None:
    data = panel()
    problem = problem_of(data, recipe("ar"), SPLIT)
    whole = whole_of(data, problem)
    assert problem.chosen("width", lambda: 3) == 3
    assert whole.chosen("width", lambda: 4) == 3
    assert isinstance(whole, Problem)
    assert len(whole.values) == whole.train_end == ROWS


def test_an_interrupted_refit_keeps_what_was_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Problem:
        raise KeyboardInterrupt

    monkeypatch.setattr("eddycast.training.train.whole_of", interrupted)
    manifest, _ = train_bundle(panel(), recipe("ar"), SPLIT, tmp_path / "b", refit=True)
    assert manifest.training is not None
    assert manifest.training.refit is False


def test_a_refit_that_the_engine_refuses_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_bundle(panel(), recipe("ar"), SPLIT, tmp_path / "b")
    before = read_manifest(tmp_path / "b")

    def refuse(directory: Path) -> Manifest:
        raise BundleError(str(directory), "a sound bundle", "another")

    monkeypatch.setattr("eddycast.training.train.load_runtime", refuse)
    with pytest.raises(BundleError):
        train_bundle(panel(), recipe("ar"), SPLIT, tmp_path / "b", refit=True)
    assert read_manifest(tmp_path / "b") == before


@pytest.fixture
def history(tmp_path: Path) -> Path:
    data = panel()
    rows = zip(data.timestamps.tolist(), *data.values.tolist(), strict=True)
    path = tmp_path / "history.csv"
    path.write_text(
        "timestamp,a,b\n" + "\n".join(f"{stamp},{a:.3f},{b:.3f}" for stamp, a, b in rows)
    )
    return path


@pytest.mark.parametrize("flag", ["", "--no-refit"])
def test_a_backtest_on_seen_readings_says_so(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    out, figures = str(tmp_path / "b"), tmp_path / "figures.json"
    words = [
        "train",
        str(history),
        "--family",
        "ar",
        "--horizon",
        "4",
        "--out",
        out,
        *filter(None, [flag]),
    ]
    assert run(words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("fitted once more on everything" in said) is (flag == "")
    assert "season 1d" in said, "a season is looked for unless told otherwise"
    assert "seasonal naive" in said or "seasonal_naive" in said
    assert run(["backtest", out, str(history), "--json", str(figures)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("the figures flatter" in said) is (flag == "")
    assert ("seen" in json.loads(figures.read_text())) is (flag == "")


def test_a_season_of_none_is_none(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(train_naive(history, tmp_path / "b")) == 0
    assert "no season" in capsys.readouterr().out
    assert read_manifest(tmp_path / "b").seasons_ms == ()
