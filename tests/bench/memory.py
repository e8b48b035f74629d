"""Memory a stream: `python -m tests.bench.memory STREAMS < SPECS` fills an arena and prints one
line of JSON."""

from __future__ import annotations

import gc
import json
import sys

import numpy as np
import psutil

from eddycast.service.state.arena import Arena
from tests.bench.specs import Spec, read_specs, row_bytes

_CHUNK = 10_000


def measure(specs: list[Spec], streams: int) -> dict[str, float]:
    """Bytes a stream: of the row, by the arena's own account,
    and as the operating system sees it."""
    process = psutil.Process()
    np.zeros(1 << 20).fill(1.0)
    gc.collect()
    before = process.memory_info().rss
    arena = Arena(specs)
    ones = {spec.name: np.ones((_CHUNK, *spec.shape), spec.dtype) for spec in specs}
    for start in range(0, streams, _CHUNK):
        count = min(_CHUNK, streams - start)
        slots = arena.slots(0, [b"sensor-%07d" % number for number in range(start, start + count)])
        arena.scatter(slots, {name: rows[:count] for name, rows in ones.items()})
        arena.prefix["observations"][slots] = 1
    used = process.memory_info().rss - before - sum(rows.nbytes for rows in ones.values())
    return {"row": row_bytes(specs), "account": arena.nbytes / streams, "resident": used / streams}


if __name__ == "__main__":
    print(json.dumps(measure(read_specs(sys.stdin), int(sys.argv[1]))))
