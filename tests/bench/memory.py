"""Memory a stream: `python -m tests.bench.memory STREAMS < SPECS` fills an arena and prints one line of JSON."""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import dataclass

import numpy as np
import psutil

from service.records import PREFIX
from service.state.arena import Arena

_CHUNK = 10_000


@dataclass(frozen=True)
class Spec:
    name: str
    dtype: str
    shape: tuple[int, ...]


def measure(specs: list[Spec], streams: int) -> dict[str, float]:
    """Bytes a stream: of the row, by the arena's own account, and as the operating system sees it."""
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
    row = PREFIX.itemsize + sum(np.dtype(s.dtype).itemsize * int(np.prod(s.shape)) for s in specs)
    return {"row": row, "account": arena.nbytes / streams, "resident": used / streams}


if __name__ == "__main__":
    rows = [Spec(name, dtype, tuple(shape)) for name, dtype, shape in json.load(sys.stdin)]
    print(json.dumps(measure(rows, int(sys.argv[1]))))
