"""The book experiment in plain numpy: what `ar --lags 64 --no-season --iterated` and the service do
with it, without training, export and runtime. Two hundred drawings take seconds this way; a test
holds both equal on some."""

from __future__ import annotations

import numpy as np

from eddycast.service.history import History
from eddycast.service.records import Float64
from eddycast.training.evaluation.protocols.book import EXAMPLES, KNOWN, LAGS, LEADS, ROWS

INTERVAL_MS = 60_000
#: Train, validation, hold-out of a training on the examples alone:
#: what follows them only chooses and judges.
TRAIN_SPLIT = f"{KNOWN},128,{ROWS - KNOWN - 128}"


def book_values(seed: int) -> Float64:
    """[1000] one drawing."""
    rng = np.random.default_rng(seed)
    return np.asarray(np.sin(0.01 * np.arange(1, ROWS + 1)) + rng.normal(0, 0.2, ROWS))


def book_history(seed: int) -> History:
    """One drawing as a history, a value a minute from the epoch on."""
    stamps = np.arange(1, ROWS + 1, dtype=np.int64) * INTERVAL_MS
    return History(["x"], [stamps], [book_values(seed)], [f"drawn with seed {seed}"])


def book_errors(seed: int) -> dict[str, float]:
    """Task -> mean squared error of one drawing."""
    x = book_values(seed)
    weights = least_squares(x)
    errors = {f"k = {k}": float(np.mean((ahead(x, weights, k) - x[KNOWN:]) ** 2)) for k in LEADS}
    return errors | {"free run": float(np.mean((free_run(x, weights) - x[KNOWN:]) ** 2))}


def least_squares(x: Float64) -> Float64:
    """[lags] the next value from the lags, oldest first, both about the mean of the train part:
    600 examples."""
    centred = x[:KNOWN] - x[:KNOWN].mean()
    examples = np.lib.stride_tricks.sliding_window_view(centred[:-1], LAGS)
    if len(examples) != EXAMPLES:
        raise ValueError(f"{len(examples)} examples, not {EXAMPLES}")
    weights: Float64 = np.linalg.lstsq(examples, centred[LAGS:], rcond=None)[0]
    return weights


def ahead(x: Float64, weights: Float64, k: int) -> Float64:
    """Forecasts of x[KNOWN:], each made k rows before it,
    about the mean of all that was observed by then."""
    origins = np.arange(KNOWN - k, ROWS - k)
    mean = (np.cumsum(x) / np.arange(1, ROWS + 1))[origins]
    path = x[origins[:, None] + np.arange(1 - LAGS, 1)] - mean[:, None]
    for _ in range(k):
        path = np.column_stack([path[:, 1:], path @ weights])
    ahead: Float64 = path[:, -1] + mean
    return ahead


def free_run(x: Float64, weights: Float64) -> Float64:
    """Forecasts from the end of the train part, each read as if it had been observed."""
    path = list(x[:KNOWN])
    total = float(np.sum(path))
    for _ in range(ROWS - KNOWN):
        mean = total / len(path)
        path.append(mean + float((np.array(path[-LAGS:]) - mean) @ weights))
        total += path[-1]
    return np.array(path[KNOWN:])
