"""Rows a second of the two graphs, by rows in a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import LANES, Runtime

BATCHES = tuple(1 << power for power in range(11))


def sweep(
    bundle: Path, seconds: float, batches: Sequence[int] = BATCHES
) -> dict[int, tuple[float, float]]:
    """Batch -> rows/s of `step` and of `forecast`, each tried for `seconds`."""
    runtime = load_runtime(bundle, max_batch=max(LANES, *batches))
    return {batch: _both(runtime, batch, seconds) for batch in batches}


def _both(runtime: Runtime, batch: int, seconds: float) -> tuple[float, float]:
    specs = runtime.manifest.state
    state = {spec.name: np.ones((batch, *spec.shape), spec.dtype) for spec in specs}
    values, timestamps = np.full((batch, 1), 20.0), np.full(batch, 1_700_000_000_000)
    return (
        batch * _rate(lambda: runtime.step(values, timestamps, state), seconds),
        batch * _rate(lambda: runtime.forecast(timestamps, state), seconds),
    )


def _rate(call: Callable[[], object], seconds: float) -> float:
    """Calls a second: the best of three tries, because a shared machine only ever makes them
    slower."""
    best = 0.0
    for _ in range(3):
        calls, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds / 3 or not calls:
            call()
            calls += 1
        best = max(best, calls / spent)
    return best
