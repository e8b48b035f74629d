"""One model in a registry.

    models/NAME/versions/HASH/            a bundle; manifest.json is created last and completes it
    models/NAME/changes/NNNNNNNN.json     a change of champion, by `change_log.py`
    models/NAME/verdicts/HASH.json        why a candidate did not become champion (candidates.py)

Nothing is ever replaced. Rooms that follow a registry only read it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from eddycast.service.bundle import MANIFEST, Manifest
from eddycast.service.errors import RegistryError, SettingsError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.model.runtime import Runtime
from eddycast.service.registry.candidates import (
    Candidacy,
    Verdict,
    parse_candidacy,
    parse_verdict,
    verdicts_folder,
)
from eddycast.service.registry.change import Change, StoredChange
from eddycast.service.registry.change_log import ChangeLog
from eddycast.service.registry.folder import Folder, folder_at
from eddycast.service.sealing.signatures import SIGNATURE
from eddycast.service.sealing.trust import Trust
from eddycast.service.settings.settings import Settings

PUBLICATION, CANDIDACY = "publication.json", "candidacy.json"
#: Fewest digits that name a version.
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Arguments for loading bundles: see `load_runtime`."""

    intra_op_threads: int = 1
    max_batch: int = 512
    keys: tuple[str, ...] = ()
    operators: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> LoadOptions:
        """The options that `bundle` and `engine` settings give."""
        engine, trust = settings.engine, settings.bundle.trust
        return cls(engine.intra_op_threads, engine.max_batch, trust.keys, trust.operators)

    def trust(self, version: str) -> Trust:
        """Conditions on the bundle of this version."""
        return Trust(version, self.keys, self.operators)


class Registry:
    """Versions and changes of one model. Holds no state, so every call sees what is stored now.
    All methods raise RegistryUnavailable if the storage does not answer."""

    def __init__(self, folder: Folder, model: str, options: LoadOptions = LoadOptions()) -> None:
        self._folder, self.model, self._options = folder, model, options
        self._versions = f"models/{model}/versions"
        self._log = ChangeLog(folder, model, options.keys)
        self._verdicts = verdicts_folder(model)

    def prepare(self) -> None:
        """Create the storage if it does not exist."""
        self._folder.prepare()

    def changes(self) -> list[StoredChange]:
        """All changes, oldest first: `ChangeLog.all`."""
        return self._log.all()

    def newest(self) -> StoredChange | None:
        """The newest change: `ChangeLog.newest`."""
        return self._log.newest()

    def append(self, change: Change, before: StoredChange | None) -> StoredChange:
        """Store a change that follows `before`: `ChangeLog.append`."""
        return self._log.append(change, before)

    def versions(self) -> list[str]:
        """All versions that are complete."""
        return [v for v in self._folder.names(self._versions) if self._is_complete(v)]

    def resolve(self, digits: str) -> str:
        """The version that begins with these digits. Raises RegistryError unless there is exactly
        one, or for fewer than six digits."""
        found = [v for v in self.versions() if v.startswith(digits)]
        if len(digits) < _DIGITS or len(found) != 1:
            how = f"{len(found)} versions of {self.model} begin" if found else "no version begins"
            what = (
                f"{how} with {digits!r}" if len(digits) >= _DIGITS else f"{digits!r} is too short"
            )
            raise RegistryError(what, f"name {_DIGITS} or more digits of one of `models list`")
        return found[0]

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version, after its hashes were checked. Raises RegistryError for a
        version that is not there, BundleError."""
        self._require(version)
        with self._folder.local(f"{self._versions}/{version}") as directory:
            return read_manifest(directory, self._options.trust(version))

    def load(self, version: str) -> Runtime:
        """The verified runtime of a version. Raises RegistryError for a version that is not there,
        BundleError."""
        self._require(version)
        options = self._options
        with self._folder.local(f"{self._versions}/{version}") as directory:
            return load_runtime(
                directory,
                intra_op_threads=options.intra_op_threads,
                max_batch=options.max_batch,
                trust=options.trust(version),
            )

    def files(self, version: str) -> dict[str, bytes]:
        """The files of a version, by their names in the registry. Raises RegistryError for a
        version that is not there."""
        self._require(version)
        place = f"{self._versions}/{version}"
        names = [f"{place}/{name}" for name in self._folder.names(place)]
        return {name: self._folder.read(name) for name in names}

    def publication(self, version: str) -> dict[str, str]:
        """Author and moment of a version's publication."""
        found = json.loads(self._folder.read(f"{self._versions}/{version}/{PUBLICATION}"))
        return {name: str(value) for name, value in found.items()}

    def candidacy(self, version: str) -> Candidacy | None:
        """The terms on which a version was published to be judged; None for one that was
        published by hand. Raises RegistryError if they are damaged."""
        place = f"{self._versions}/{version}"
        if CANDIDACY not in self._folder.names(place):
            return None
        return parse_candidacy(f"{place}/{CANDIDACY}", self._folder.read(f"{place}/{CANDIDACY}"))

    def verdict(self, version: str) -> Verdict | None:
        """The verdict by which a candidate was turned down, if it was. Raises RegistryError if it
        is damaged."""
        if f"{version}.json" not in self._folder.names(self._verdicts):
            return None
        name = f"{self._verdicts}/{version}.json"
        return parse_verdict(name, self._folder.read(name))

    def turn_down(self, verdict: Verdict) -> Verdict:
        """Store a verdict; returns the one that another process stored first, if any."""
        name = f"{self._verdicts}/{verdict.version}.json"
        self._folder.create(name, verdict.content)
        return parse_verdict(name, self._folder.read(name))

    def publish(
        self, directory: Path, who: str, when: str, candidacy: Candidacy | None = None
    ) -> tuple[Manifest, bool]:
        """Verify a bundle, replay included, and copy it, with the terms on which it is to be judged
        if there are any. Returns its manifest, and False if it was published before. Raises
        BundleError, RegistryError."""
        self.prepare()
        trust = self._options.trust("")
        manifest = load_runtime(directory, trust=trust).manifest
        place = f"{self._versions}/{manifest.version}"
        if self._is_complete(manifest.version):
            return manifest, False
        names = list(manifest.files)
        names += [SIGNATURE] if (directory / SIGNATURE).exists() else []
        for name in names:
            self._put(f"{place}/{name}", (directory / name).read_bytes())
        origin = json.dumps({"who": who, "when": when}, indent=2) + "\n"
        self._folder.create(f"{place}/{PUBLICATION}", origin.encode())
        if candidacy is not None:
            self._folder.create(f"{place}/{CANDIDACY}", candidacy.content)
        self._folder.create(f"{place}/{MANIFEST}", (directory / MANIFEST).read_bytes())
        return self.manifest(manifest.version), True

    def delete(self, version: str) -> None:
        """Delete a version, its manifest first, so that it is never half there."""
        place = f"{self._versions}/{version}"
        self._folder.delete(f"{place}/{MANIFEST}")
        for name in self._folder.names(place):
            self._folder.delete(f"{place}/{name}")

    def _put(self, name: str, content: bytes) -> None:
        """Create a file, or accept an equal one that an interrupted publication left."""
        if not self._folder.create(name, content) and self._folder.read(name) != content:
            raise RegistryError(
                f"{name} exists with other content", "delete that folder, then publish again"
            )

    def _require(self, version: str) -> None:
        if not self._is_complete(version):
            what = f"version {version[:12]} of {self.model} is not in the registry"
            raise RegistryError(what, "publish it (again), or name another version")

    def _is_complete(self, version: str) -> bool:
        return MANIFEST in self._folder.names(f"{self._versions}/{version}")


def open_registry(settings: Settings) -> Registry:
    """The registry of the settings. Raises SettingsError if they name none, RegistryError."""
    place = settings.registry
    if place.url is None or place.model is None:
        raise SettingsError(
            "no registry is named", "set registry.url and registry.model, as flags or variables"
        )
    folder = folder_at(place.url, place.endpoint_url)
    return Registry(folder, place.model, LoadOptions.of(settings))


def open_champion(settings: Settings) -> tuple[Registry, Change]:
    """The registry of the settings and its newest change. Raises RegistryError if there is none."""
    registry = open_registry(settings)
    newest = registry.newest()
    if newest is None:
        raise no_champion(registry.model)
    return registry, newest.change


def no_champion(model: str) -> RegistryError:
    """The error for a model that was never promoted."""
    return RegistryError(
        f"{model} has no champion in the registry", "`eddycast models promote` one"
    )
