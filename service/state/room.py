"""The number of streams that fit into the memory available to this process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
#: Bytes of a process without streams: interpreter, libraries, a model, client buffers.
_BASE_BYTES = 400 << 20
#: Fraction of the rest that rows may take; what remains holds row copies of a transaction,
#: and a poll.
_SHARE = 0.6
#: Row arrays double when full, so up to twice the bytes in use are mapped (matters under
#: RLIMIT_AS).
_DOUBLED = 2
#: Bytes of a stream besides its row: its name, twice, and its index entry.
_NAME_BYTES = 256
#: Minimum, however small the memory: a service with fewer streams is of no use.
_MIN_STREAMS = 1_000


def fitting_streams(row_bytes: int, memory_bytes: int | None = None) -> int:
    """Return how many streams with rows of `row_bytes` fit into `memory_bytes` (default:
    `memory_limit()`)."""
    memory = memory_limit() if memory_bytes is None else memory_bytes
    return max(_MIN_STREAMS, int((memory - _BASE_BYTES) * _SHARE) // (row_bytes + _NAME_BYTES))


def memory_limit() -> int:
    """Return the bytes available to this process:
    the minimum of cgroup limits, RLIMIT_AS and RAM."""
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
    """Return the address space mapped so far, far more than what is in use (thread stacks and
    heaps)."""
    return int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if statm.is_file() else 0


def _control_group_files(
    membership: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS
) -> Iterator[Path]:
    """Yield the limit files of this process's cgroup and its parents,
    for cgroup versions 2 and 1."""
    for line in membership.read_text().splitlines() if membership.is_file() else ():
        number, controllers, path = line.split(":", 2)
        top, name = (
            (root, "memory.max") if number == "0" else (root / "memory", "memory.limit_in_bytes")
        )
        if number != "0" and "memory" not in controllers.split(","):
            continue
        group = top / path.lstrip("/")
        yield from (
            folder / name for folder in (group, *group.parents) if folder.is_relative_to(top)
        )
