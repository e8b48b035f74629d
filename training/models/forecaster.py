"""What all forecasters share: the memory, the scoring of what came, and quantiles in running scales.

A family says only how quantiles follow from the memory (and, if it has one, from a hidden state). All of it,
memory included, is exported, so that the ONNX graph is the whole model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.counters import increases
from training.models.latent import Carried
from training.models.memory.block import Block
from training.models.memory.columns import Columns, unroll_memory
from training.models.memory.counter import Kind, increase, initial_counter
from training.models.memory.memory import Memory, MemorySpec, State
from training.models.memory.suspect_columns import Judged, judge_columns
from training.models.memory.suspects import Placement, Suspects, placement, possible
from training.models.memory.units import Frame, relative, safe
from training.models.parts import StatePart, calibration_part, latent_part, memory_parts
from training.models.quantiles.calibration import ANCHORS, Calibration
from training.models.quantiles.density import TINY, integral_transform, pinball, surprise
from training.models.quantiles.support import Support, confine, confined_units


@dataclass(frozen=True)
class Target:
    """What is forecast: how far, at which quantiles, on which grid and season (0 = none). With `block` > 1 the horizon
    has a coarser grid than the values: each of its leads is the mean of the next `block` slots. Then whether each
    stream's intervals are calibrated while it is served, which values a forecast may take, the length of a second,
    longer season (0 = none), and whether the streams are counters: then the values are their increases."""

    interval_ms: int
    horizon: int
    quantiles: tuple[float, ...]
    season_steps: int = 0
    block: int = 1
    calibrated: bool = True
    support: Support = "real"
    second_steps: int = 0
    others: int = 0  # other channels of the stream that a forecast may look at
    kind: Kind = "gauge"
    register: float | None = None  # size of the register that counters count in

    @property
    def forecast_interval_ms(self) -> int:
        return self.block * self.interval_ms

    @property
    def reach(self) -> int:
        """How many slots ahead the horizon ends."""
        return self.block * self.horizon

    @property
    def median(self) -> int:
        return self.quantiles.index(0.5)


@dataclass(frozen=True)
class StepOutput:
    """One step of a batch. Shapes as in the contract (`service/bundle.py`), with one target."""

    state: State
    one_step: Tensor
    surprise: Tensor
    scores: Tensor


@dataclass(frozen=True)
class View:
    """What a family reads its quantiles from: the memory of [n] moments, in running scales."""

    features: Tensor  # [n, features] f32, of the memory and then of those of the other channels
    timestamp: Tensor  # [n] i64
    hidden: Tensor  # [n, units] f32, what the heads read of the latent state; no units without one
    shown: Tensor | None = None  # [n, horizon] f32, in training: targets for a decoder to read, NaN = its own forecast


@dataclass(frozen=True)
class Unrolled:
    """A whole history at once; raw values, time first. NaN where nothing was known."""

    one_step: NDArray[np.float64]  # [T, S, quantiles], the forecast made after step t
    surprise: NDArray[np.float32]  # [T, S], of the value that came at t
    scores: NDArray[np.float32]  # [T, S, scores]
    multi_step: NDArray[np.float64]  # [origins, S, horizon, quantiles]
    scale: NDArray[np.float64]  # [T, S]
    judged: Judged  # what of the values the memory took


class Forecaster(nn.Module):
    """A family says how quantiles follow from the memory and, if it has one, from the latent state."""

    family = "forecaster"
    #: Of the family's code. With one, a model of the same memory may take a row over part by part: the class leaves
    #: memory, counter and calibration as they are here. Raised when the code moves the latent state otherwise, or makes
    #: other forecasts of the same weights. None: no other version understands a row.
    revision: int | None = None
    reads_at_once = True  # whether leads are read side by side: over long horizons training then draws some of them

    def __init__(
        self, target: Target, memory: MemorySpec, latent: Carried | None = None, anchors: Sequence[int] = ANCHORS
    ) -> None:
        """`anchors`: the leads whose intervals calibrate; `step` evaluates the head there at every observation."""
        super().__init__()
        self.target = target
        self.memory = Memory(memory)
        self.latent = latent
        self.anchors = tuple(anchors)
        own = (target.horizon, target.quantiles, target.support, self.anchors)
        block = Block(target.interval_ms, target.block)
        self.calibration = Calibration(*own, block=block) if target.calibrated else None
        levels = (target.quantiles.index(level) for level in (0.1, 0.5, 0.9))
        self.suspects = Suspects(memory.span, *levels)

    @property
    def span(self) -> int:
        """Steps over which "lately" is meant."""
        return self.memory.spec.span

    def one_step_units(self, view: View) -> Tensor:
        """[n, quantiles] f32, sorted, relative to the anchor in running scales."""
        raise NotImplementedError(f"{type(self).__name__} must forecast one step")

    def multi_step_units(self, view: View) -> Tensor:
        """[n, horizon, quantiles] f32, sorted, relative to the anchor in running scales."""
        raise NotImplementedError(f"{type(self).__name__} must forecast its horizon")

    def units_at(self, view: View, leads: Sequence[int]) -> Tensor:
        """The multi-step forecast at `leads` [k] alone (0 = the first): [n, k, quantiles]. `step` needs a few leads:
        a family overrides this where it can do with less than the whole horizon."""
        return self.multi_step_units(view)[:, torch.tensor(leads)]

    # ------------------------------------------------------------------ the contract
    def initial_state(self, batch: int) -> State:
        """All zeros: a stream never seen."""
        pending = {"pending": torch.zeros(batch, len(self.target.quantiles))}
        latent = self.latent.initial_state(batch) if self.latent else {}
        calibration = self.calibration.initial_state(batch) if self.calibration else {}
        counter = initial_counter(batch) if self.target.kind == "counter" else {}
        rule = self.suspects.initial_state(batch)
        return {**self.memory.initial_state(batch), **latent, **pending, **calibration, **counter, **rule}

    @property
    def families(self) -> list[str]:
        """Whose errors the calibration has learned."""
        return [self.family]

    def state_parts(self) -> list[StatePart]:
        """What of the state is kept or zeroed together, or nothing where the class has no `revision`."""
        if self.revision is None:
            return []
        own = {"families": self.families, "revision": self.revision}
        parts = memory_parts(self.memory, self.target.kind, self.target.register, self.suspects)
        if self.latent:
            parts.append(latent_part(self.latent, own, needs=[part.name for part in parts]))
        emitted = {"levels": self.target.quantiles, "support": self.target.support, "block": self.target.block}
        return [*parts, calibration_part(self.calibration, own | emitted)]

    def step(self, value: Tensor, timestamp: Tensor, state: State, beside: Tensor | None = None) -> StepOutput:
        """Consume value [batch, 1] f64 (NaN = missing) of the slot that starts at timestamp [batch] i64, ms. `beside`
        [batch, features] f32: what stands in the memories of the other channels after this slot."""
        reading = possible(value[:, 0])
        counted = self.target.kind == "counter"
        arrived, counter = increase(reading, state, self.target.register) if counted else (reading, {})
        before = self.memory.frame(state)
        verdict = self.suspects.judge(arrived, before, state)
        loss, scores = self._score(arrived, state, verdict.before.frame(before))
        memory, glance = self.memory.update(verdict.taken, timestamp, state)
        glance = replace(glance, beside=beside)
        started = memory["count"] > 0
        latent = self.latent.advance(memory, glance, timestamp, state) if self.latent else {}
        view, after = self._view(memory | latent, timestamp, beside), self.memory.frame(memory)
        units = torch.where(started, self.one_step_units(view), torch.tensor(0.0))
        calibration: State = {}
        if self.calibration:
            mean, ends, block = self.calibration.block.add(verdict.taken, timestamp, state)
            stretch = self.calibration.learn(verdict.taken, mean, state, before)
            units = self.calibration.one_step(units, stretch)
            anchored = self.units_at(view, self.calibration.leads)
            bounds = self.calibration.push(state["bounds"], anchored, stretch, before, after, ends)
            calibration = {"stretch": stretch, "bounds": bounds, **block}
        row = {**memory, **latent, "pending": units, **calibration, **counter, **verdict.state}
        return StepOutput(row, self._emit(units, after, verdict.after, started)[:, None], loss, scores[:, None])

    def forecast(self, timestamp: Tensor, state: State, beside: Tensor | None = None) -> Tensor:
        """[batch, horizon, 1, quantiles] f64 for timestamp + (1 .. horizon) forecast intervals."""
        units = self.multi_step_units(self._view(state, timestamp, beside))
        if self.calibration:
            units = self.calibration.multi_step(units, state["stretch"])
        started = (state["count"] > 0)[:, :, None]
        return self._emit(units, self.memory.frame(state), placement(state), started)[:, :, None]

    def _emit(self, units: Tensor, frame: Frame, placed: Placement, started: Tensor) -> Tensor:
        """The raw quantiles, within the support, of `units` [batch, ...]; NaN for a stream that has not started."""
        quantiles = confine(placed.in_data_units(frame.raw(units)), self.target.support)
        return torch.where(started, quantiles, torch.tensor(torch.nan, dtype=torch.float64))

    def _view(self, state: State, timestamp: Tensor, beside: Tensor | None) -> View:
        features = self.memory.read(state)
        hidden = self.latent.read(state) if self.latent else features[:, :0]
        return View(features if beside is None else torch.cat([features, beside], 1), timestamp, hidden)

    def _score(self, arrived: Tensor, state: State, before: Frame) -> tuple[Tensor, Tensor]:
        """Surprise [batch] and scores [batch, 5] of the pending forecast; NaN without a value, and where nothing is
        pending: a forecast of no width at all is none."""
        pending, known = state["pending"], state["count"][:, 0] > 0
        units = torch.where((before.scale > 0)[:, None], pending, 0.0)
        last = placement(state).in_data_units(state["last"])[:, 0]
        return score(arrived, units, before, last, known & (_width(pending) > 0), self.target)

    # ------------------------------------------------------------------ a whole history at once
    @torch.no_grad()
    def unroll(
        self,
        values: NDArray[np.float64],
        timestamps: NDArray[np.int64],
        origins: Sequence[int] | None = None,
        beside: Sequence[Columns] = (),
    ) -> Unrolled:
        """values [T, S] (NaN = missing) on the grid timestamps [T] -> the same numbers that `step` and `forecast`
        give, one observation at a time. multi_step is computed after the steps `origins` (default: all). `beside`: the
        memories of the other channels."""
        values = possible(torch.as_tensor(values)).numpy()
        values = increases(values, self.target.register) if self.target.kind == "counter" else values
        judged = self.judge(values, timestamps, beside)
        columns = self._columns(judged.taken, timestamps, beside)
        hidden = self.scan(columns)
        steps = len(timestamps)
        chosen = np.arange(steps) if origins is None else np.asarray(origins, np.int64)
        one = self._units_at(columns, hidden, np.arange(steps), self.one_step_units)
        multi = self._units_at(columns, hidden, chosen, self.multi_step_units)
        if self.calibration:
            leads = self.calibration.leads
            anchored = self._units_at(columns, hidden, np.arange(steps), lambda view: self.units_at(view, leads))
            stretch = self.calibration.unroll(columns, judged, one, anchored)
            one = self.calibration.one_step(torch.as_tensor(one), stretch).numpy()
            multi = self.calibration.multi_step(torch.as_tensor(multi), stretch[chosen]).numpy()
        unknown = columns.count == 0
        one_step = judged.in_data_units(columns.x[:, :, None] + columns.scale[:, :, None] * one)
        there = Judged(*(part[chosen] for part in (judged.taken, judged.factor, judged.offset)))
        multi_step = columns.x[chosen][:, :, None, None] + columns.scale[chosen][:, :, None, None] * multi
        multi_step = there.in_data_units(multi_step)
        one_step, multi_step = (
            confine(torch.as_tensor(raw), self.target.support).numpy() for raw in (one_step, multi_step)
        )
        one_step[unknown], multi_step[unknown[chosen]] = np.nan, np.nan
        loss, scores = _score_columns(values, columns, judged, one, self.target)
        return Unrolled(one_step, loss, scores, multi_step, columns.scale / judged.factor, judged)

    def judge(
        self,
        values: NDArray[np.float64],
        timestamps: NDArray[np.int64],
        beside: Sequence[Columns] = (),
        passes: int | None = None,
    ) -> Judged:
        """Which of values [T, S] (increases of a counter) the memory takes, and how it moves; see `judge_columns`."""

        def forecasts(judged: Judged) -> tuple[Columns, NDArray[np.float32]]:
            columns = self._columns(judged.taken, timestamps, beside)
            one = self._units_at(columns, self.scan(columns), np.arange(len(timestamps)), self.one_step_units)
            if self.calibration:
                stretch = self.calibration.unroll(columns, judged, one)
                one = self.calibration.one_step(torch.as_tensor(one), stretch).numpy()
            return columns, one[..., self.suspects.places.numpy()]

        with torch.no_grad():
            return judge_columns(self.suspects, values, forecasts, passes)

    def _columns(self, taken: NDArray[np.float64], timestamps: NDArray[np.int64], beside: Sequence[Columns]) -> Columns:
        return replace(unroll_memory(self.memory.spec, taken, timestamps), beside=tuple(beside))

    def scan(self, columns: Columns) -> Tensor:
        """The hidden state after every step of an unrolled memory, [T, S, units]; no units without a latent state."""
        return self.latent.scan(columns) if self.latent else torch.zeros(*columns.x.shape, 0)

    def _units_at(
        self, columns: Columns, hidden: Tensor, times: NDArray[np.int64], head: Callable[[View], Tensor]
    ) -> NDArray[np.float32]:
        """`head` at [times, all streams], in chunks of bounded memory -> [times, S, ...]."""
        streams = columns.x.shape[1]
        parts: list[NDArray[np.float32]] = []
        for chunk in np.array_split(times, max(1, len(times) * streams // 4096)):
            t, s = np.repeat(chunk, streams), np.tile(np.arange(streams), len(chunk))
            units = head(view_of(columns, t, s, hidden[torch.as_tensor(t), torch.as_tensor(s)]))
            parts.append(units.numpy().reshape(len(chunk), streams, *units.shape[1:]))
        return np.concatenate(parts)


def view_of(columns: Columns, t: NDArray[np.int64], s: NDArray[np.int64], hidden: Tensor) -> View:
    """The memory after steps `t` [n] of streams `s` [n], as `step` would see it, beside hidden [n, units]."""
    return View(torch.as_tensor(columns.features(t, s)), torch.as_tensor(columns.timestamps[t]), hidden)


def score(
    arrived: Tensor, units: Tensor, frame: Frame, last: Tensor, forecast: Tensor, target: Target
) -> tuple[Tensor, Tensor]:
    """Surprise [n] and scores [n, 5] of forecasts `units` [n, Q] in the frame's units, as they were emitted, against
    `arrived` [n]. With a scale of 0 there is no unit to be surprised in: only an exact hit has a finite surprise.
    The distribution is that of the quantiles before they are confined, its mass below the end of a support lying there:
    a value at the end is as surprising as that mass is small."""
    (anchor, scale), levels = frame, torch.tensor(target.quantiles)
    valid = forecast & ~torch.isnan(arrived)
    y = torch.where(valid, arrived, anchor)
    value = relative(y[:, None], anchor, scale)[:, 0]
    loss, transform = surprise(value, units, target.quantiles), integral_transform(value, units, target.quantiles)
    if target.support != "real":
        loss = torch.where(y > 0, loss, -torch.log(transform.clamp(min=TINY)))
        units = confined_units(units, frame, target.support)
    loss = torch.where((scale > 0) | (y == anchor), loss, torch.nan)
    lower, upper = target.quantiles.index(0.1), target.quantiles.index(0.9)
    unit = safe(scale).float()
    columns = [
        (value - units[:, target.median]).abs() * unit,
        (y - last).abs().float(),
        pinball(value, units, levels) * unit,
        ((value >= units[:, lower]) & (value <= units[:, upper])).float(),
        transform,
    ]
    scores = torch.stack(columns, 1)
    return torch.where(valid, loss, torch.nan), torch.where(valid[:, None], scores, torch.nan)


def _width(quantiles: Tensor) -> Tensor:
    """[n] from the lowest to the highest of `quantiles` [n, Q]."""
    return quantiles[:, -1] - quantiles[:, 0]


def _score_columns(
    values: NDArray[np.float64], columns: Columns, judged: Judged, one: NDArray[np.float32], target: Target
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`score` of every value under the forecast made one step before: [T, S] and [T, S, 5]."""
    steps, streams = values.shape
    loss = np.full((steps, streams), np.nan, np.float32)
    scores = np.full((steps, streams, 5), np.nan, np.float32)
    anchors, lasts = judged.in_data_units(columns.x), judged.in_data_units(columns.last)
    scales = columns.scale / judged.factor
    for s in range(streams):
        scale = torch.as_tensor(scales[:-1, s])
        units = torch.where((scale > 0)[:, None], torch.as_tensor(one[:-1, s]), torch.tensor(0.0))
        x, last = torch.as_tensor(anchors[:-1, s]), torch.as_tensor(lasts[:-1, s])
        known = torch.as_tensor(columns.count[:-1, s] > 0) & (_width(torch.as_tensor(one[:-1, s])) > 0)
        a, b = score(torch.as_tensor(values[1:, s]), units, Frame(x, scale), last, known, target)
        loss[1:, s], scores[1:, s] = a.numpy(), b.numpy()
    return loss, scores
