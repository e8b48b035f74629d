"""The engine: observations to forecasts. No broker, clock or log.

The observations of all partitions of a poll are concatenated, so that waves and graph calls span
partitions. For each wave, `_Run.wave` does

    align -> (impute the steps of a gap, imputation.py) -> gather -> step -> scatter -> forecast

in pieces of one graph call each, so that memory does not grow with the poll; a gap holds one piece
of state, however many steps it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.bundle import OPTIONAL
from eddycast.service.model.runtime import Runtime, TensorState
from eddycast.service.processing import waves
from eddycast.service.processing.alignment import align
from eddycast.service.processing.imputation import impute
from eddycast.service.processing.stage import Stage, no_stage
from eddycast.service.records import Int64, Observations
from eddycast.service.state.arena import Arena

Bool = NDArray[np.bool_]
Tensor = NDArray[Any]
#: Outputs of a step beside the state, by their names in `StepResult` and `Forecasts`.
_STEPPED = ("one_step", "surprise", "scores", *OPTIONAL)
#: Callable (partition, streams, slots), called before rows change; implemented by `Journal.touch`.
Touch = Callable[[int, Sequence[bytes], Int64], None]


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Results of a run over n observations, m of which were accepted and have a forecast."""

    index: Int64  # [m], ascending: indexes among the n concatenated observations
    one_step: Tensor  # [m, targets, quantiles]
    multi_step: Tensor  # [m, horizon, targets, quantiles]; NaN where has_multi is false
    has_multi: Bool  # [m]
    surprise: Tensor  # f32 [m]
    anomaly: Tensor  # f32 [m] in [0, 1]; NaN where surprise is, and of a bundle without it
    expected: Tensor  # [m, targets, quantiles], the one_step before; NaN where there was none
    error: Tensor  # f64 [m, targets], value minus the median of `expected`
    scores: Tensor  # f32 [m, targets, scores]
    warm: Bool  # [m], the stream has completed its warm-up
    verdicts: NDArray[np.int8]  # [n], `alignment.Verdict`
    imputed: int  # number of steps without a reading, inside gaps; a jump counts as one
    step_rows: Int64  # number of rows in each call of the step graph, or of that for long gaps

    def __len__(self) -> int:
        return len(self.index)


class Engine:
    """Runs observations through a runtime, with the state rows in an arena."""

    def __init__(
        self,
        runtime: Runtime,
        arena: Arena,
        *,
        max_gap: int | None = None,
        forecast_every: int = 1,
        touch: Touch | None = None,
    ) -> None:
        """A stream begins anew after a gap of over `max_gap` slots, by default the manifest's.

        Multi-step forecasts are made at every `forecast_every`-th accepted observation of a stream.
        `touch` is called before rows change.
        """
        self.runtime, self.arena = runtime, arena
        self._touch = touch
        self.max_gap = runtime.manifest.max_gap if max_gap is None else max_gap
        self.forecast_every = forecast_every

    def run(
        self,
        batches: Sequence[Observations],
        stage: Stage = no_stage,
        wanted: Bool | None = None,
        contradicted: Bool | None = None,
    ) -> Forecasts:
        """Step every observation once, in order within each stream, and forecast.

        `batches` are of different partitions, at least one. `wanted` bool [n] selects the
        observations with a multi-step forecast, overriding `forecast_every`; `contradicted` bool
        [n] is passed to `align`, by default all False. Raises MemoryError.
        """
        with stage("waves"):
            slots = _joined([self._slots(batch) for batch in batches])
            cut = waves.cut(slots)
        run = _Run(self, stage, slots, batches, wanted, contradicted)
        for wave in cut:
            run.wave(wave)
        return run.result()

    def _slots(self, batch: Observations) -> Int64:
        slots = self.arena.slots(batch.partition, batch.streams)
        if self._touch is not None:
            self._touch(batch.partition, batch.streams, slots)
        return slots


class _Run:
    """The state of one run: input columns [n] and the output columns [n] filled so far."""

    def __init__(
        self,
        engine: Engine,
        stage: Stage,
        slots: Int64,
        batches: Sequence[Observations],
        wanted: Bool | None,
        contradicted: Bool | None,
    ) -> None:
        self._engine, self._runtime, self._arena = engine, engine.runtime, engine.arena
        self._interval = engine.runtime.manifest.interval_ms
        self._stage, self._slots, self._wanted = stage, slots, wanted
        self._timestamps = _joined([batch.timestamps for batch in batches])
        self._values = _joined([batch.values for batch in batches])
        rows, shapes = len(slots), engine.runtime.output_shapes
        self._contradicted = np.zeros(rows, np.bool_) if contradicted is None else contradicted
        self._outputs = {
            name: np.empty((rows, *shape), dtype) for name, (dtype, shape) in shapes.items()
        }
        if engine.forecast_every > 1 or wanted is not None:
            self._outputs["multi_step"].fill(np.nan)
        self._has_multi = np.zeros(rows, np.bool_)
        self._warm = np.zeros(rows, np.bool_)
        self._verdicts = np.zeros(rows, np.int8)
        self._accepted = np.zeros(rows, np.bool_)
        self._imputed = 0
        self._step_rows: list[int] = []

    def wave(self, wave: Int64) -> None:
        """Process a wave: indexes of observations, at most one per stream."""
        slots, prefix = self._slots[wave], self._arena.prefix
        with self._stage("align"):
            stamps, contradicted = self._timestamps[wave], self._contradicted[wave]
            aligned = align(
                prefix[slots], stamps, self._interval, self._engine.max_gap, contradicted
            )
            accepted, fresh = aligned.accepted, aligned.fresh
            self._verdicts[wave] = aligned.verdict
            self._accepted[wave] = accepted
        with self._stage("gather"):
            if fresh.any():
                self._arena.zero(slots[fresh])
        gaps = np.flatnonzero(aligned.imputed)
        if len(gaps):
            called = impute(
                self._runtime,
                self._arena,
                self._stage,
                slots[gaps],
                aligned.imputed[gaps],
                aligned.slot[gaps],
            )
            self._imputed += sum(called)
            self._step_rows += called
        prefix[slots] = aligned.rows
        times, counts = aligned.slot * self._interval, aligned.rows["observations"]
        if not accepted.all():
            wave, slots, times, counts = (
                column[accepted] for column in (wave, slots, times, counts)
            )
        for piece in self._runtime.pieces(len(wave)):
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
            for name in _STEPPED:
                self._outputs[name][index] = getattr(result, name)
            self._warm[index] = counts >= self._runtime.manifest.warmup_steps
        with self._stage("forecast"):
            self._forecast(index, times, counts, result.next_state)

    def _forecast(self, index: Int64, times: Int64, counts: Int64, state: TensorState) -> None:
        """Make the multi-step forecasts that are due."""
        due = (
            counts % self._engine.forecast_every == 0
            if self._wanted is None
            else self._wanted[index]
        )
        if not due.any():
            return
        if not due.all():
            state = {name: state[name][due] for name in self._runtime.forecast_inputs}
            index, times = index[due], times[due]
        self._outputs["multi_step"][index] = self._runtime.forecast(times, state)
        self._has_multi[index] = True

    def result(self) -> Forecasts:
        """Return the columns of the accepted observations, in order of arrival."""
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
