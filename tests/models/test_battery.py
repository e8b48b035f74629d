"""The invariants of a forecaster (`training/export/invariants.py`), each of which every family
passes; and each is broken by a defect that it is there to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from eddycast.training.export import invariants
from eddycast.training.export.invariants import INVARIANTS, Invariant, InvariantBroken
from eddycast.training.export.parity import onnx_is_torch
from eddycast.training.models import Carried, Forecaster, Naive, View, unrolling
from eddycast.training.models.contract import Unrolled
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.memory import Glance, MemorySpec
from eddycast.training.models.memory.suspect_columns import judge_columns
from eddycast.training.models.memory.suspect_readings import Suspects, Verdict
from eddycast.training.models.memory.units import Frame
from eddycast.training.models.quantiles.widths import Learned
from eddycast.training.models.tensor_state import TensorState
from tests.models.zoo import (
    DAILY,
    HEAVY_KINDS,
    LEVELS,
    MAKERS,
    OFFSETS,
    PLAIN,
    forecaster,
)
from tests.support.exported import Exported

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", HEAVY_KINDS)
@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.__name__)
def test_every_family_keeps_every_law(invariant: Invariant, kind: str) -> None:
    invariant(forecaster(kind))


class Last(Naive):
    """The last value with fixed widths: keeps the invariants. Defects are made of it."""

    def __init__(self, horizon: int = 12, **changes: Any) -> None:
        super().__init__(replace(PLAIN, horizon=horizon, **changes))
        self.offsets_one.copy_(OFFSETS)
        self.offsets_multi.copy_(OFFSETS)


class Flat(Last):
    def multi_step_units(self, view: View) -> Tensor:
        return super().multi_step_units(view)[:, :, 0]


class Crossing(Last):
    def one_step_units(self, view: View) -> Tensor:
        return super().one_step_units(view).flip(1)


class Wall(Last):
    """Quantiles in the data's unit."""

    def unroll(self, *args: Any, **named: Any) -> Unrolled:
        out = super().unroll(*args, **named)
        return replace(out, one_step=out.one_step + 0.5, multi_step=out.multi_step + 0.5)


class Neighbourly(Last):
    def points(self, view: View) -> tuple[Tensor, Tensor]:
        mean = torch.arange(view.features.shape[0], dtype=torch.float32)
        one, multi = super().points(view)
        return one + mean, multi


class Seer(Last):
    """Training's pass reads what comes next."""

    def unroll(self, *args: Any, **named: Any) -> Unrolled:
        out = super().unroll(*args, **named)
        out.one_step[:-1] += 1e-3 * (args[0][1:, :, None] > 500)
        return out


class Restless(Carried):
    """A hidden state that moves before the first value, and differently in training."""

    def __init__(self, early: bool, step: float) -> None:
        super().__init__(1)
        self.early, self.step = early, step

    def initial_state(self, batch: int) -> TensorState:
        return {"hidden": torch.zeros(batch, 1)}

    def advance(
        self, memory: TensorState, glance: Glance, timestamp: Tensor, state: TensorState
    ) -> TensorState:
        moved = state["hidden"] + self.step
        return {
            "hidden": moved
            if self.early
            else torch.where(memory["count"] > 0, moved, torch.zeros_like(moved))
        }

    def read(self, state: TensorState) -> Tensor:
        return state["hidden"]

    def scan(self, columns: Columns) -> Tensor:
        counted = torch.as_tensor(columns.count > 0).float().cumsum(0)
        return (
            0.01 * (counted if not self.early else torch.ones_like(counted).cumsum(0))[:, :, None]
        )


class Moved(Last):
    """Forecasts hang on a hidden state."""

    def __init__(self, early: bool, step: float) -> None:
        super().__init__()
        self.latent = Restless(early, step)

    def points(self, view: View) -> tuple[Tensor, Tensor]:
        one, multi = super().points(view)
        return one + view.hidden[:, 0], multi


class Marked(Restless):
    """A hidden state that the first value sets and nothing moves:
    a row that was taken over without it never has it."""

    def advance(
        self, memory: TensorState, glance: Glance, timestamp: Tensor, state: TensorState
    ) -> TensorState:
        first = memory["count"] == 1
        return {"hidden": torch.where(first, torch.ones_like(state["hidden"]), state["hidden"])}


class Trusting(Last):
    """Makes of a hidden state that is zero what `lost` is."""

    def __init__(self, lost: float) -> None:
        super().__init__()
        self.latent, self.lost = Marked(False, 0.0), lost

    def points(self, view: View) -> tuple[Tensor, Tensor]:
        one, multi = super().points(view)
        return one + torch.where(view.hidden[:, 0] > 0, 0.0, self.lost), multi


class Eager(Last):
    """Scores a row of zeros as if that were a forecast."""

    def _score(self, arrived: Tensor, state: TensorState, before: Any) -> tuple[Tensor, Tensor]:
        return super()._score(arrived, state | {"pending": state["pending"] + OFFSETS}, before)


class Ageing(Last):
    """A tensor of its own counts the steps."""

    def initial_state(self, batch: int) -> TensorState:
        return {**super().initial_state(batch), "age": torch.zeros(batch, 1)}

    def step(self, value: Tensor, timestamp: Tensor, state: TensorState, *rest: Any) -> Any:
        out = super().step(value, timestamp, state, *rest)
        return replace(out, state={**out.state, "age": state["age"] + 1})


class Zero(Last):
    """Divides by the last change."""

    def points(self, view: View) -> tuple[Tensor, Tensor]:
        one, multi = super().points(view)
        return one / one, multi


class Blind(Last):
    def _score(self, *args: Any) -> tuple[Tensor, Tensor]:
        loss, scores = super()._score(*args)
        return torch.nan_to_num(loss, nan=0.0), scores

    def unroll(self, *args: Any, **named: Any) -> Unrolled:
        out = super().unroll(*args, **named)
        return replace(
            out, surprise=torch.nan_to_num(torch.as_tensor(out.surprise), nan=0.0).numpy()
        )


class Nats(Last):
    """A surprise in place of its rank."""

    def unroll(self, *args: Any, **named: Any) -> Unrolled:
        out = super().unroll(*args, **named)
        return replace(out, anomaly=out.surprise)


class Capped(Last):
    """Above every sample, and in `step` alone."""

    def step(self, value: Tensor, *args: Any, **named: Any) -> Any:
        return super().step(value.clamp(max=100.0), *args, **named)


class Lidded(Last):
    """Above every sample, and in `forecast` alone."""

    def forecast(self, *args: Any, **named: Any) -> Tensor:
        return super().forecast(*args, **named).clamp(max=100.0)


class Overflow(Last):
    """In the third power of the last change: 1e9 of them is more than a float32 holds."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = type(self.memory)(MemorySpec(PLAIN.interval_ms, lags=2))

    def points(self, view: View) -> tuple[Tensor, Tensor]:
        one, multi = super().points(view)
        return one + (view.features[:, 0] * 1e13) ** 3, multi


class Credulous(Suspects):
    """Takes every reading for what it is."""

    def decide(self, value: Tensor, frame: Frame, pending: Tensor, state: TensorState) -> Verdict:
        return super().decide(
            value, frame, pending, state | {"count": torch.zeros_like(state["count"])}
        )


class Stubborn(Suspects):
    """Forgets every suspect at once, so that none is ever the fourth in a row."""

    def decide(self, value: Tensor, frame: Frame, pending: Tensor, state: TensorState) -> Verdict:
        return super().decide(
            value, frame, pending, state | {"episode": torch.zeros_like(state["episode"])}
        )


def judging(rule: type[Suspects]) -> Forecaster:
    model = Last()
    model.suspects = rule(model.span, 0, 2, 4)
    return model


def frozen() -> Forecaster:
    model = Last()
    calibration: Any = model.calibration
    calibration.learn = lambda arrived, mean, state, before: Learned(
        *(torch.zeros_like(state[name]) for name in Learned._fields)
    )
    return model


DEFECTS: dict[str, tuple[Invariant, Callable[[], Forecaster], str]] = {
    "a level too few": (
        invariants.shapes,
        Flat,
        r"multi_step_units of 3 rows: \[3, 12\] float32, expected \[3, 12, 5\]",
    ),
    "a long season": (invariants.bounded_row, lambda: many_lags(), "bytes, at most 16,384"),
    "a state that starts early": (
        invariants.zero_start,
        lambda: Moved(True, 0.01),
        "'hidden' after 30 missing values",
    ),
    "levels upside down": (invariants.sorted_quantiles, Crossing, "falls by 0.8 running scales"),
    "another speed in training": (
        invariants.unroll_is_step,
        lambda: Moved(False, 0.02),
        "one_step at .* differs by",
    ),
    "a look ahead": (invariants.causality, Seer, "one_step before a change"),
    "neighbours": (invariants.independence, Neighbourly, "multi_step at"),
    "a constant in data units": (invariants.shift_and_scale, Wall, "shift and scale by"),
    "the same in step alone": (invariants.shift_and_scale, Capped, "one_step, by steps at"),
    "the same in forecast alone": (invariants.shift_and_scale, Lidded, "multi_step, by steps at"),
    "time before the start": (
        invariants.silence_leaves_no_trace,
        lambda: Moved(True, 0.01),
        "one_step at",
    ),
    "a score of nothing": (invariants.missing_from_memory, Blind, "surprise at a missing value"),
    "a step that a jump leaves out": (
        invariants.a_jump_is_its_steps,
        Ageing,
        "'age' after a gap: differs by 1.3e[+]02",
    ),
    "off a constant": (invariants.constant_series, Wall, "multi_step at"),
    "a made-up unit": (
        invariants.surprise_needs_a_scale,
        Blind,
        "surprise of the first change: 0 instead of NaN",
    ),
    "a rank without an end": (
        invariants.anomaly_is_a_rank,
        Nats,
        "anomaly: from .* not within 0 and 1",
    ),
    "a division by zero": (invariants.extremes_stay_finite, Zero, "are not finite"),
    "a power of an outlier": (invariants.extremes_stay_finite, Overflow, "are not finite"),
    "a memory that believes all": (
        invariants.impossible_readings_cost_a_step,
        lambda: judging(Credulous),
        r"costs a step' is broken: width one step ahead",
    ),
    "the same every day": (
        invariants.one_a_day_costs_a_step_a_day,
        lambda: judging(Credulous),
        r"a step a day' is broken: (error|width) one step ahead",
    ),
    "a level that is never accepted": (
        invariants.a_new_level_is_accepted,
        lambda: judging(Stubborn),
        "'a level is accepted' is broken: error one step ahead",
    ),
    "a division by what may be nothing": (
        invariants.numbers_in_numbers_out,
        Zero,
        "are not finite",
    ),
    "widths that stay": (invariants.calibration_moves, frozen, "all zero"),
    "a zero that is no state": (
        invariants.parts_may_be_zero,
        lambda: Trusting(torch.inf),
        "here latent.*not finite",
    ),
    "a zero that misleads": (
        invariants.parts_may_be_zero,
        lambda: Trusting(50.0),
        "here latent.*errors: .* of those of",
    ),
    "a score of zeros": (
        invariants.parts_may_be_zero,
        Eager,
        "here calibration.*though no forecast was pending",
    ),
}


def many_lags() -> Forecaster:
    model = Last()
    model.memory = type(model.memory)(MemorySpec(PLAIN.interval_ms, lags=3000))
    return model


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few passes over a history: a broken rule would take as many as there are readings until
    nothing changes."""
    monkeypatch.setattr(
        unrolling,
        "judge_columns",
        lambda rule, values, forecasts, _: judge_columns(rule, values, forecasts, 12),
    )
    invariant, made, says = DEFECTS[defect]
    invariant(Last().eval())
    with pytest.raises(InvariantBroken, match=says) as caught:
        invariant(made().eval())
    assert caught.value.exit_code == 2
    assert caught.value.invariant in str(caught.value)


def test_every_law_has_a_defect() -> None:
    assert {invariant for invariant, _, _ in DEFECTS.values()} == set(INVARIANTS)


def test_graphs_of_another_forecaster_are_found(exported: Exported) -> None:
    directory = exported("gru")
    onnx_is_torch(forecaster("gru"), directory, {3: 20})
    other: Any = MAKERS["gru"]().eval()
    with torch.no_grad():
        other.one_head.bias[0] += 0.01
    with pytest.raises(InvariantBroken, match=r"exported graphs.*one_step, step \d+ of 3 rows"):
        onnx_is_torch(other, directory, {3: 20})


def test_without_calibration_or_with_a_support_only_what_applies_is_asked() -> None:
    invariants.calibration_moves(Last(calibrated=False).eval())
    invariants.shift_and_scale(Last(support="integer").eval())
    assert DAILY.quantiles == LEVELS
