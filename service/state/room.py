"""How many streams fit: by what was set, or by the memory that the process may have."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
#: Bytes of a process without any stream: interpreter, libraries, a model, the client's buffers.
_BASE_BYTES = 400 << 20
#: Part of what is left that rows may take. The rest is for copies of rows that a transaction touches, and for a poll.
_SHARE = 0.6
#: Rows double when they are full: twice of what is in use is mapped, which counts where the address space is limited.
_DOUBLED = 2
#: Bytes of a stream beside its row: its name, twice, and its place in an index.
_NAME_BYTES = 256
#: However small the memory: with fewer nothing could be served.
_FEWEST = 1_000


def fitting_streams(row_bytes: int, memory_bytes: int | None = None) -> int:
    """Streams with rows of this size that `memory_bytes` have room for; those of this process unless given."""
    memory = memory_limit() if memory_bytes is None else memory_bytes
    return max(_FEWEST, int((memory - _BASE_BYTES) * _SHARE) // (row_bytes + _NAME_BYTES))


def memory_limit() -> int:
    """Bytes that this process may have: the least of its control groups' limits, its own, and the machine's memory."""
    return min(_limits())


def _limits() -> Iterator[int]:
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        yield _BASE_BYTES + max(0, address_space - _mapped_bytes() - _BASE_BYTES) // _DOUBLED
    for file in _control_group_files():
        text = file.read_text().strip() if file.is_file() else ""
        if text.isdigit():  # "max" = no limit
            yield int(text)


def _mapped_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """The address space that this process has taken already: stacks and heaps of threads, far beyond what is in use."""
    return int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if statm.is_file() else 0


def _control_group_files(membership: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> Iterator[Path]:
    """Where the limits of this process's control group stand, and of those around it; versions 2 and 1."""
    for line in membership.read_text().splitlines() if membership.is_file() else ():
        number, controllers, path = line.split(":", 2)
        top, name = (root, "memory.max") if number == "0" else (root / "memory", "memory.limit_in_bytes")
        if number != "0" and "memory" not in controllers.split(","):
            continue
        group = top / path.lstrip("/")
        yield from (folder / name for folder in (group, *group.parents) if folder.is_relative_to(top))
