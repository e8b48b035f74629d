"""Read the files of a bundle: regular files only, up to a size limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from eddycast.service.errors import BundleError


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a bundle's file.

    Raises BundleError if it is missing, unreadable,
    not a regular file or larger than `limit` bytes.
    """
    try:
        # opening a pipe would block until it has a writer
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise BundleError(str(path), "a file of the bundle", "no such file") from None
    except OSError as error:
        raise BundleError(
            str(path), "a file of the bundle", str(error.strerror), "make it readable"
        ) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise BundleError(str(path), "a file of the bundle", "not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_size > limit:
            raise BundleError(str(path), f"at most {limit:,} bytes", f"{found.st_size:,}")
        return file.read(limit + 1)
