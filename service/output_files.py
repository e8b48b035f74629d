"""Output files of commands: checked before the work starts,
and a one-line error if writing fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eddycast.service.errors import DataError


def unwritable(path: Path, error: OSError) -> DataError:
    """Return the error for a file or folder that cannot be written."""
    return DataError(
        f"{path} cannot be written: {error.strerror or error}",
        "free some space, or name another place",
    )


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """Context in which a command writes to `path`; raises DataError if that fails."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def check_writable(path: Path) -> None:
    """Create the parent folders of `path` and check that it can be written,
    without creating or changing it.

    Raises DataError.
    """
    with written_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
        if not there:
            path.unlink()
