"""Replay a history through the service's engine, without JSON or a broker.

Records are processed once, in time order and in bounded memory, so the forecasts are those that a
service would have written had it run from the first reading on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.engine import Bool, Engine, Forecasts
from eddycast.service.records import Float64, Int64, Observations
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.arena import Arena

#: Approximate maximum size of the multi-step forecasts of one chunk, bytes.
CHUNK_BYTES = 1 << 25


@dataclass(frozen=True, slots=True)
class ReplayChunk:
    """Forecasts of consecutive records.

    `records` [n] are the indexes of the chunk's records in the history, in time order;
    `forecasts.index` refers to positions in `records`.
    """

    records: Int64
    forecasts: Forecasts

    @property
    def index(self) -> Int64:
        """Index in the history of each forecast's record, int64 [m]."""
        index: Int64 = self.records[self.forecasts.index]
        return index


def replay(
    runtime: Runtime,
    streams: Sequence[bytes],
    timestamps: Int64,
    values: Float64,
    stream_index: Int64,
    *,
    forecast_at: Bool | Callable[[Int64], Bool] | None = None,
    forecast_every: int = 1,
    chunk: int | None = None,
    arena: Arena | None = None,
) -> Iterator[ReplayChunk]:
    """Forecast every record of a history, starting from the rows of `arena`, which are updated, or
    from streams never seen.

    Record i is a reading of `streams[stream_index[i]]`: `timestamps` i64 [n], ms, in any order;
    `values` f64 [n, channels], NaN = missing. Records with equal stamps keep their order.
    Multi-step forecasts are made where `forecast_at` is True, a mask [n] or a callable from record
    indexes to a mask; by default at every `forecast_every`-th observation of a stream. `chunk` is
    the number of records per chunk, by default `chunk_rows`.
    """
    manifest = runtime.manifest
    if arena is None:
        arena = Arena(manifest.state, capacity=max(len(streams), 1))
    engine = Engine(runtime, arena, max_gap=usual_gap(manifest), forecast_every=forecast_every)
    due = forecast_at.__getitem__ if isinstance(forecast_at, np.ndarray) else forecast_at
    order = np.argsort(timestamps, kind="stable")
    size = chunk or chunk_rows(runtime)
    for start in range(0, len(order), size):
        records = order[start : start + size]
        keys = [streams[i] for i in stream_index[records].tolist()]
        stamps = timestamps[records]
        batch = Observations(0, keys, stamps, values[records], stamps, records)
        wanted = None if due is None else due(records)
        yield ReplayChunk(records, engine.run([batch], wanted=wanted))


def usual_gap(manifest: Manifest) -> int:
    """Return the slots beyond which a stream begins anew in a service with default settings."""
    return manifest.longest_gap(TimeSettings().state_ttl_ms)


def chunk_rows(runtime: Runtime) -> int:
    """Return the number of records whose multi-step forecasts fill CHUNK_BYTES,
    but at least four graph calls."""
    dtype, shape = runtime.output_shapes["multi_step"]
    return max(4 * runtime.max_batch, CHUNK_BYTES // (dtype.itemsize * math.prod(shape)))
