"""Changes of the model on the monitor, from a registry with changes and verdicts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from eddycast.service.monitor.service_panel import ServicePanel
from eddycast.service.registry.audit import Audit
from eddycast.service.registry.candidates import Verdict
from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.registry import Registry
from eddycast.service.settings.load import load_settings
from tests.monitor.records import board
from tests.monitor.serving import client
from tests.monitor.worker_ports import look
from tests.support.bundles import Walk, listed
from tests.support.registry import NOON, MemoryFolder, promoted, published

EVIDENCE = {"streams": 12, "horizon": [-0.03, -0.05, -0.01], "large": 10**30, "text": "x" * 5_000}


@pytest.fixture
def versions(tmp_path: Path) -> tuple[str, str]:
    """A registry with a champion, a candidate that was turned down an hour later, and a rollback
    after that; returns the versions of champion and candidate."""
    registry = Registry(LocalFolder(tmp_path / "registry"), "walk")
    old = published(registry, tmp_path / "old", listed(Walk(hidden=4)))
    new = published(registry, tmp_path / "new", listed(Walk(hidden=4, spread=2.0)))
    first = promoted(registry, old, why="the <b>first</b>", evidence=EVIDENCE)
    hour = NOON + timedelta(hours=1)
    registry.turn_down(
        Verdict(
            version=new, label="walk@2", champion=old, change=first.change.number,
            who="night@host", when=hour, why="not better", evidence={"blocks": 40},
        )
    )  # fmt: skip
    promoted(registry, new, why="anyway", when=hour + timedelta(hours=1))
    return old, new


def registry_panel(folder: Path) -> ServicePanel:
    flags = [f"--registry.url={folder}", "--registry.model=walk"]
    return ServicePanel(load_settings(flags, {}))


def test_changes_and_verdicts_newest_first(tmp_path: Path, versions: tuple[str, str]) -> None:
    shown = registry_panel(tmp_path / "registry")
    api = client(board([]), service=shown)
    assert api.get("/api/service").json()["registry_trouble"]
    look(shown)
    found = api.get("/api/service").json()
    assert found["registry_trouble"] == ""
    assert [(one["kind"], one["number"], one["why"]) for one in found["changes"]] == [
        ("promote", 2, "anyway"),
        ("turned down", None, "not better"),
        ("promote", 1, "the <b>first</b>"),
    ]
    old, new = versions
    assert [one["version"] for one in found["changes"]] == [new[:12], new[:12], old[:12]]
    assert found["changes"][2]["when"] == NOON.timestamp() * 1000
    evidence = found["changes"][2]["evidence"]
    assert (evidence["streams"], evidence["horizon"]) == (12, "[-0.03, -0.05, -0.01]")
    assert len(evidence["text"]) == 300 and evidence["large"] == str(10**30)


def test_a_registry_that_is_gone_leaves_what_was_read(
    tmp_path: Path, versions: tuple[str, str]
) -> None:
    folder = tmp_path / "registry"
    shown = registry_panel(folder)
    look(shown)
    folder.rename(tmp_path / "elsewhere")
    look(shown)
    found = shown.view()
    assert len(found["changes"]) == 3 and "does not exist" in found["registry_trouble"]


def test_only_the_latest_are_read(tmp_path: Path) -> None:
    folder = MemoryFolder()
    registry = Registry(folder, "walk")
    two = [
        published(registry, tmp_path / name, listed(Walk(hidden=4, spread=spread)))
        for name, spread in (("old", 1.0), ("new", 2.0))
    ]
    for hours in range(4):
        promoted(registry, two[hours % 2], when=NOON + timedelta(hours=hours))
    audit = Audit(folder, "walk")
    assert [one.number for one in audit.latest(2)] == [4, 3]
    del folder.files["models/walk/changes/00000001.json"]
    assert [one.number for one in audit.latest(2)] == [4, 3]
    assert Audit(MemoryFolder(), "walk").latest(2) == []
