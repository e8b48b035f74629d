"""The commands of docs/lifecycle.md do what the page says, in its order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from eddycast.service.__main__ import run
from tests.support.bundles import Walk, listed, write_bundle

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.S | re.M)


def commands() -> list[list[str]]:
    """The lines of `eddycast models` on the page, but for `compare`, which needs a broker."""
    lines = "".join(FENCE.findall(PAGE.read_text())).splitlines()
    words = [shlex.split(line) for line in lines if line.startswith("eddycast models")]
    return [line for line in words if line[2] != "compare"]


def test_the_commands_of_the_page_work_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDDYCAST_REGISTRY__URL", str(tmp_path / "models"))
    monkeypatch.setenv("EDDYCAST_REGISTRY__MODEL", "load")
    old = write_bundle(tmp_path / "bundle", listed(Walk(hidden=4))).version
    walk = listed(Walk(hidden=4, spread=2.0), latent="beef" * 4)
    new = write_bundle(tmp_path / "newer", walk).version
    assert run(["models", "publish", "newer"]) == 0
    values = {"$VERSION": old, "$OLD": old, "$NEW": new}
    names = [line[2] for line in commands()]
    assert {"publish", "list", "promote", "diff", "rollback", "history", "prune"} == set(names)
    for line in commands():
        words = [values.get(word, word) for word in line[1:]]
        assert run(words) == 0, (line, capsys.readouterr())
    said = capsys.readouterr().out
    assert f"walk@{new[:6]} is the champion of load by change 101" in said
    assert "alarms" in said and "rollback" in said
