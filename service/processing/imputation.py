"""The steps of a gap: rows move on over the slots without a reading. No broker, clock or log."""

from __future__ import annotations

from collections.abc import Callable

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
    """Step rows in `slots` [n] of the arena over the `missing` [n] slots of time before the slots
    `arrived` [n]: first with what is held, then without a value; long stretches without one are
    jumped over first. Returns the number of rows in each call of a graph."""
    gap = _Gap(runtime, arena, stage)
    if held is None or not held.steps.any():
        return gap.bridge(slots, missing, arrived)
    called = gap.hold(slots, arrived - missing, held)
    return called + gap.bridge(slots, missing - held.steps, arrived)


class _Gap:
    """Moves rows of an arena on.

    Rows are sorted by their steps, so that those that still need one are a prefix of each piece.
    """

    def __init__(self, runtime: Runtime, arena: Arena, stage: Stage) -> None:
        self._runtime, self._arena, self._stage = runtime, arena, stage
        self._nothing = np.full((runtime.max_batch, len(runtime.manifest.channels)), np.nan)
        self._names = [spec.name for spec in runtime.manifest.state]

    def hold(self, slots: Int64, first: Int64, held: Held) -> list[int]:
        """Step rows over the slots of time from `first` [n] on in which readings hold."""
        called: list[int] = []
        order = np.argsort(-held.steps, kind="stable")[: np.count_nonzero(held.steps)]
        for piece in self._runtime.pieces(len(order)):
            rows = order[piece]
            with self._stage("gather"):
                state = self._arena.gather(slots[rows], self._names)
            with self._stage("step"):
                called += self._walk(state, first[rows], held.steps[rows], held.of(rows))
            with self._stage("scatter"):
                self._arena.scatter(slots[rows], state)
        return called

    def bridge(self, slots: Int64, missing: Int64, arrived: Int64) -> list[int]:
        """Move rows on over the `missing` slots of time before those of `arrived`."""
        called: list[int] = []
        jumped = self._runtime.jumped(missing)
        order = np.argsort(jumped - missing, kind="stable")[: np.count_nonzero(missing)]
        for piece in self._runtime.pieces(len(order)):
            rows = order[piece]
            left = (missing - jumped)[rows]
            first = arrived[rows] - left
            with self._stage("gather"):
                state = self._arena.gather(slots[rows], self._names)
            with self._stage("step"):
                called += self._jump(state, jumped[rows], first)
                called += self._walk(state, first, left)
            with self._stage("scatter"):
                self._arena.scatter(slots[rows], state)
        return called

    def _jump(self, state: TensorState, steps: Int64, resumed: Int64) -> list[int]:
        """Move the rows of `state` [n] with `steps` [n] over 0 on to the slots `resumed` [n], in
        place. Returns the number of rows in each call of the graph."""
        which = np.flatnonzero(steps)
        if not len(which):
            return []
        times = (resumed[which] - 1) * self._runtime.manifest.interval_ms
        here = {name: tensor[which] for name, tensor in state.items()}
        for name, tensor in self._runtime.jump(steps[which], times, here).items():
            state[name][which] = tensor
        return [len(which)]

    def _walk(
        self, state: TensorState, first: Int64, steps: Int64, held: Held | None = None
    ) -> list[int]:
        """As `walk`, with what is held, or without values."""

        def values_at(done: int, count: int) -> Float64:
            return self._nothing[:count] if held is None else held.at(done, count)

        return walk(self._runtime, state, first, steps, values_at)


def walk(
    runtime: Runtime,
    state: TensorState,
    first: Int64,
    steps: Int64,
    values_at: Callable[[int, int], Float64],
) -> list[int]:
    """Step the rows of `state` [n] `steps` [n] times from the slots `first` [n] on, in place;
    `steps` falls. `values_at(i, count)` are the values [count, channels] of the first rows at step
    i. Returns the number of rows in each call of the graph."""
    live: list[int] = np.searchsorted(-steps, -np.arange(steps[0])).tolist()
    for done, count in enumerate(live):
        times = (first[:count] + done) * runtime.manifest.interval_ms
        before = {name: tensor[:count] for name, tensor in state.items()}
        moved = runtime.step(values_at(done, count), times, before)
        for name, tensor in state.items():
            tensor[:count] = moved.next_state[name]
    return live
