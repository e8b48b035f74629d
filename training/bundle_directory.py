"""A bundle stands whole in its directory, or the one before it stays."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.bundle import MANIFEST
from service.errors import DataError
from service.writing import written_to


def check_replaceable(directory: Path) -> None:
    """Make the folders that `directory` will stand in. Raises DataError where a bundle cannot be written there."""
    if directory.exists() and not directory.is_dir():
        raise DataError(f"{directory} is a file", "name a directory for the bundle")
    with written_to(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        for folder in (directory.parent, directory):
            if folder.exists() and not os.access(folder, os.W_OK):
                raise PermissionError(f"no right to write in {folder}")


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """A fresh directory beside `directory`; its files are moved there when the block ends, the manifest last. Where
    the block raises, nothing is moved. Raises DataError where files cannot be written."""
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
