"""A registry's storage in memory, and registries with bundles in them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eddycast.service.errors import RegistryError, RegistryUnavailable
from eddycast.service.registry.change import StoredChange
from eddycast.service.registry.promotion import Request, promote
from eddycast.service.registry.registry import Registry
from tests.support.bundles import Walk, write_bundle

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class MemoryFolder:
    """A `Folder` in memory. `is_gone` makes every call fail, as if the storage were unmounted."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.is_gone = False
        self._lock = threading.Lock()

    def prepare(self) -> None:
        self._check()

    def names(self, place: str) -> list[str]:
        self._check()
        inside = [name[len(place) + 1 :] for name in self.files if name.startswith(f"{place}/")]
        return sorted({name.split("/")[0] for name in inside})

    def read(self, name: str) -> bytes:
        self._check()
        if name not in self.files:
            raise RegistryError(f"{name} does not exist")
        return self.files[name]

    def create(self, name: str, content: bytes) -> bool:
        self._check()
        with self._lock:
            if name in self.files:
                return False
            self.files[name] = content
            return True

    def delete(self, name: str) -> None:
        self._check()
        self.files.pop(name, None)

    @contextmanager
    def local(self, place: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as directory:
            for name in self.names(place):
                (Path(directory) / name).write_bytes(self.read(f"{place}/{name}"))
            yield Path(directory)

    def _check(self) -> None:
        if self.is_gone:
            raise RegistryUnavailable("the storage does not answer")


def published(registry: Registry, directory: Path, walk: Walk) -> str:
    """Write a bundle to `directory`, publish it and return its version."""
    write_bundle(directory, walk)
    return registry.publish(directory, "alice@host", NOON.isoformat())[0].version


def promoted(registry: Registry, version: str, **changes: Any) -> StoredChange:
    """Make a version the champion."""
    return promote(registry, version, replace(Request("alice@host", NOON), **changes))
