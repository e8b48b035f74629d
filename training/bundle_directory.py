"""Bundles are installed whole: the new one stands complete in its directory,
or the one before it stays."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eddycast.service.bundle import MANIFEST
from eddycast.service.errors import DataError
from eddycast.service.output_files import written_to


def check_replaceable(directory: Path) -> None:
    """Create the parents of `directory`. Raises DataError if no bundle can be written there."""
    if directory.exists() and not directory.is_dir():
        raise DataError(f"{directory} is a file", "name a directory for the bundle")
    with written_to(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        for folder in (directory.parent, directory):
            if folder.exists() and not os.access(folder, os.W_OK):
                raise PermissionError(f"no right to write in {folder}")


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """Yield an empty directory beside `directory`;
    on success its files are moved there, the manifest last.

    If the block raises, `directory` stays as it was. Raises DataError if files cannot be written.
    """
    check_replaceable(directory)
    with (
        written_to(directory),
        tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as made,
    ):
        fresh = Path(made)
        yield fresh
        directory.mkdir(exist_ok=True)
        (directory / MANIFEST).unlink(missing_ok=True)
        for file in sorted(fresh.iterdir(), key=lambda file: file.name == MANIFEST):
            file.replace(directory / file.name)


def install(bundle: Path, directory: Path) -> Path:
    """Copy a bundle to the `directory` that a service reads, and return that.
    Raises DataError as `replacing` does."""
    with replacing(directory) as fresh:
        for file in bundle.iterdir():
            shutil.copyfile(file, fresh / file.name)
    return directory
