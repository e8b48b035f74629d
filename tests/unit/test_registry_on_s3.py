"""A registry in a bucket: what differs from a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eddycast.service.__main__ import run
from eddycast.service.errors import MissingExtra, RegistryError, RegistryUnavailable
from eddycast.service.registry.folder import folder_at
from eddycast.service.registry.local_copy import LocalCopy
from eddycast.service.registry.registry import LoadOptions, Registry
from tests.support.bundles import Walk, listed, write_bundle
from tests.support.registry import MemoryFolder, promoted, published
from tests.support.s3 import Store, serving

OLD = listed(Walk(hidden=4))


@pytest.mark.usefixtures("s3")
def test_a_store_that_creates_a_key_twice_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with serving(conditions=False) as store:
        folder = folder_at(store.bucket(), store.endpoint_url)
        for act in (folder.prepare, lambda: folder.create("models/x", b"")):
            with pytest.raises(RegistryError, match="creates a key twice"):
                act()
        with pytest.raises(RegistryError, match="If-None-Match"):
            published(Registry(folder, "walk"), tmp_path / "o", OLD)
        assert folder.names("models") == []


def test_the_probe_leaves_nothing_and_is_made_once(s3: Store) -> None:
    folder = folder_at(s3.bucket(), s3.endpoint_url)
    folder.prepare()
    assert folder.names("") == []
    folder.create("models/x", b"")
    assert folder.names("") == ["models"]


def test_a_service_that_only_reads_writes_nothing(s3: Store, tmp_path: Path) -> None:
    place = s3.bucket(), s3.endpoint_url
    registry = Registry(folder_at(*place), "walk")
    promoted(registry, published(registry, tmp_path / "o", OLD))
    reading = folder_at(*place)
    reading.prepare = reading.create = reading.delete = _forbidden  # type: ignore[assignment, method-assign]
    reader, copy = Registry(reading, "walk"), LocalCopy(MemoryFolder(), "walk", LoadOptions())
    newest = reader.newest()
    assert newest is not None and newest == registry.newest()
    assert reader.load(newest.change.champion).manifest.version == newest.change.champion
    copy.keep(reader, newest)
    assert copy.newest() == newest


def _forbidden(*_: object) -> bool:
    raise AssertionError("it has no right to write")


def test_a_store_that_does_not_answer_is_unavailable_in_one_line(s3: Store) -> None:
    with serving() as gone:
        place = gone.bucket()
    nowhere = Registry(folder_at(place, gone.endpoint_url), "walk")
    with pytest.raises(RegistryUnavailable) as caught:
        nowhere.newest()
    assert "\n" not in caught.value.what and gone.endpoint_url in caught.value.what
    missing = Registry(folder_at("s3://nothing-of-this-name", s3.endpoint_url), "walk")
    for act in (missing.newest, missing.prepare):
        with pytest.raises(RegistryUnavailable, match="nothing-of-this-name"):
            act()
    with pytest.raises(RegistryError, match="names no bucket"):
        folder_at("s3:///models")


def test_the_commands_know_buckets(
    s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDDYCAST_REGISTRY__URL", f"{s3.bucket()}/models")
    monkeypatch.setenv("EDDYCAST_REGISTRY__ENDPOINT_URL", s3.endpoint_url)
    monkeypatch.setenv("EDDYCAST_REGISTRY__MODEL", "load")
    version = write_bundle(tmp_path / "bundle", OLD).version
    for words in (["publish", str(tmp_path / "bundle")], ["promote", version], ["list"]):
        assert run(["models", *words]) == 0, capsys.readouterr()
    assert version[:6] in capsys.readouterr().out


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "eddycast.service.registry.s3_folder", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtra, match="s3fs") as caught:
        folder_at("s3://bucket/models")
    assert "eddycast[s3]" in caught.value.action
