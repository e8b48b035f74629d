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
from eddycast.service.processing.alignment import Aligned, align
from eddycast.service.processing.holding import Holding
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
#: Callable (prefix of rows, timestamps, interval, max_gap, marked, period): `align` is one.
Align = Callable[[NDArray[np.void], Int64, int, int | Int64, Bool, int | None], Aligned]


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
    imputed: int  # number of steps without a value, inside gaps; a jump counts as one
    held: int  # number of steps with the reading before, inside gaps
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
        align: Align = align,
        holding: Holding | None = None,
    ) -> None:
        """A stream begins anew after a gap of over `max_gap` slots, by default the manifest's,
        beyond those that `holding` fills.

        Multi-step forecasts are made at every `forecast_every`-th accepted observation of a stream.
        `touch` is called before rows change; `align` gives slots and verdicts of observations.
        """
        self.runtime, self.arena = runtime, arena
        self.align, self.holding, self._touch = align, holding, touch
        #: The tensors of a row that are the model's.
        self.tensors = tuple(spec.name for spec in runtime.manifest.state)
        self.max_gap = runtime.manifest.max_gap if max_gap is None else max_gap
        self.period = runtime.manifest.period
        self.forecast_every = forecast_every

    def run(
        self,
        batches: Sequence[Observations],
        stage: Stage = no_stage,
        wanted: Bool | None = None,
        marked: Bool | None = None,
    ) -> Forecasts:
        """Step every observation once, in order within each stream, and forecast.

        `batches` are of different partitions, at least one. `wanted` bool [n] selects the
        observations with a multi-step forecast, overriding `forecast_every`; `marked` bool [n] is
        passed to `align`, by default all False. Raises MemoryError.
        """
        with stage("waves"):
            slots = _joined([self._slots(batch) for batch in batches])
            cut = waves.cut(slots)
        run = _Run(self, stage, slots, batches, wanted, marked)
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
        marked: Bool | None,
    ) -> None:
        self._engine, self._runtime, self._arena = engine, engine.runtime, engine.arena
        self._interval = engine.runtime.manifest.interval_ms
        self._stage, self._slots, self._wanted = stage, slots, wanted
        self._timestamps = _joined([batch.timestamps for batch in batches])
        self._values = _joined([batch.values for batch in batches])
        rows, shapes = len(slots), engine.runtime.output_shapes
        self._marked = np.zeros(rows, np.bool_) if marked is None else marked
        self._outputs = {
            name: np.empty((rows, *shape), dtype) for name, (dtype, shape) in shapes.items()
        }
        if engine.forecast_every > 1 or wanted is not None:
            self._outputs["multi_step"].fill(np.nan)
        self._has_multi = np.zeros(rows, np.bool_)
        self._warm = np.zeros(rows, np.bool_)
        self._verdicts = np.zeros(rows, np.int8)
        self._accepted = np.zeros(rows, np.bool_)
        self._imputed = self._held = 0
        self._step_rows: list[int] = []

    def wave(self, wave: Int64) -> None:
        """Process a wave: indexes of observations, at most one per stream."""
        slots, prefix = self._slots[wave], self._arena.prefix
        holding = self._engine.holding
        with self._stage("align"):
            stamps, marked = self._timestamps[wave], self._marked[wave]
            longest = self._engine.max_gap + (0 if holding is None else holding.reach(slots))
            aligned = self._engine.align(
                prefix[slots], stamps, self._interval, longest, marked, self._engine.period
            )
            accepted, fresh = aligned.accepted, aligned.fresh
            self._verdicts[wave] = aligned.verdict
            self._accepted[wave] = accepted
        with self._stage("gather"):
            if fresh.any():
                self._arena.zero_tensors(slots[fresh], self._engine.tensors)
        gained: int | Int64 = 1
        if aligned.imputed.any():
            gained = self._bridge(slots, aligned)
        prefix[slots] = aligned.rows
        times, counts = aligned.slot * self._interval, aligned.rows["observations"]
        if not accepted.all():
            wave, slots, times, counts = (
                column[accepted] for column in (wave, slots, times, counts)
            )
            gained = gained if isinstance(gained, int) else gained[accepted]
        for piece in self._runtime.pieces(len(wave)):
            more = gained if isinstance(gained, int) else gained[piece]
            self._observe(wave[piece], slots[piece], times[piece], counts[piece], more)

    def _bridge(self, slots: Int64, aligned: Aligned) -> int | Int64:
        """Step over the gaps before a wave. Steps in which a reading is held count as observations;
        returns how many each row has gained."""
        gaps, holding = np.flatnonzero(aligned.imputed), self._engine.holding
        missing = aligned.imputed[gaps]
        held = None if holding is None else holding.over(slots[gaps], missing)
        where = slots[gaps], missing, aligned.slot[gaps]
        called = impute(self._runtime, self._arena, self._stage, *where, held)
        self._step_rows += called
        steps = 0 if held is None else int(held.steps.sum())
        self._imputed += sum(called) - steps
        self._held += steps
        if held is None:
            return 1
        gained = np.ones(len(slots), np.int64)
        gained[gaps] += held.steps
        aligned.rows["observations"][gaps] += held.steps
        return gained

    def _observe(
        self, index: Int64, slots: Int64, times: Int64, counts: Int64, gained: int | Int64
    ) -> None:
        """Gather, step, scatter and forecast one piece of a wave, whose rows have gained so many
        observations."""
        with self._stage("gather"):
            state = self._arena.gather(slots, self._engine.tensors)
        with self._stage("step"):
            result = self._runtime.step(self._values[index], times, state)
            self._step_rows.append(len(index))
        with self._stage("scatter"):
            self._arena.scatter(slots, result.next_state)
            if self._engine.holding is not None:
                self._engine.holding.keep(slots, self._values[index])
            for name in _STEPPED:
                self._outputs[name][index] = getattr(result, name)
            self._warm[index] = counts >= self._runtime.manifest.warmup_steps
        with self._stage("forecast"):
            self._forecast(index, times, counts, gained, result.next_state)

    def _forecast(
        self,
        index: Int64,
        times: Int64,
        counts: Int64,
        gained: int | Int64,
        state: TensorState,
    ) -> None:
        """Make the multi-step forecasts that are due."""
        due = (
            counts % self._engine.forecast_every < gained
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
            held=self._held,
            step_rows=np.array(self._step_rows, np.int64),
            **columns,
        )


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)
