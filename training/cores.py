"""The cores that a training may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path


def cores() -> int:
    """Cores that this process may use: of its affinity, at most OMP_NUM_THREADS, and at most the
    share of a control group (rounded up)."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min([usable, *([max(1, int(told))] if told.isdigit() else []), *_quotas()])


def _quotas(root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """The cores that the control group of this process grants, if it limits them (version 2, as a
    container sees it)."""
    file = root / "cpu.max"
    granted, _, period = file.read_text().strip().partition(" ") if file.is_file() else ("", "", "")
    if granted.isdigit() and period.isdigit():
        yield max(1, -(-int(granted) // int(period)))
