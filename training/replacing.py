"""A bundle stands whole in its directory, or the one before it stays."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.bundle import MANIFEST


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """A fresh directory beside `directory`; its files are moved there when the block ends, the manifest last. Where
    the block raises, nothing is moved."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as made:
        fresh = Path(made)
        yield fresh
        directory.mkdir(exist_ok=True)
        (directory / MANIFEST).unlink(missing_ok=True)
        for file in sorted(fresh.iterdir(), key=lambda file: file.name == MANIFEST):
            file.replace(directory / file.name)
