"""A family of one's own, as docs/forecasters.md has it: trained, checked, exported, replayed;
and what is said of bad ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from tests.models.zoo import HOUR

pytestmark = pytest.mark.trains

PAGE = Path(__file__).parents[2] / "docs" / "forecasters.md"
HEAD = """
import torch
from torch import nn
from eddycast.training.fitting.recurrent import Schedule
from eddycast.training.models import Cell, Forecaster, Latent, MemorySpec, Naive, around
"""


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A daily wave on a walk, hourly, two streams of very different units."""
    random, hours = np.random.default_rng(0), np.arange(700)
    wave = np.sin(2 * np.pi * hours / 24)
    columns = [
        unit * (wave + random.normal(0, 0.1, 700) + random.normal(0, 0.03, 700).cumsum())
        for unit in (1, 500)
    ]
    rows = (
        f"{1_700_006_400_000 + hour * HOUR},{columns[0][hour]:.4f},{columns[1][hour]:.2f}"
        for hour in hours
    )
    path = tmp_path / "history.csv"
    path.write_text("\n".join(["timestamp,a,b", *rows]))
    return path


def train(history: Path, family: str, *words: str) -> int:
    out = str(history.parent / "bundle")
    return run(
        [
            "train",
            str(history),
            "--family",
            family,
            "--season",
            "24h",
            "--horizon",
            "6",
            "--out",
            out,
            *words,
        ]
    )


def written(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.py").write_text(text)
    return folder / f"{name}.py"


def page_example(folder: Path, name: str) -> Path:
    """The page's example that calls itself `name`.py."""
    found = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    (code,) = (code for code in found if f'"""{name}.py"""' in code)
    assert len(code.splitlines()) < 50
    return written(folder, name, code)


def test_the_example_of_the_page_learns_and_is_served_without_its_file(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, bundle = page_example(tmp_path, "smooth"), tmp_path / "bundle"
    assert train(history, f"{file}:Smoothing", "--epochs", "4", "--no-refit") == 0
    assert "Smoothing" in capsys.readouterr().out
    file.unlink()
    manifest = read_manifest(bundle)
    assert manifest.family == "Smoothing"
    own, naive, _ = (figure.mase or 0.0 for figure in manifest.backtest[:3])
    assert own < 0.8 * naive, "it learned which level each lead needs"
    for part in bundle.iterdir():
        assert str(tmp_path).encode() not in part.read_bytes()
    without = "import sys; sys.modules['torch'] = None; from eddycast.service.__main__ import run"
    command = f"{without}; sys.exit(run({replay(bundle, history)}))"
    subprocess.run([sys.executable, "-c", command], check=True, cwd=PAGE.parents[1])
    assert (tmp_path / "forecasts.parquet").stat().st_size > 10_000


def replay(bundle: Path, history: Path) -> list[str]:
    return ["replay", str(bundle), str(history), "--out", str(bundle.parent / "forecasts.parquet")]


FITTED = """
class Fitted(Naive):
    @classmethod
    def fit(cls, problem, schedule):
        model = cls(problem.target)
        spread = float(problem.unit.mean() / problem.unit.mean())
        model.offsets_one.copy_(torch.linspace(-spread, spread, len(problem.target.quantiles)))
        model.offsets_multi.copy_(model.offsets_one)
        return model
"""


def test_a_hidden_state_with_a_cell_of_ones_own_is_trained_and_exported(
    history: Path, tmp_path: Path
) -> None:
    family = f"{page_example(tmp_path, 'gated')}:Gated"
    assert train(history, family, "--epochs", "2", "--no-refit", "--no-calibration") == 0
    runtime = load_runtime(tmp_path / "bundle")
    assert {spec.name: spec.shape for spec in runtime.manifest.state}["hidden"] == (16,)
    own, naive, _ = (figure.wql or 0.0 for figure in runtime.manifest.backtest[:3])
    assert own < 0.8 * naive


def test_its_own_fit_and_a_module_by_name(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "own_by_name", HEAD + FITTED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert train(history, "own_by_name:Fitted", "--name", "mine", "--no-refit") == 0
    assert read_manifest(tmp_path / "bundle").name == "mine"


def test_points_of_its_own_fit_have_quantiles_from_their_errors(
    history: Path, tmp_path: Path
) -> None:
    bare = FITTED.replace("        model.offsets", "        # model.offsets")
    file = written(tmp_path, "bare", HEAD + bare)
    assert train(history, f"{file}:Fitted", "--no-refit", "--no-calibration") == 0
    figures = read_manifest(tmp_path / "bundle").backtest
    (far,) = (figure for figure in figures if figure.model == "Fitted" and figure.horizon == 6)
    assert far.coverage_80 is not None and 0.7 < far.coverage_80 < 0.9


def mine(body: str) -> str:
    return (
        HEAD
        + "class Mine(Naive):\n"
        + "".join(f"    {line}\n" for line in body.strip().splitlines())
    )


BAD = {
    "no class": (HEAD, "has no class 'Mine'", None),
    "no forecaster": ("class Mine: pass", "Mine in .* is not a Forecaster", None),
    "syntax": ("def broken(:", "cannot be imported: SyntaxError", None),
    "a package": (
        "import nothing_of_this_name",
        "cannot be imported: ModuleNotFoundError",
        "import nothing_of",
    ),
    "shape": (
        mine(
            "def multi_step_units(self, view):\n    return super().multi_step_units(view)[:, :, 0]"
        ),
        r"the invariant 'shapes' is broken: multi_step_units of 3 rows: \[3, 6\]",
        None,
    ),
    "levels": (
        mine("def one_step_units(self, view):\n    return super().one_step_units(view).flip(1)"),
        "the invariant 'sorted quantiles' is broken: one_step: falls by",
        None,
    ),
    "nan": (
        mine(
            "def points(self, view):\n"
            "    one, multi = super().points(view)\n"
            "    return one, multi + torch.nan"
        ),
        "multi_step after the last value: .* are not finite",
        None,
    ),
    "large": (
        mine(
            "def __init__(self, target):\n    super().__init__(target)\n    "
            "self.memory = type(self.memory)(MemorySpec(target.interval_ms, lags=4000))"
        ),
        "the invariant 'bounded row' is broken: .*at most 16,384",
        None,
    ),
    "its error": (
        mine("def points(self, view):\n    return view.nothing"),
        "Mine fails when it is made: AttributeError: 'View' object has no attribute 'nothing'",
        "return view.nothing",
    ),
    "an if on values": (
        mine(
            "def points(self, view):\n    one, multi = super().points(view)\n    "
            "return (one if float(view.timestamp.sum()) > 0 else -one), multi"
        ),
        "Mine fails when it is exported: ",
        None,
    ),
    "one level for a hidden state": (
        HEAD + "class Mine(Forecaster):\n    def __init__(self, target):\n        "
        "memory = MemorySpec(target.interval_ms, half_lives=(3.0,))\n        "
        "super().__init__(target, memory, Latent('gru', memory, 8))\n",
        (
            "Mine fails when it is made: ValueError: a latent "
            "state reads .*: give the memory two half_lives or more"
        ),
        "super().__init__(target, memory, Latent('gru', memory, 8))",
    ),
    "a fit that gives nothing": (
        mine("@classmethod\ndef fit(cls, problem, schedule):\n    return None"),
        "fit returned NoneType, not a Forecaster",
        None,
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_family_gives_one_line_and_leaves_no_bundle(
    bad: str, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, says, trace = BAD[bad]
    assert train(history, f"{written(tmp_path, 'mine', text)}:Mine") == 2
    first, *rest = capsys.readouterr().err.strip().splitlines()
    assert re.search(says, first), first
    assert trace is None or ("your own code" in rest[0] and trace in "\n".join(rest))
    assert not (tmp_path / "bundle").exists()


def test_a_file_or_module_that_is_not_there(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(history, "nowhere.py:Mine") == 2
    assert "there is no file nowhere.py" in capsys.readouterr().err
    assert train(history, "nowhere.at_all:Mine") == 2
    assert "nowhere.at_all cannot be imported: ModuleNotFoundError" in capsys.readouterr().err
