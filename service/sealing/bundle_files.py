"""Reading a bundle's files: only plain ones, and no more of them than fits."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from service.errors import BundleError


def read_file(path: Path, limit: int) -> bytes:
    """The content of a file of a bundle. Raises BundleError for one that is not there, cannot be read, is a pipe or a
    device, or has more than `limit` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would wait for its writer
    except FileNotFoundError:
        raise BundleError(str(path), "a file of the bundle", "no such file") from None
    except OSError as error:
        raise BundleError(str(path), "a file of the bundle", str(error.strerror), "make it readable") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise BundleError(str(path), "a file of the bundle", "no plain file")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_size > limit:
            raise BundleError(str(path), f"at most {limit:,} bytes", f"{found.st_size:,}")
        return file.read(limit + 1)
