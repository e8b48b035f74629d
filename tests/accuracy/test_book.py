from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eddycast.training.data.panel import make_panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import backtest
from eddycast.training.evaluation.protocols.book import KNOWN
from eddycast.training.recipe import Recipe
from eddycast.training.train import fit_bundle
from tests.accuracy.book import INTERVAL_MS, TRAIN_SPLIT, book_errors, book_history

RECIPE = Recipe("ar", 64, seasons_ms=(), lags=64, iterated=True)


@pytest.mark.parametrize("seed", [0, 7])
def test_plain_numpy_agrees_with_training_export_and_runtime(tmp_path: Path, seed: int) -> None:
    panel = make_panel(book_history(seed), INTERVAL_MS)
    fit_bundle(panel, RECIPE, Split.parse(TRAIN_SPLIT, len(panel)), tmp_path)
    found = {
        figure.task: figure.mse
        for figure in backtest(tmp_path, panel, "book")
        if figure.model == "ar"
    }
    assert found == pytest.approx(book_errors(seed), rel=2e-3)


def test_what_follows_the_examples_changes_no_forecast(tmp_path: Path) -> None:
    """The validation part lies behind the examples, and what is judged too:
    the median must not know it."""
    panel, said = make_panel(book_history(1), INTERVAL_MS), []
    for name in ("as drawn", "scrambled"):
        fit_bundle(panel, RECIPE, Split.parse(TRAIN_SPLIT, len(panel)), tmp_path / name)
        panel = make_panel(book_history(1), INTERVAL_MS)
        said.append([f.mse for f in backtest(tmp_path / name, panel, "book") if f.model == "ar"])
        panel.values[:, KNOWN:] = np.random.default_rng(2).normal(9, 9, len(panel) - KNOWN)
    assert said[0] == said[1]


def test_the_mean_over_seeds_is_near_the_known_one() -> None:
    """Least squares with a constant has .0615 at k = 64 and .094 in the free run,
    over 200 seeds."""
    errors = [book_errors(seed) for seed in range(40)]
    assert np.mean([error["k = 64"] for error in errors]) < 0.068
    assert np.mean([error["free run"] for error in errors]) == pytest.approx(0.094, abs=0.02)
