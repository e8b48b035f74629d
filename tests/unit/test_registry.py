"""The registry of models: one battery for the file system, memory and S3."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from eddycast.service.bundle import MANIFEST
from eddycast.service.errors import BundleError, RegistryError, RegistryUnavailable
from eddycast.service.registry.folder import Folder, LocalFolder, folder_at
from eddycast.service.registry.promotion import former_champion
from eddycast.service.registry.pruning import prunable
from eddycast.service.registry.registry import LoadOptions, Registry
from eddycast.service.sealing.signatures import new_key, sign
from tests.support.bundles import Walk, listed, write_bundle
from tests.support.registry import NOON, MemoryFolder, promoted, published
from tests.support.s3 import Store

OLD = listed(Walk(hidden=4))
NEW = listed(Walk(hidden=4, spread=2.0), latent="beef" * 4)
CHANGES = "models/walk/changes"


@dataclass(frozen=True)
class Place:
    """Address of a registry that several processes share."""

    url: str
    endpoint_url: str | None = None


@pytest.fixture(params=["file system", "S3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file system":
        return Place(str(tmp_path / "registry"))
    store: Store = request.getfixturevalue("s3")
    return Place(f"{store.bucket()}/of/models", store.endpoint_url)


@pytest.fixture(params=["file system", "memory", "S3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "S3":
        store: Store = request.getfixturevalue("s3")
        return folder_at(f"{store.bucket()}/of/models", store.endpoint_url)
    return LocalFolder(tmp_path / "registry") if request.param == "file system" else MemoryFolder()


@pytest.fixture
def registry(folder: Folder) -> Registry:
    folder.prepare()
    return Registry(folder, "walk")


class TestFolder:
    def test_a_file_is_created_once_and_keeps_its_content(self, folder: Folder) -> None:
        folder.prepare()
        assert folder.create("a/b/one", b"first") and not folder.create("a/b/one", b"second")
        assert folder.read("a/b/one") == b"first"
        assert folder.names("a") == ["b"] and folder.names("a/b") == ["one"]
        assert folder.names("nothing") == []
        with folder.local("a/b") as directory:
            assert (directory / "one").read_bytes() == b"first"

    def test_of_many_that_create_one_name_exactly_one_succeeds(self, folder: Folder) -> None:
        folder.prepare()
        won, start = list[int](), threading.Barrier(8)

        def compete(n: int) -> None:
            start.wait()
            won.extend([n] if folder.create("x/one", b"%d" % n) else [])

        threads = [threading.Thread(target=compete, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and folder.read("x/one") == b"%d" % won[0]
        assert folder.names("x") == ["one"], "temporary files are gone"

    def test_what_is_deleted_is_gone_and_what_is_missing_is_an_error(self, folder: Folder) -> None:
        folder.prepare()
        folder.create("x/one", b"")
        folder.delete("x/one")
        folder.delete("x/one")
        assert folder.names("x") == []
        with pytest.raises(RegistryError, match="x/one does not exist"):
            folder.read("x/one")


def test_a_published_version_is_complete_verified_and_published_once(
    registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    version = published(registry, tmp_path / "old", OLD)
    assert registry.versions() == [version] and registry.resolve(version[:6]) == version
    assert registry.load(version).manifest.version == registry.manifest(version).version == version
    assert registry.publication(version) == {"who": "alice@host", "when": NOON.isoformat()}
    assert registry.publish(tmp_path / "old", "bob@host", "later")[1] is False
    assert registry.publication(version)["who"] == "alice@host"


def test_a_publication_that_was_interrupted_is_completed(
    registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    version = published(registry, tmp_path / "old", OLD)
    folder.delete(f"models/walk/versions/{version}/{MANIFEST}")
    assert registry.versions() == []
    with pytest.raises(RegistryError, match=rf"{version[:12]} .*not in the registry"):
        registry.load(version)
    assert registry.publish(tmp_path / "old", "bob@host", "later")[1] is True
    assert registry.versions() == [version]


def test_a_damaged_bundle_is_not_published_and_a_damaged_version_not_loaded(
    registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    version = published(registry, tmp_path / "old", OLD)
    (tmp_path / "old" / "step.onnx").write_bytes(b"something else")
    with pytest.raises(BundleError, match=r"step\.onnx"):
        registry.publish(tmp_path / "old", "bob@host", "later")
    name = f"models/walk/versions/{version}/forecast.onnx"
    folder.delete(name)
    folder.create(name, b"torn")
    with pytest.raises(BundleError, match=r"forecast\.onnx.*sha256"):
        registry.load(version)


def test_changes_are_numbered_linked_and_kept(registry: Registry, tmp_path: Path) -> None:
    old, new = (published(registry, tmp_path / n, w) for n, w in (("o", OLD), ("n", NEW)))
    assert registry.newest() is None and registry.changes() == []
    promoted(registry, old, why="the first")
    promoted(registry, new, expected=old[:8], evidence={"mse": 0.4})
    assert former_champion(registry) == old
    promoted(registry, old)
    first, second, third = registry.changes()
    assert [one.change.number for one in (first, second, third)] == [1, 2, 3]
    assert [one.change.champion for one in (first, second, third)] == [old, new, old]
    assert (second.change.expected, second.change.predecessor) == (old, first.digest)
    assert second.change.evidence == {"mse": 0.4} and first.change.why == "the first"
    assert registry.newest() == third


def test_what_is_champion_already_or_not_expected_is_refused(
    registry: Registry, tmp_path: Path
) -> None:
    old, new = (published(registry, tmp_path / n, w) for n, w in (("o", OLD), ("n", NEW)))
    promoted(registry, old)
    with pytest.raises(RegistryError, match="is the champion of walk already"):
        promoted(registry, old)
    with pytest.raises(RegistryError, match=rf"is walk@{old[:6]}, by alice@host, not {new[:12]}"):
        promoted(registry, new, expected=new)
    with pytest.raises(RegistryError, match="no version begins with 'feedbeef'"):
        registry.resolve("feedbeef")
    assert len(registry.changes()) == 1


@pytest.mark.parametrize(
    ("walk", "fact"),
    [
        (listed(Walk(hidden=4, interval_ms=900_000), core="beef" * 4), "900,000 ms"),
        (listed(Walk(hidden=4), core="beef" * 4), "core state is not the same"),
        (listed(Walk(hidden=4, horizon=5)), "horizon from 3 to 5"),
    ],
    ids=["interval", "memory", "horizon"],
)
def test_a_model_that_cannot_take_over_is_refused_in_one_line(
    registry: Registry, tmp_path: Path, walk: Walk, fact: str
) -> None:
    old, other = (published(registry, tmp_path / n, w) for n, w in (("o", OLD), ("n", walk)))
    promoted(registry, old)
    with pytest.raises(RegistryError, match=fact) as caught:
        promoted(registry, other)
    assert "\n" not in caught.value.what and caught.value.exit_code == 7
    if "horizon" in fact:
        assert "--allow-output-change" in caught.value.action
        assert promoted(registry, other, allow_output_change=True).change.allows_output_change


def test_a_core_that_is_only_declared_equal_is_found_by_stepping(
    registry: Registry, tmp_path: Path
) -> None:
    """The manifest counts what depends on the weights as core."""
    tensors = [spec.name for spec in OLD.state]
    declared = {"parts": [{"name": "core", "tensors": tensors, "meaning": "c0de" * 4}]}
    old, other = (
        published(registry, tmp_path / str(seed), replace(OLD, seed=seed, fields=declared))
        for seed in (7, 8)
    )
    promoted(registry, old)
    with pytest.raises(RegistryError, match=r"another core .* hidden after 1 steps"):
        promoted(registry, other)
    assert len(registry.changes()) == 1


def test_the_loser_of_two_promotions_at_once_is_told_by_whom(
    registry: Registry, tmp_path: Path
) -> None:
    old, new = (published(registry, tmp_path / n, w) for n, w in (("o", OLD), ("n", NEW)))
    first = promoted(registry, old)
    winner = promoted(registry, new, who="bob@elsewhere")
    mine = winner.change.model_copy(update={"who": "carol@host", "nonce": "other"})
    with pytest.raises(RegistryError, match=rf"bob@elsewhere was first: walk@{new[:6]} .*change 2"):
        registry.append(mine, first)
    assert registry.newest() == winner


def test_a_change_that_was_stored_although_the_storage_reported_a_failure_counts(
    registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    stored = promoted(registry, published(registry, tmp_path / "o", OLD))
    assert registry.append(stored.change, None) == stored


@pytest.mark.parametrize("torn", [b"", b"{", b'{"format": 1}', b'{"format": 2}'])
def test_a_torn_change_is_named_and_no_older_one_is_taken_for_the_state(
    registry: Registry, folder: Folder, tmp_path: Path, torn: bytes
) -> None:
    promoted(registry, published(registry, tmp_path / "o", OLD))
    folder.create(f"{CHANGES}/00000002.json", torn)
    for look in (registry.newest, registry.changes):
        with pytest.raises(RegistryError, match=r"00000002\.json is damaged"):
            look()


def test_a_change_that_was_replaced_or_deleted_is_noticed(
    registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    old, new = (published(registry, tmp_path / n, w) for n, w in (("o", OLD), ("n", NEW)))
    promoted(registry, old)
    promoted(registry, new)
    name = f"{CHANGES}/00000001.json"
    content = json.loads(folder.read(name))
    folder.delete(name)
    for look in (registry.newest, registry.changes):
        with pytest.raises(RegistryError, match=r"00000002\.json does not follow"):
            look()
    folder.create(name, json.dumps(content | {"who": "mallory"}).encode())
    with pytest.raises(RegistryError, match=r"00000002\.json does not follow"):
        registry.newest()


def test_above_leaves_numbers_out_and_heals_a_registry_that_was_restored(
    registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    old, new = (published(registry, tmp_path / n, w) for n, w in (("o", OLD), ("n", NEW)))
    promoted(registry, old)
    healed = promoted(registry, old, above=41)
    assert healed.change.number == 42 and registry.newest() == healed
    assert folder.names(CHANGES) == ["00000001.json", "00000002.json"]
    assert promoted(registry, new).change.number == 43
    assert [one.change.number for one in registry.changes()] == [1, 42, 43]


def test_with_trusted_keys_versions_and_changes_must_be_signed(
    folder: Folder, tmp_path: Path
) -> None:
    folder.prepare()
    public, other = new_key(tmp_path / "key"), new_key(tmp_path / "other")
    write_bundle(tmp_path / "o", OLD)
    sign(tmp_path / "o" / MANIFEST, tmp_path / "key")
    trusting = Registry(folder, "walk", LoadOptions(keys=(public,)))
    version = trusting.publish(tmp_path / "o", "alice@host", "now")[0].version
    assert trusting.load(version).manifest.version == version
    with pytest.raises(BundleError, match="unsigned"):
        published(trusting, tmp_path / "n", NEW)
    newer = published(Registry(folder, "walk"), tmp_path / "n", NEW)
    promoted(trusting, version, key=tmp_path / "key")
    assert trusting.newest() is not None
    with pytest.raises(BundleError, match="unsigned"):
        promoted(trusting, newer, key=tmp_path / "key")
    careless = Registry(folder, "walk")
    for key, subject, found in ((None, newer, "none"), (tmp_path / "other", version, other[:12])):
        promoted(careless, subject, key=key)
        with pytest.raises(RegistryError, match=f"a signature by a trusted key, found .*{found}"):
            trusting.newest()


def test_pruning_keeps_recent_champions_and_candidates(
    registry: Registry, folder: Folder, tmp_path: Path
) -> None:
    walks = [OLD, NEW, replace(OLD, warmup_steps=3), replace(OLD, warmup_steps=4)]
    versions = [published(registry, tmp_path / str(n), walk) for n, walk in enumerate(walks)]
    for version in versions[:3]:
        promoted(registry, version)
    assert prunable(registry, 2, candidates=False) == [versions[0]]
    assert set(prunable(registry, 1, candidates=True)) == set(versions) - {versions[2]}
    registry.delete(versions[0])
    assert set(registry.versions()) == set(versions[1:])
    assert not folder.names(f"models/walk/versions/{versions[0]}")
    with pytest.raises(RegistryError, match="not in the registry"):
        promoted(registry, versions[0])


def test_a_folder_that_is_not_mounted_is_unavailable(tmp_path: Path) -> None:
    registry = Registry(folder_at(f"file://{tmp_path}/nothing"), "walk")
    with pytest.raises(RegistryUnavailable, match=r"nothing does not exist"):
        registry.newest()
    with pytest.raises(RegistryError, match="gs://bucket is neither"):
        folder_at("gs://bucket")


_COMPETE = """
import sys
from datetime import datetime, UTC
from eddycast.service.errors import RegistryError
from eddycast.service.registry.folder import folder_at
from eddycast.service.registry.promotion import Request, promote
from eddycast.service.registry.registry import Registry

registry = Registry(folder_at(sys.argv[1], *sys.argv[4:]), "walk")
request = Request(sys.argv[3], datetime.now(UTC))
newest = registry.newest()
registry.newest = lambda: newest  # both have seen the same champion
print("ready", flush=True)
sys.stdin.readline()
try:
    print("won", promote(registry, sys.argv[2], request).change.number)
except RegistryError as error:
    print("lost", error.what)
"""


def test_of_processes_that_promote_at_once_one_wins_and_the_others_learn_who(
    place: Place, tmp_path: Path
) -> None:
    endpoint = [] if place.endpoint_url is None else [place.endpoint_url]
    registry = Registry(folder_at(place.url, *endpoint), "walk")
    old, new = (published(registry, tmp_path / n, w) for n, w in (("o", OLD), ("n", NEW)))
    promoted(registry, old)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _COMPETE, place.url, new, f"process-{n}", *endpoint],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=90)[0].strip() for process in processes]
    (winner,) = [n for n, line in enumerate(said) if line == "won 2"]
    losers = [line for n, line in enumerate(said) if n != winner]
    assert all(line.startswith(f"lost process-{winner} was first") for line in losers), said
    newest = registry.newest()
    assert newest is not None and newest.change.who == f"process-{winner}"
