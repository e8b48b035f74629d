"""The command line: every mistake is one clear line and an exit code,
and torch is never waited for in vain."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from eddycast.service import __main__ as cli
from eddycast.service.errors import (
    BrokerUnavailable,
    BundleError,
    DataError,
    MissingExtra,
    SettingsError,
)
from eddycast.service.settings.settings import every_setting

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def plug_in(monkeypatch: pytest.MonkeyPatch, name: str, code: str, tmp_path: Path) -> None:
    """Make `code`, a module with a function `command`, the only command of another package."""
    (tmp_path / f"plug_in_{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint(name, f"plug_in_{name}:command", cli.GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry] if group == cli.GROUP else [])


def test_help_of_serve_lists_every_setting_with_its_default(capsys: Capture) -> None:
    assert cli.run(["serve", "--help"]) == 0
    _, _, table = capsys.readouterr().out.partition("\nSettings")
    lines = table.splitlines()
    for setting in every_setting():
        (line,) = [line for line in lines if f"--{setting.name} " in line]
        assert setting.default in line
        assert str(setting.field.description) in line


def test_an_unknown_setting_is_one_line(capsys: Capture) -> None:
    assert cli.run(["serve", "--kafka.grup", "a"]) == SettingsError.exit_code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean kafka.group" in error


@pytest.mark.parametrize(
    ("words", "leaves"),
    [
        ([], False),
        (["--leave"], True),
        (["--leave", "--kafka.leave=false"], False),
        (["--kafka.leave", "true"], True),
    ],
)
def test_leave_is_short_for_a_setting(
    words: list[str], leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("eddycast.service.app.run", seen.append)
    assert cli.run(["serve", *words, "--kafka.instance_id=a"]) == 0
    assert [(settings.kafka.leave, settings.kafka.instance_id) for settings in seen] == [
        (leaves, "a")
    ]


def test_simulate_says_whom_it_waits_for_and_ends(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDDYCAST_KAFKA__REQUEST_TIMEOUT_MS", "600")
    (tmp_path / "history.csv").write_text("stream,timestamp,value\na,2024-01-01 00:00,1\n")
    assert (
        cli.run(["simulate", "history.csv", "--kafka", "127.0.0.1:1", "--wait", "0"])
        == BrokerUnavailable.exit_code
    )
    error = capsys.readouterr().err.splitlines()
    assert any("connecting" in line and "127.0.0.1:1" in line for line in error[:-1])
    assert "cannot reach Kafka at 127.0.0.1:1" in error[-1] and "address" in error[-1]


def test_debug_keeps_the_stack_trace() -> None:
    with pytest.raises(SettingsError):
        cli.run(["--debug", "serve", "--kafka.grup", "a"])


def test_an_unknown_command_suggests_a_known_one(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "entry_points", lambda group: [])
    assert cli.run(["srve"]) == 2
    assert "serve" in capsys.readouterr().err


def test_serve_without_a_bundle_says_what_is_missing(capsys: Capture) -> None:
    assert (
        cli.run(["serve", "--bundle.directory=nowhere", "--http.port=0"]) == BundleError.exit_code
    )
    error = capsys.readouterr().err
    assert "nowhere/manifest.json" in error
    assert "eddycast train" in error
    assert "Traceback" not in error


def test_doctor_names_all_that_is_wrong_and_what_to_do(capsys: Capture) -> None:
    flags = [
        "--kafka.bootstrap_servers=127.0.0.1:1",
        "--kafka.request_timeout_ms=600",
        "--bundle.directory=nowhere",
    ]
    assert cli.run(["doctor", *flags]) == 1
    wrong = [
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if line.strip().startswith("wrong")
    ]
    assert {line[1] for line in wrong} >= {"bundle", "broker"}


def test_doctor_stops_at_settings_that_cannot_be_read(capsys: Capture) -> None:
    assert cli.run(["doctor", "--http.port=x"]) == 1
    out = capsys.readouterr().out
    assert "--http.port" in out
    assert "broker" not in out


def test_simulate_names_the_streams_that_there_are(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text("time,a,b\n2024-01-01,1,2\n2024-01-02,3,4\n")
    assert cli.run(["simulate", "wide.csv", "--streams", "c"]) == DataError.exit_code
    assert "there is no stream 'c' (there are a, b)" in capsys.readouterr().err


def test_simulate_names_the_last_reading_when_there_are_none_since_a_date(
    capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "wide.csv").write_text("time,a,b\n2024-01-01,1,2\n2024-01-02,3,4\n")
    assert cli.run(["simulate", "wide.csv", "--since", "2024-01-03"]) == DataError.exit_code
    error = capsys.readouterr().err
    assert "no reading since 2024-01-03 00:00 (the last is of 2024-01-02 00:00)" in error


def test_another_packages_command_runs(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plug_in(
        monkeypatch,
        "greet",
        "def command(name: str, times: int = 1) -> None:\n    print(name * times)\n",
        tmp_path,
    )
    assert cli.run(["greet", "ab", "--times", "2"]) == 0
    assert capsys.readouterr().out == "abab\n"


@pytest.mark.parametrize(
    "code",
    [
        "import torch_is_not_here\ndef command() -> None: ...\n",
        "def command() -> None:\n    import torch_is_not_here\n",
    ],
    ids=["while loading", "while running"],
)
def test_a_missing_extra_is_named(
    code: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plug_in(monkeypatch, "train", code, tmp_path)
    monkeypatch.delitem(sys.modules, "plug_in_train", raising=False)
    assert cli.run(["train"]) == MissingExtra.exit_code
    error = capsys.readouterr().err
    assert "torch_is_not_here" in error
    assert "pip install 'eddycast[train]'" in error


def test_the_list_of_commands_says_which_extra_is_missing(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plug_in(monkeypatch, "demo", "import torch_is_not_here\n", tmp_path)
    assert cli.run(["--help"]) == 0
    assert "eddycast[demo]" in capsys.readouterr().out


def test_serving_loads_no_command_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plug_in(monkeypatch, "broken", "raise RuntimeError('loaded')\n", tmp_path)
    assert cli.run(["serve", "--help"]) == 0


def test_importing_the_command_line_brings_neither_torch_nor_polars() -> None:
    code = "import sys, eddycast.service.__main__\n"
    code += "print(sorted({'torch', 'polars', 'eddycast.training'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout == "[]\n"


def test_the_version_is_the_packages(capsys: Capture) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"


@pytest.mark.parametrize(
    "command",
    [
        ["train"],
        ["backtest"],
        ["demo"],
        ["replay"],
        ["simulate"],
        ["bundle", "sign"],
        ["state", "show"],
        ["state", "import"],
        ["serve"],
    ],
    ids=" ".join,
)
def test_help_shows_every_default(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert cli.run([*command, "--help"]) == 0
    lines = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line[:1] == "│" and "--" in line[:12] and "--help" not in line
    ]
    assert lines
    for line in lines:
        assert "[default: " in line or "[required]" in line, line
