"""The steps of a gap: rows move on over the slots without a reading. No broker, clock or log."""

from __future__ import annotations

import numpy as np

from eddycast.service.model.runtime import Runtime, TensorState
from eddycast.service.processing.stage import Stage
from eddycast.service.records import Float64, Int64
from eddycast.service.state.arena import Arena


def impute(
    runtime: Runtime, arena: Arena, stage: Stage, slots: Int64, missing: Int64, arrived: Int64
) -> list[int]:
    """Step rows in `slots` [n] of the arena without a value, over the `missing` [n] slots of time
    before the slots `arrived` [n]; long gaps are jumped over first. Returns the number of rows in
    each call of a graph.

    Rows are sorted by the steps that are left, so that those that still need one are a prefix of
    each piece.
    """
    jumped = runtime.jumped(missing)
    order = np.argsort(jumped - missing, kind="stable")
    nothing = np.full((runtime.max_batch, len(runtime.manifest.channels)), np.nan)
    called: list[int] = []
    for piece in runtime.pieces(len(order)):
        rows = order[piece]
        left, over = (missing - jumped)[rows], jumped[rows]
        first = arrived[rows] - left
        with stage("gather"):
            state = arena.gather(slots[rows])
        with stage("step"):
            called += _jump(runtime, state, over, first)
            # number of rows with more steps to go
            live = np.searchsorted(-left, -np.arange(left[0])).tolist()
            for done, count in enumerate(live):
                times = (first[:count] + done) * runtime.manifest.interval_ms
                _advance(runtime, state, nothing[:count], times)
            called += live
        with stage("scatter"):
            arena.scatter(slots[rows], state)
    return called


def _jump(runtime: Runtime, state: TensorState, steps: Int64, resumed: Int64) -> list[int]:
    """Move the rows of `state` [n] with `steps` [n] over 0 on to the slots `resumed` [n], in place.
    Returns the number of rows in each call of the graph."""
    which = np.flatnonzero(steps)
    if not len(which):
        return []
    times = (resumed[which] - 1) * runtime.manifest.interval_ms
    here = {name: tensor[which] for name, tensor in state.items()}
    for name, tensor in runtime.jump(steps[which], times, here).items():
        state[name][which] = tensor
    return [len(which)]


def _advance(runtime: Runtime, state: TensorState, nothing: Float64, times: Int64) -> None:
    """Step the first `len(times)` rows of `state` without a value, in place."""
    count = len(times)
    moved = runtime.step(nothing, times, {name: tensor[:count] for name, tensor in state.items()})
    for name, tensor in state.items():
        tensor[:count] = moved.next_state[name]
