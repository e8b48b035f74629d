"""The copy of a champion from which a worker starts while its registry does not answer."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from eddycast.service.bundle import STEP
from eddycast.service.errors import RegistryUnavailable
from eddycast.service.observability.metrics import Metrics
from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.following import Follower
from eddycast.service.registry.local_copy import LocalCopy
from eddycast.service.registry.registry import LoadOptions, Registry
from eddycast.service.registry.starting import Started, start_with_champion
from eddycast.service.settings.registry import RegistrySettings
from eddycast.service.settings.settings import Settings
from tests.support.bundles import Walk, listed
from tests.support.registry import MemoryFolder, promoted, published

OLD = listed(Walk(hidden=4))
NEW = listed(Walk(hidden=4, spread=2.0), latent="beef" * 4)


def start(root: Path, copy: bool = True) -> Started:
    registry = RegistrySettings(
        url=str(root / "registry"), model="walk", directory=root / "copy" if copy else None
    )
    started = start_with_champion(Settings(registry=registry), threading.Event(), lambda _: None)
    assert started is not None
    return started


def test_a_worker_starts_from_its_copy_while_the_registry_is_gone(tmp_path: Path) -> None:
    registry = Registry(LocalFolder(tmp_path / "registry"), "walk")
    old = published(registry, tmp_path / "old", OLD)
    first = promoted(registry, old, above=4)
    assert start(tmp_path).change == first
    shutil.move(tmp_path / "registry", tmp_path / "elsewhere")
    started = start(tmp_path)
    assert started.change == first and started.runtime.manifest.version == old
    with pytest.raises(RegistryUnavailable, match="registry does not exist"):
        start(tmp_path, copy=False)
    shutil.move(tmp_path / "copy", tmp_path / "aside")
    with pytest.raises(RegistryUnavailable, match="registry does not exist"):
        start(tmp_path)
    shutil.rmtree(tmp_path / "copy")
    shutil.move(tmp_path / "aside", tmp_path / "copy")
    shutil.move(tmp_path / "elsewhere", tmp_path / "registry")
    new = promoted(registry, published(registry, tmp_path / "new", NEW))
    follower = Follower(started, lambda _: None, Metrics(CollectorRegistry()), 60.0)
    follower.look()
    assert follower.loaded is not None and follower.loaded.generation == new.change.number == 6
    shutil.rmtree(tmp_path / "registry")
    assert start(tmp_path).change == new, "what was loaded since is kept"


def test_the_copy_holds_one_version_and_heals_what_is_damaged(tmp_path: Path) -> None:
    registry, folder = Registry(MemoryFolder(), "walk"), MemoryFolder()
    old, new = (published(registry, tmp_path / n, w) for n, w in (("o", OLD), ("n", NEW)))
    copy = LocalCopy(folder, "walk", LoadOptions())
    assert copy.newest() is None
    copy.keep(registry, promoted(registry, old))
    newest = promoted(registry, new)
    folder.files[f"models/walk/versions/{new}/{STEP}"] = b"torn"
    copy.keep(registry, newest)
    assert copy.newest() == newest and folder.names("models/walk/versions") == [new]
    assert folder.names("models/walk/changes") == ["00000002.json"]
    assert copy.registry.load(new).manifest.version == new


def test_a_copy_that_cannot_be_written_keeps_no_worker_from_serving(tmp_path: Path) -> None:
    registry, folder = Registry(MemoryFolder(), "walk"), MemoryFolder()
    stored = promoted(registry, published(registry, tmp_path / "old", OLD))
    folder.is_gone = True
    LocalCopy(folder, "walk", LoadOptions()).keep(registry, stored)
    assert not folder.files
