"""History in, forecasts out: the service's own way of a record, without JSON or a broker.

Everything passes once in time order and in bounded memory, so what comes out is what a service would have written, had
it been there from the first reading on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.model.runtime import Runtime
from service.processing.engine import Bool, Engine, Forecasts
from service.records import Float64, Int64, Observations
from service.state.arena import Arena

#: The multi-step forecasts of one chunk take at most about this many bytes.
CHUNK_BYTES = 1 << 25


@dataclass(frozen=True, slots=True)
class ReplayChunk:
    """Forecasts of consecutive records. `records` [n] are those of the chunk in time order, as indexes of the
    caller's; `forecasts.index` points into `records`."""

    records: Int64
    forecasts: Forecasts

    @property
    def index(self) -> Int64:
        """[m] which of the caller's records each forecast belongs to."""
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
) -> Iterator[ReplayChunk]:
    """Forecast every record of a history, from streams never seen on.

    Record i is a reading of `streams[stream_index[i]]`: `timestamps` i64 [n], ms, in any order; `values` f64
    [n, channels], NaN = missing. Records of one stamp keep their order. A multi-step forecast is made where
    `forecast_at` says so, a mask [n] or a function from record indexes to one; without it, at every
    `forecast_every`-th observation of a stream. `chunk` is the number of records worked on together, chosen to fit
    CHUNK_BYTES unless given.
    """
    manifest = runtime.manifest
    engine = Engine(runtime, Arena(manifest.state, capacity=max(len(streams), 1)), forecast_every=forecast_every)
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


def chunk_rows(runtime: Runtime) -> int:
    """Records whose multi-step forecasts fill CHUNK_BYTES, at least a few calls of the graph."""
    dtype, shape = runtime.output_shapes["multi_step"]
    return max(4 * runtime.max_batch, CHUNK_BYTES // (dtype.itemsize * math.prod(shape)))
