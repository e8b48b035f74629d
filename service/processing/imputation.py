"""The steps of a gap: rows move on over the slots without a reading. No broker, clock or log."""

from __future__ import annotations

import numpy as np

from eddycast.service.model.runtime import Runtime, TensorState
from eddycast.service.processing.holding import Held
from eddycast.service.processing.stage import Stage
from eddycast.service.records import Float64, Int64
from eddycast.service.state.arena import Arena


def impute(
    runtime: Runtime,
    arena: Arena,
    stage: Stage,
    slots: Int64,
    missing: Int64,
    arrived: Int64,
    held: Held | None = None,
) -> list[int]:
    """Step rows in `slots` [n] of the arena without a value, or with one that is held, over the
    `missing` [n] slots of time before the slots `arrived` [n]. Returns the number of rows in each
    call of the step graph.

    Rows are sorted by the length of their gap, so that those that still need a step are a prefix of
    each piece.
    """
    order = np.argsort(-missing, kind="stable")
    nothing = np.full((runtime.max_batch, len(runtime.manifest.channels)), np.nan)
    called: list[int] = []
    for piece in runtime.pieces(len(order)):
        rows = order[piece]
        left, first = missing[rows], arrived[rows] - missing[rows]
        own = None if held is None else held.of(rows)
        with stage("gather"):
            state = arena.gather(slots[rows], [spec.name for spec in runtime.manifest.state])
        with stage("step"):
            # number of rows with more steps to go
            live = np.searchsorted(-left, -np.arange(left[0])).tolist()
            for done, count in enumerate(live):
                times = (first[:count] + done) * runtime.manifest.interval_ms
                values = nothing[:count] if own is None else own.at(done, count)
                _advance(runtime, state, values, times)
            called += live
        with stage("scatter"):
            arena.scatter(slots[rows], state)
    return called


def _advance(runtime: Runtime, state: TensorState, values: Float64, times: Int64) -> None:
    """Step the first `len(times)` rows of `state`, in place."""
    count = len(times)
    moved = runtime.step(values, times, {name: tensor[:count] for name, tensor in state.items()})
    for name, tensor in state.items():
        tensor[:count] = moved.next_state[name]
