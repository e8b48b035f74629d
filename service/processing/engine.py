"""From observations to forecasts: find each stream's row, run the graph, store the row. No broker, clock or log.

The observations of all partitions of a poll are laid end to end, so that waves and calls of the graph run across
partitions. What each wave does is `_wave`, and reads as the middle of the path of a record:

    align -> (impute what a gap left out) -> gather -> step -> scatter -> forecast

A wave is worked on in pieces of at most one call of the graph, so memory does not grow with the poll, and a gap of
any length holds one piece of state, however many steps it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.model.runtime import Runtime, State
from service.processing import waves
from service.processing.alignment import align
from service.records import Float64, Int64, Observations
from service.state.arena import Arena

Bool = NDArray[np.bool_]
Tensor = NDArray[Any]
#: `with stage("step"):` around each part of the work; the caller decides what that measures.
Stage = Callable[[str], AbstractContextManager[None]]
#: Told which rows are about to change: partition, streams and slots, before any of them does.
Touch = Callable[[int, Sequence[bytes], Int64], None]

_NOTHING = nullcontext()


def no_stage(_name: str) -> AbstractContextManager[None]:
    """Measures nothing."""
    return _NOTHING


@dataclass(frozen=True, slots=True)
class Forecasts:
    """What a run gave. `n` observations went in, `m` of them were accepted and have a forecast."""

    index: Int64  # [m], rising: which of the n observations, laid end to end
    one_step: Tensor  # [m, targets, quantiles]
    multi_step: Tensor  # [m, horizon, targets, quantiles]; NaN where has_multi is false
    has_multi: Bool  # [m]
    surprise: Tensor  # f32 [m]
    anomaly: Tensor  # f32 [m] in [0, 1]; NaN where surprise is, and of a bundle without it
    scores: Tensor  # f32 [m, targets, scores]
    warm: Bool  # [m], the stream has had its warm-up
    verdicts: NDArray[np.int8]  # [n], align.Verdict of each observation
    imputed: int  # steps without a reading, inside gaps
    step_rows: Int64  # rows of each call of the step graph

    def __len__(self) -> int:
        return len(self.index)


class Engine:
    """Runs observations through a runtime and keeps the rows in an arena."""

    def __init__(
        self,
        runtime: Runtime,
        arena: Arena,
        *,
        max_gap: int | None = None,
        forecast_every: int = 1,
        touch: Touch | None = None,
    ) -> None:
        """`max_gap` in slots, the manifest's unless given; a multi-step forecast at every `forecast_every`-th
        accepted observation of a stream."""
        self.runtime, self.arena = runtime, arena
        self._touch = touch
        self.max_gap = runtime.manifest.max_gap if max_gap is None else max_gap
        self.forecast_every = forecast_every

    def run(
        self,
        batches: Sequence[Observations],
        stage: Stage = no_stage,
        wanted: Bool | None = None,
        astray: Bool | None = None,
    ) -> Forecasts:
        """Step every observation once, in order within each stream, and forecast.

        `batches`: at least one, of different partitions. `wanted` [n] says at which observations a multi-step
        forecast is made, in place of `forecast_every`; `astray` [n] is `align`'s, false unless given.
        """
        with stage("waves"):
            slots = _joined([self._slots(batch) for batch in batches])
            cut = waves.cut(slots)
        run = _Run(self, stage, slots, batches, wanted, astray)
        for wave in cut:
            run.wave(wave)
        return run.result()

    def _slots(self, batch: Observations) -> Int64:
        slots = self.arena.slots(batch.partition, batch.streams)
        if self._touch is not None:
            self._touch(batch.partition, batch.streams, slots)
        return slots


class _Run:
    """One run under way: the columns that went in [n], and those that came out so far [n]."""

    def __init__(
        self,
        engine: Engine,
        stage: Stage,
        slots: Int64,
        batches: Sequence[Observations],
        wanted: Bool | None,
        astray: Bool | None,
    ) -> None:
        self._engine, self._runtime, self._arena = engine, engine.runtime, engine.arena
        self._interval = engine.runtime.manifest.interval_ms
        self._stage, self._slots, self._wanted = stage, slots, wanted
        self._timestamps = _joined([batch.timestamps for batch in batches])
        self._values = _joined([batch.values for batch in batches])
        rows, shapes = len(slots), engine.runtime.output_shapes
        self._astray = np.zeros(rows, np.bool_) if astray is None else astray
        self._outputs = {name: np.empty((rows, *shape), dtype) for name, (dtype, shape) in shapes.items()}
        if engine.forecast_every > 1 or wanted is not None:
            self._outputs["multi_step"].fill(np.nan)
        self._has_multi = np.zeros(rows, np.bool_)
        self._warm = np.zeros(rows, np.bool_)
        self._verdicts = np.zeros(rows, np.int8)
        self._accepted = np.zeros(rows, np.bool_)
        self._imputed = 0
        self._step_rows: list[int] = []

    def wave(self, wave: Int64) -> None:
        """Everything for at most one observation a stream. `wave` indexes the columns."""
        slots, prefix = self._slots[wave], self._arena.prefix
        with self._stage("align"):
            stamps, astray = self._timestamps[wave], self._astray[wave]
            aligned = align(prefix[slots], stamps, self._interval, self._engine.max_gap, astray)
            accepted, fresh = aligned.accepted, aligned.fresh
            self._verdicts[wave] = aligned.verdict
            self._accepted[wave] = accepted
        with self._stage("gather"):
            if fresh.any():
                self._arena.zero(slots[fresh])
        gaps = np.flatnonzero(aligned.imputed)
        if len(gaps):
            self._impute(slots[gaps], aligned.imputed[gaps], aligned.slot[gaps])
        prefix[slots] = aligned.rows
        times, counts = aligned.slot * self._interval, aligned.rows["observations"]
        if not accepted.all():
            wave, slots, times, counts = (column[accepted] for column in (wave, slots, times, counts))
        for piece in self._pieces(len(wave)):
            self._observe(wave[piece], slots[piece], times[piece], counts[piece])

    def _observe(self, index: Int64, slots: Int64, times: Int64, counts: Int64) -> None:
        """Gather, step, scatter and forecast one piece of a wave."""
        with self._stage("gather"):
            state = self._arena.gather(slots)
        with self._stage("step"):
            result = self._runtime.step(self._values[index], times, state)
            self._step_rows.append(len(index))
        with self._stage("scatter"):
            self._arena.scatter(slots, result.next_state)
            self._outputs["one_step"][index] = result.one_step
            self._outputs["surprise"][index] = result.surprise
            self._outputs["anomaly"][index] = result.anomaly
            self._outputs["scores"][index] = result.scores
            self._warm[index] = counts >= self._runtime.manifest.warmup_steps
        with self._stage("forecast"):
            self._forecast(index, times, counts, result.next_state)

    def _forecast(self, index: Int64, times: Int64, counts: Int64, state: State) -> None:
        """A multi-step forecast for those rows that are due one."""
        due = counts % self._engine.forecast_every == 0 if self._wanted is None else self._wanted[index]
        if not due.any():
            return
        if not due.all():
            state = {name: state[name][due] for name in self._runtime.forecast_inputs}
            index, times = index[due], times[due]
        self._outputs["multi_step"][index] = self._runtime.forecast(times, state)
        self._has_multi[index] = True

    def _impute(self, slots: Int64, missing: Int64, arrived: Int64) -> None:
        """Step each row over the `missing` slots before the one that `arrived`, with nothing observed.

        The longest gaps come first, so the rows that still need a step are always the first ones of a piece.
        """
        order = np.argsort(-missing, kind="stable")
        nothing = np.full((self._runtime.max_batch, self._values.shape[1]), np.nan)
        for piece in self._pieces(len(order)):
            rows = order[piece]
            left, first = missing[rows], arrived[rows] - missing[rows]
            with self._stage("gather"):
                state = self._arena.gather(slots[rows])
            with self._stage("step"):
                live = np.searchsorted(-left, -np.arange(left[0]))  # rows with more than that many steps to go
                for done, count in enumerate(live.tolist()):
                    self._advance(state, nothing[:count], (first[:count] + done) * self._interval)
            with self._stage("scatter"):
                self._arena.scatter(slots[rows], state)

    def _advance(self, state: State, nothing: Float64, times: Int64) -> None:
        """One step without a reading for the first rows of `state`, in place."""
        count = len(times)
        moved = self._runtime.step(nothing, times, {name: tensor[:count] for name, tensor in state.items()})
        for name, tensor in state.items():
            tensor[:count] = moved.next_state[name]
        self._imputed += count
        self._step_rows.append(count)

    def _pieces(self, rows: int) -> Iterator[slice]:
        size = self._runtime.max_batch
        return (slice(start, start + size) for start in range(0, rows, size))

    def result(self) -> Forecasts:
        """The columns of the accepted observations, in the order of arrival."""
        accepted = self._accepted
        columns = self._outputs | {"has_multi": self._has_multi, "warm": self._warm}
        if not accepted.all():
            columns = {name: column[accepted] for name, column in columns.items()}
        return Forecasts(
            index=np.flatnonzero(accepted),
            verdicts=self._verdicts,
            imputed=self._imputed,
            step_rows=np.array(self._step_rows, np.int64),
            **columns,
        )


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)
