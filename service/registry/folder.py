"""Storage of a registry: named files that are created once and never replaced."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from eddycast.service.errors import MissingExtra, RegistryError, RegistryUnavailable
from eddycast.service.output_files import flush_to_disk

_MOUNT = "check that the folder is mounted, and that this user may use it"


class Folder(Protocol):
    """The port. Names are relative, with `/` between folders. All methods raise
    RegistryUnavailable if the storage does not answer."""

    def prepare(self) -> None:
        """Create the storage if it does not exist."""

    def names(self, place: str) -> list[str]:
        """Names directly inside the folder `place`; empty if it does not exist."""

    def read(self, name: str) -> bytes:
        """The content of a file. Raises RegistryError if it does not exist."""

    def create(self, name: str, content: bytes) -> bool:
        """Create a whole file durably; False, without any change, if one of this name exists.
        Of several processes that create the same name exactly one receives True."""

    def delete(self, name: str) -> None:
        """Delete a file; one that does not exist is ignored."""

    def local(self, place: str) -> AbstractContextManager[Path]:
        """A local directory with the files of `place`, to read while the block lasts."""


class LocalFolder:
    """A `Folder` in the file system: a file is written under a temporary name, flushed to disk,
    and then hard-linked to its own name, which fails if that exists."""

    def __init__(self, root: Path) -> None:
        """Creates nothing; `root` need not exist before the first `create`."""
        self._root = root

    def prepare(self) -> None:
        """See `Folder`."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unavailable(self._root, error) from error

    def names(self, place: str) -> list[str]:
        """See `Folder`. Temporary files are left out."""
        folder = self._root / place
        try:
            return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            if not self._root.is_dir():
                raise RegistryUnavailable(f"{self._root} does not exist", _MOUNT) from None
            return []
        except OSError as error:
            raise _unavailable(folder, error) from error

    def read(self, name: str) -> bytes:
        """See `Folder`."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            raise RegistryError(f"{self._root / name} does not exist") from None
        except OSError as error:
            raise _unavailable(self._root / name, error) from error

    def create(self, name: str, content: bytes) -> bool:
        """See `Folder`."""
        path = self._root / name
        temporary = path.parent / f".{uuid.uuid4().hex}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write(temporary, content)
                os.link(temporary, path)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
            flush_to_disk(path.parent)
        except OSError as error:
            raise _unavailable(path, error) from error
        return True

    def delete(self, name: str) -> None:
        """See `Folder`. A directory that becomes empty is removed."""
        path = self._root / name
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError as error:
            raise _unavailable(path, error) from error

    @contextmanager
    def local(self, place: str) -> Iterator[Path]:
        """See `Folder`. Files are read in place."""
        yield self._root / place


def folder_at(url: str, endpoint_url: str | None = None) -> Folder:
    """The storage at a path, a file:// URL or an s3:// URL; `endpoint_url` is that of another store
    than AWS. Raises RegistryError for another scheme, MissingExtra."""
    if "://" not in url:
        return LocalFolder(Path(url))
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return _bucket_at(url, endpoint_url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise RegistryError(
            f"{url} is neither a folder nor a bucket",
            "set registry.url to a path, to file:// and a path, or to s3://BUCKET/PREFIX",
        )
    return LocalFolder(Path(unquote(parts.path)))


def _bucket_at(url: str, endpoint_url: str | None) -> Folder:
    try:
        # an extra
        from eddycast.service.registry.s3_folder import S3Folder
    except ImportError as error:
        raise MissingExtra(
            f"{url} needs s3fs, which is not installed", "pip install 'eddycast[s3]'"
        ) from error
    return S3Folder(url, endpoint_url)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _unavailable(path: Path, error: OSError) -> RegistryUnavailable:
    return RegistryUnavailable(f"{path}: {error.strerror or error}", _MOUNT)
