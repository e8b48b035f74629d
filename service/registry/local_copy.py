"""A copy of the newest change and its version on a worker's own disk, to start from while the
registry does not answer."""

from __future__ import annotations

from eddycast.service.bundle import MANIFEST
from eddycast.service.errors import RegistryError
from eddycast.service.observability.log import get_log
from eddycast.service.registry.change import StoredChange, parse_change
from eddycast.service.registry.folder import Folder
from eddycast.service.registry.registry import LoadOptions, Registry


class LocalCopy:
    """The copy of one model of a registry, in a folder of its own and with the same names."""

    def __init__(self, folder: Folder, model: str, options: LoadOptions) -> None:
        self._folder, self._options = folder, options
        self._changes, self._versions = f"models/{model}/changes", f"models/{model}/versions"
        self._registry = Registry(folder, model, options)

    def keep(self, registry: Registry, stored: StoredChange) -> None:
        """Copy a change and its version, then delete what else is here. A failure is logged: it
        must not keep a worker from serving."""
        try:
            self._folder.prepare()
            version = stored.change.champion
            files = registry.files(version)
            for name in sorted(files, key=lambda name: name.endswith(f"/{MANIFEST}")):
                self._put(name, files[name])
            self._put(stored.name, stored.content)
            for name in self._folder.names(self._changes):
                if f"{self._changes}/{name}" != stored.name:
                    self._folder.delete(f"{self._changes}/{name}")
            for other in self._folder.names(self._versions):
                if other != version:
                    self._registry.delete(other)
        except RegistryError as error:
            get_log().warning(
                "the champion was not copied to registry.directory", reason=str(error)
            )

    def newest(self) -> StoredChange | None:
        """The change that was kept; None if there is none. Raises RegistryError."""
        self._folder.prepare()
        names = self._folder.names(self._changes)
        if not names:
            return None
        name = f"{self._changes}/{names[-1]}"
        return parse_change(name, self._folder.read(name), self._options.keys)

    @property
    def registry(self) -> Registry:
        """A registry of the version that was kept."""
        return self._registry

    def _put(self, name: str, content: bytes) -> None:
        """Create a file, in place of a damaged one of that name."""
        if not self._folder.create(name, content) and self._folder.read(name) != content:
            self._folder.delete(name)
            self._folder.create(name, content)
