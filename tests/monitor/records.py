"""Records of the forecasts topic, and a board filled with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.bundle_facts import NO_FACTS, BundleFacts
from eddycast.service.monitor.decode import Decoder
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.monitor import MonitorSettings

MINUTE = 60_000
START = 1_700_000_000_000 // 86_400_000 * 86_400_000
LEVELS = (0.1, 0.5, 0.9)


def forecast(
    stream: str, step: int, value: float | None, rng: np.random.Generator, **changes: Any
) -> dict[str, Any]:
    """A record of a model with twelve leads that is a little wrong everywhere."""
    centre = (value or 0.0) + rng.normal(0, 1)
    fan = [
        [centre + rng.normal(0, 0.1) + (q - 0.5) * lead**0.5 for q in LEVELS]
        for lead in range(1, 13)
    ]
    return {
        "stream": stream,
        "timestamp": START + step * MINUTE,
        "value": value,
        "expected": None,
        "error": None,
        "model": "walk@123456",
        "interval_ms": MINUTE,
        "quantiles": list(LEVELS),
        "one_step": [centre + (q - 0.5) * 2 for q in LEVELS],
        "multi_step": fan,
        "surprise": abs(rng.normal(0, 1)),
        "anomaly": 0.5,
        "warm": step > 5,
    } | changes


def walks(
    streams: Sequence[str], steps: int, seed: int = 0, missing: float = 0.05
) -> list[dict[str, Any]]:
    """Records of random walks in turns, some readings missing and some steps left out."""
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(0, 1, (steps, len(streams))), axis=0) * 10.0 ** np.arange(
        len(streams)
    ).clip(max=6)
    records = []
    for step in range(steps):
        for index, stream in enumerate(streams):
            if rng.random() < missing and step:
                continue
            value = None if rng.random() < missing and step else float(values[step, index])
            records.append(forecast(stream, step, value, rng))
    return records


def with_expected(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of a model that writes what it expected of a reading: the one-step forecast
    before, and after a gap a wider one of its own."""
    last: dict[str, dict[str, Any]] = {}
    found = []
    for record in records:
        expected, error, value = None, None, record["value"]
        if (before := last.get(record["stream"])) is not None:
            gap = record["timestamp"] - before["timestamp"] - record["interval_ms"]
            expected = [q + (i - 1) * gap / MINUTE for i, q in enumerate(before["one_step"])]
            error = None if value is None else value - expected[1]
        last[record["stream"]] = record
        found.append(record | {"expected": expected, "error": error})
    return found


def batch(records: Iterable[Any], first: int = 0, time_ms: int | None = None) -> PartitionBatch:
    """Records as a poll brings them; bytes are taken as they are. The broker's time is that of
    the reading, or `time_ms`."""
    given = list(records)
    values = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in given]
    stamps = [r.get("timestamp") if isinstance(r, dict) else None for r in given]
    if time_ms is not None:
        stamps = [time_ms] * len(given)
    times = [s if isinstance(s, int) and s < 1 << 60 else START for s in stamps]
    keys: list[bytes | None] = [None] * len(given)
    return PartitionBatch(
        "forecasts", 0, keys, list(values), np.array(times, np.int64),
        np.arange(first, first + len(given)),
    )  # fmt: skip


def board(
    records: Sequence[Any], size: int = 1_000, facts: BundleFacts = NO_FACTS, **settings: Any
) -> Board:
    """A board that was given `records` in polls of `size`."""
    filled = Board(MonitorSettings(**{"max_streams": 100} | settings), facts)
    decoder = Decoder(facts.channel_of)
    for first in range(0, len(records), size):
        filled.add(decoder.decode([batch(records[first : first + size], first)]))
    return filled


def same(first: Any, second: Any) -> None:
    """Equal; numbers to the precision of float32 sums."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            same(first[key], second[key])
    elif isinstance(first, list | tuple | np.ndarray) and not np.isscalar(first):
        assert len(first) == len(second)
        for a, b in zip(first, second, strict=True):
            same(a, b)
    elif isinstance(first, float | np.floating):
        assert first == pytest.approx(second, rel=1e-5, nan_ok=True)
    else:
        assert first == second
