"""Output paths are checked before the work, and a full disk is reported in one line."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.model.manifest_file import read_manifest
from tests.support.bundles import write_bundle
from tests.support.training import train_naive

START = 1_700_006_400_000


@pytest.fixture
def history(tmp_path: Path) -> Path:
    random = np.random.default_rng(1).normal(size=200).cumsum()
    rows = (f"{START + i * 60_000},{value:.3f}" for i, value in enumerate(random))
    path = tmp_path / "history.csv"
    path.write_text("\n".join(["timestamp,value", *rows]))
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line that a command ends with."""
    capsys.readouterr()
    assert run(words) == 2
    *notes, line = capsys.readouterr().err.splitlines()
    assert "Traceback" not in "".join(notes)
    assert "cannot be written" in line or "is a file" in line
    return line


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that must not be read, because the error precedes the work."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("eddycast.service.history.sources.read_sources", read)


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "out"


def a_folder(folder: Path) -> Path:
    (folder / "out").mkdir()
    return folder / "out"


@pytest.mark.usefixtures("unread")
def test_train_asks_for_its_target_first(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (below_a_file(tmp_path), tmp_path / "file"):
        assert str(out) in refused(
            ["train", str(history), "--family", "naive", "--out", str(out)], capsys
        )


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("target", [below_a_file, a_folder])
@pytest.mark.parametrize("option", ["replay", "--json", "--plot"])
def test_replay_and_backtest_ask_for_theirs_first(
    option: str,
    target: Callable[[Path], Path],
    history: Path,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    suffix = {"replay": ".jsonl", "--json": ".json", "--plot": ".html"}[option]
    out = target(tmp_path)
    out = out.rename(out.with_suffix(suffix)) if out.is_dir() else out.with_suffix(suffix)
    if option == "replay":
        words = ["replay", str(bundle), str(history), "--out", str(out)]
    else:
        words = ["backtest", str(bundle), str(history), option, str(out)]
    assert str(out) in refused(words, capsys)


@pytest.mark.usefixtures("unread")
def test_pictures_without_matplotlib_are_refused_first(
    history: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eddycast.training.evaluation.plot.find_spec", lambda _name: None)
    assert run(["backtest", str(bundle), str(history), "--plot", str(bundle / "p.html")]) == 2
    assert "pip install 'eddycast[demo]'" in capsys.readouterr().err


def test_asking_leaves_nothing_behind_and_changes_nothing(
    history: Path, bundle: Path, tmp_path: Path
) -> None:
    old = tmp_path / "figures.json"
    old.write_text("kept")
    words = [
        "backtest",
        str(bundle),
        str(tmp_path / "none.csv"),
        "--json",
        str(old),
        "--plot",
        str(tmp_path / "p.html"),
    ]
    assert run(words) == 2
    assert old.read_text() == "kept"
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize("option", ["replay", "--json"])
def test_a_full_disk_is_one_line(
    option: str, history: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    words = {
        "replay": ["replay", str(bundle), str(history), "--out", str(full)],
        "--json": ["backtest", str(bundle), str(history), "--json", str(full)],
    }[option]
    assert "No space left on device" in refused(words, capsys)


@pytest.mark.parametrize(
    "place", ["onnx.save", "numpy.savez", "eddycast.training.export.onnx_export.write_manifest"]
)
def test_a_disk_that_fills_up_in_training_is_one_line_and_keeps_the_bundle_before(
    place: str,
    history: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "bundle"
    before = write_bundle(out)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(place, full)
    assert "No space left on device" in refused(train_naive(history, out), capsys)
    assert read_manifest(out) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_name_that_no_bundle_may_have_is_refused_first(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("[/red]", "a\nb", "", "x" * 65):
        assert run(["train", str(history), "--name", name, "--out", str(tmp_path / "b")]) == 2
        assert "cannot name a model" in capsys.readouterr().err


def test_an_export_of_state_and_the_demo_ask_first(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def connect(_settings: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("eddycast.service.commands.state.broker_of", connect)
    out = below_a_file(tmp_path)
    assert str(out) in refused(
        ["state", "export", str(out), "--bundle.directory", str(bundle)], capsys
    )
    assert str(out) in refused(["demo", "--out", str(out)], capsys)
