"""Files that a command writes: asked for before the work, and one line where they cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import DataError


def unwritable(path: Path, error: OSError) -> DataError:
    """What to say of a file or folder that cannot be written."""
    return DataError(f"{path} cannot be written: {error.strerror or error}", "free some space, or name another place")


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """While a command writes to `path`: raises DataError where that fails."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def check_writable(path: Path) -> None:
    """Make the folders that a file will stand in, and look whether it can be written; leaves no file behind and
    changes none. Raises DataError."""
    with written_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
        if not there:
            path.unlink()
