"""`eddycast models`: the life of a model in a registry by the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from eddycast.service.__main__ import build_app, run
from eddycast.service.sealing.signatures import new_key
from tests.support.bundles import Walk, listed, write_bundle

OLD = listed(Walk(hidden=4))
NEW = listed(Walk(hidden=4, spread=2.0), latent="beef" * 4)
COMMANDS = (
    "list", "show", "publish", "promote", "rollback", "history", "diff", "prune", "compare",
)  # fmt: skip


class Shell:
    """Runs `eddycast models` against one registry."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._root, self._capsys = root, capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """The output of a command that must end with this exit code."""
        flags = ("--registry.url", str(self._root / "registry"), "--registry.model", "load")
        found = run(["models", *words, *flags])
        output = self._capsys.readouterr()
        assert found == code, output
        return output.err if code else output.out

    def json(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(*words, "--json"))
        return found

    def publish(self, name: str, walk: Walk) -> str:
        """Write and publish a bundle; returns its version."""
        version = write_bundle(self._root / name, walk).version
        assert self.json("publish", str(self._root / name))["version"] == version
        return version


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def test_a_model_is_published_promoted_rolled_back_and_its_history_kept(shell: Shell) -> None:
    old, new = shell.publish("old", OLD), shell.publish("new", NEW)
    assert "had been published before" in shell("publish", str(shell._root / "old"))
    assert shell.json("promote", old[:8], "--why", "the first")["number"] == 1
    assert "by change 2" in shell("promote", new[:8], "--who", "bob", "--expect", old[:8])
    roles = {row["version"]: row["role"] for row in shell.json("list")["versions"]}
    assert roles == {old[:12]: "former", new[:12]: "champion"}
    assert shell.json("rollback", "--why", "alarms")["kind"] == "rollback"
    rows = shell.json("history")["changes"]
    assert [(row["number"], row["champion"][-6:]) for row in rows] == [
        (1, old[:6]),
        (2, new[:6]),
        (3, old[:6]),
    ]
    assert [row["why"] for row in rows] == ["the first", "", "alarms"] and rows[1]["who"] == "bob"
    assert "the first" in shell("history") and "champion" in shell("list")
    assert shell.json("show", old[:6])["champion_by"] == [1, 3]
    assert old in shell("show", old[:6])


def test_a_difference_names_what_is_kept_and_what_would_be_refused(shell: Shell) -> None:
    old, new = shell.publish("old", OLD), shell.publish("new", NEW)
    other = shell.publish("other", replace(OLD, horizon=5))
    found = shell.json("diff", old[:8], new[:8])
    assert found["parts"] == {"core": "kept", "latent": "from zeros"}
    assert found["rows"] == "can be promoted after it"
    assert "horizon from 3 to 5" in shell("diff", old[:8], other[:8])
    shell("promote", old[:8])
    assert "--allow-output-change" in shell("promote", other[:8], code=7)
    assert shell.json("promote", other[:8], "--allow-output-change")["number"] == 2


def test_pruning_deletes_old_versions_and_says_which(shell: Shell) -> None:
    old, new = shell.publish("old", OLD), shell.publish("new", NEW)
    shell("promote", old)
    shell("promote", new)
    assert shell.json("prune", "--keep", "1", "--dry-run") == {"versions": [old], "deleted": False}
    assert old[:12] in shell("prune", "--keep", "1")
    assert len(shell.json("list")["versions"]) == 1
    assert "not in the registry" in shell("rollback", code=7)


def test_a_change_is_signed_and_carries_evidence(shell: Shell) -> None:
    version, key = shell.publish("old", OLD), shell._root / "key"
    public = new_key(key)
    (shell._root / "judged.json").write_text('{"mse": [0.41, 0.39]}')
    found = shell.json(
        "promote", version, "--key", str(key), "--evidence", str(shell._root / "judged.json")
    )
    assert found["evidence"] == {"mse": [0.41, 0.39]} and found["signature"]["key"] == public
    trusting = ("--bundle.trusted_keys", "0" * 64)
    assert "a signature by a trusted key" in shell("promote", version, *trusting, code=7)


@pytest.mark.parametrize(
    ("words", "code", "fact"),
    [
        (("show", "abc"), 7, "'abc' is too short"),
        (("show", "--json"), 2, "in place of an argument"),
        (("promote", "--registry.poll_s", "1"), 2, "in place of an argument"),
        (("publish", "nothing"), 3, "manifest"),
        (("rollback",), 7, "one champion at most"),
        (("list", "--registry.poll_s", "0"), 2, "registry.poll_s"),
        (("list", "--bundle.version", "abcdef"), 2, "set one of them"),
        (("promote", "abcdef", "--evidence", "nothing.json"), 2, "nothing.json"),
    ],
)
def test_mistakes_are_one_line_with_an_exit_code(
    shell: Shell, words: tuple[str, ...], code: int, fact: str
) -> None:
    shell.publish("old", OLD)
    said = shell(*words, code=code)
    assert fact in said


def test_without_a_registry_the_settings_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list"]) == 2
    assert "registry.url" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    group: Any = get_command(build_app(["models"]))
    assert f"Example: eddycast models {name}" in group.commands["models"].commands[name].help
