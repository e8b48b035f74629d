"""Completion in bash, zsh and fish: commands, options and settings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from eddycast.service import __main__ as cli
from eddycast.service.settings.load import COMPLETING

Capture = pytest.CaptureFixture[str]
SHELLS = ("bash", "zsh", "fish")


@pytest.fixture(autouse=True)
def no_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home of its own; the shell is named, since tests run in none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")


def completed(monkeypatch: pytest.MonkeyPatch, capsys: Capture, shell: str, line: str) -> str:
    """What the program prints when `shell` asks it to complete `line`."""
    words = line.split(" ")
    monkeypatch.setenv(COMPLETING, f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert cli.run([]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "expected", "shell"),
    [
        ("eddycast se", "serve", "bash"),
        ("eddycast retr", "retrain", "zsh"),
        ("eddycast models pub", "publish", "fish"),
        ("eddycast simulate --spee", "--speed", "bash"),
        *(("eddycast serve --kafka.boot", "--kafka.bootstrap_servers", shell) for shell in SHELLS),
        ("eddycast state show boiler-7 --conf", "--config", "zsh"),
        ("eddycast retrain --registry.mo", "--registry.model", "bash"),
    ],
)
def test_commands_options_and_settings_are_completed(
    line: str, expected: str, shell: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    found = completed(monkeypatch, capsys, shell, line)
    assert expected in found
    assert "doctor" not in found


def test_a_command_without_settings_completes_none(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert "kafka." not in completed(monkeypatch, capsys, "bash", "eddycast simulate --kafka")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_shown_and_installed(
    shell: str, capsys: Capture, tmp_path: Path
) -> None:
    assert cli.run(["--show-completion", shell]) == 0
    script = capsys.readouterr().out
    assert COMPLETING in script and "eddycast" in script
    assert cli.run(["--install-completion", shell]) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(COMPLETING in path.read_text() for path in files)


def test_bash_takes_the_script(capsys: Capture) -> None:
    assert cli.run(["--show-completion", "bash"]) == 0
    command = ["bash", "--norc", "-c", capsys.readouterr().out + "\ncomplete -p eddycast"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "eddycast" in done.stdout and not done.stderr
