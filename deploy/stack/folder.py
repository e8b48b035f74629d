"""A temporary folder that is removed at the end, even if this process is killed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Waits until no process holds the other end of its standard input, then removes the folder. Tries
#: again, because a process further down may still be about to end.
_JANITOR = 'cat >/dev/null; for _ in 1 2 3 4 5; do rm -rf "$1" && exit; sleep 1; done'


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder, and a file descriptor: the folder stays until every holder has closed it."""

    path: Path
    held: int


@contextmanager
def run_folder() -> Iterator[RunFolder]:
    """Context with a new folder for the logs and data of one run."""
    path = tempfile.mkdtemp(prefix="eddycast-stack-")
    reading, held = os.pipe()
    janitor = subprocess.Popen(
        ["/bin/sh", "-c", _JANITOR, "janitor", path],
        stdin=reading,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(reading)
    try:
        yield RunFolder(Path(path), held)
    finally:
        os.close(held)
        janitor.wait()
