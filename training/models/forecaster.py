"""The part of a forecaster that all families share:
one observation at a time, from raw values to raw quantiles.

`step` and `forecast` are exported, memory included,
so that the two ONNX graphs are the whole model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.training.models import jumping, unrolling
from eddycast.training.models.contract import Family, StepOutput, Unrolled, View
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.counter import increase, initial_counter
from eddycast.training.models.memory.suspect_columns import Judged
from eddycast.training.models.memory.suspect_readings import Placement, placement, possible
from eddycast.training.models.memory.units import Frame
from eddycast.training.models.parts import (
    StatePart,
    anomaly_part,
    calibration_part,
    latent_part,
    memory_parts,
)
from eddycast.training.models.quantiles.support import confine
from eddycast.training.models.scoring import score, width
from eddycast.training.models.tensor_state import TensorState


class Forecaster(Family):
    """A family with everything that turns its quantiles into forecasts:
    memory, suspects, scores, calibration, support."""

    def initial_state(self, batch: int) -> TensorState:
        """The state of streams never seen: zeros, [batch, ...] each."""
        pending = {"pending": torch.zeros(batch, len(self.target.quantiles))}
        latent = self.latent.initial_state(batch) if self.latent else {}
        calibration = self.calibration.initial_state(batch) if self.calibration else {}
        counter = initial_counter(batch) if self.target.kind == "counter" else {}
        own = {**self.suspects.initial_state(batch), **self.anomaly.initial_state(batch)}
        return {
            **self.memory.initial_state(batch),
            **latent,
            **pending,
            **calibration,
            **counter,
            **own,
        }

    def state_parts(self) -> list[StatePart]:
        """The tensors of the state that another model keeps or zeroes together;
        empty if the class has no `revision`."""
        if self.revision is None:
            return []
        own = {"families": self.families, "revision": self.revision}
        parts = memory_parts(self.memory, self.target.kind, self.target.register, self.suspects)
        if self.latent:
            parts.append(latent_part(self.latent, own, needs=[part.name for part in parts]))
        emitted = own | {"levels": self.target.quantiles, "support": self.target.support}
        calibration = calibration_part(self.calibration, emitted | {"block": self.target.block})
        return [
            *parts,
            calibration,
            anomaly_part(self.anomaly, self.calibration, emitted),
        ]

    def step(
        self, value: Tensor, timestamp: Tensor, state: TensorState, beside: Tensor | None = None
    ) -> StepOutput:
        """Consume one observation of each stream:
        score the pending forecast, update the state, forecast the next value.

        value [batch, 1] float64 (NaN = missing) of the slot that starts at timestamp [batch] int64,
        ms. `beside` [batch, features] float32 holds the features of the stream's other channels
        after this slot.
        """
        reading = possible(value[:, 0])
        counted = self.target.kind == "counter"
        arrived, counter = (
            increase(reading, state, self.target.register) if counted else (reading, {})
        )
        before = self.memory.frame(state)
        expected = self._expected(state, before)
        verdict = self.suspects.judge(arrived, before, state)
        frame = verdict.before.frame(before)
        loss, scores = self._score(arrived, state, frame)
        came = (arrived[:, None] * verdict.before.factor + verdict.before.offset)[:, 0]
        anomaly, ranks = self.anomaly.rank(loss, _pending(state, frame), came, verdict.taken, state)
        memory, glance = self.memory.update(verdict.taken, timestamp, state)
        glance = replace(glance, beside=beside)
        started = memory["count"] > 0
        latent = self.latent.advance(memory, glance, timestamp, state) if self.latent else {}
        view, after = self._view(memory | latent, timestamp, beside), self.memory.frame(memory)
        units = torch.where(started, self.one_step_units(view), torch.tensor(0.0))
        units, calibration = self._calibrate(units, view, verdict.taken, state, before, after)
        row = {
            **memory,
            **latent,
            "pending": units,
            **calibration,
            **counter,
            **verdict.state,
            **ranks,
        }
        one_step = self._emit(units, after, verdict.after, started)[:, None]
        error = arrived - expected[:, self.target.median]
        return StepOutput(
            row, one_step, loss, scores[:, None], anomaly, expected[:, None], error[:, None]
        )

    def forecast(
        self, timestamp: Tensor, state: TensorState, beside: Tensor | None = None
    ) -> Tensor:
        """Quantiles [batch, horizon, 1, quantiles] float64 for timestamp + (1 .. horizon) forecast
        intervals."""
        units = self.multi_step_units(self._view(state, timestamp, beside))
        if self.calibration:
            units = self.calibration.multi_step(units, state["stretch"])
        started = (state["count"] > 0)[:, :, None]
        return self._emit(units, self.memory.frame(state), placement(state), started)[:, :, None]

    def jump(self, steps: Tensor, timestamp: Tensor, state: TensorState) -> TensorState:
        """The tensors that many steps without a value change, at once; see
        `eddycast.training.models.jumping.jump`."""
        return jumping.jump(self, steps, timestamp, state)

    def unroll(
        self,
        values: NDArray[np.float64],
        timestamps: NDArray[np.int64],
        origins: Sequence[int] | None = None,
        beside: Sequence[Columns] = (),
    ) -> Unrolled:
        """`step` and `forecast` over a whole history at once; see
        `eddycast.training.models.unrolling.unroll`."""
        return unrolling.unroll(self, values, timestamps, origins, beside)

    def judge(
        self,
        values: NDArray[np.float64],
        timestamps: NDArray[np.int64],
        beside: Sequence[Columns] = (),
        passes: int | None = None,
    ) -> Judged:
        """The values that the memory accepts; see `eddycast.training.models.unrolling.judge`."""
        return unrolling.judge(self, values, timestamps, beside, passes)

    def _calibrate(
        self,
        units: Tensor,
        view: View,
        taken: Tensor,
        state: TensorState,
        before: Frame,
        after: Frame,
    ) -> tuple[Tensor, TensorState]:
        """`units` [batch, quantiles] stretched by the calibration,
        and its tensors after the value `taken` [batch]."""
        if not self.calibration:
            return units, {}
        mean, ends, block = self.calibration.block.add(taken, view.timestamp, state)
        learned = self.calibration.learn(taken, mean, state, before)
        units = self.calibration.one_step(units, learned.stretch)
        anchored = self.units_at(view, self.calibration.leads)
        moves = (learned.judged, before, after, ends)
        bounds = self.calibration.push(state["bounds"], anchored, *moves)
        return units, {**learned._asdict(), "bounds": bounds, **block}

    def _emit(self, units: Tensor, frame: Frame, placed: Placement, started: Tensor) -> Tensor:
        """Quantiles [batch, ...] in the unit of the data, within the support;
        NaN for a stream that has not started."""
        quantiles = confine(placed.in_data_units(frame.raw(units)), self.target.support)
        return quantiles + torch.where(started, 0.0, torch.nan).double()

    def _expected(self, state: TensorState, frame: Frame) -> Tensor:
        """The pending quantiles [batch, quantiles] as they were emitted; NaN where none are."""
        known = (state["count"] > 0) & (width(state["pending"]) > 0)[:, None]
        return self._emit(state["pending"], frame, placement(state), known)

    def _view(self, state: TensorState, timestamp: Tensor, beside: Tensor | None) -> View:
        features = self.memory.read(state)
        hidden = self.latent.read(state) if self.latent else features[:, :0]
        return View(
            features if beside is None else torch.cat([features, beside], 1), timestamp, hidden
        )

    def _score(self, arrived: Tensor, state: TensorState, before: Frame) -> tuple[Tensor, Tensor]:
        """Surprise [batch] and scores [batch, 5] of the pending forecast;
        NaN without a value or a pending forecast."""
        known = (state["count"][:, 0] > 0) & (width(state["pending"]) > 0)
        last = placement(state).in_data_units(state["last"])[:, 0]
        return score(arrived, _pending(state, before), before, last, known, self.target)


def _pending(state: TensorState, frame: Frame) -> Tensor:
    """The pending quantiles [batch, quantiles] in the frame's units; zeros without a scale."""
    return state["pending"] * (frame.scale > 0)[:, None].float()
