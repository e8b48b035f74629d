"""The invariants at the limits: constant series, extreme values,
and states that were partly zeroed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from eddycast.training.export.invariants.checking import (
    FEW,
    STEPS,
    TOLERANCE,
    Array,
    InvariantBroken,
    carried,
    close,
    finite,
    stepped,
    unit_of,
)
from eddycast.training.export.synthetic import sample
from eddycast.training.models import Forecaster
from eddycast.training.models.parts import StatePart
from eddycast.training.models.quantiles.support import confine
from eddycast.training.models.tensor_state import TensorState

SLACK = 0.1  # of an error: chance over FEW steps
SPIKE, RARE = 1e6, 0.99  # a reading far from all others, and its anomaly at least
LEVELS = (0.0, 1e9, -3.5, 1e-12)


def constant_series(model: Forecaster) -> None:
    """A series that never changes is forecast as it is, and every output is finite. Counters are
    exempt. Broken by forecasts that return to a level in the unit of the data."""
    if model.target.kind == "counter":
        return
    _, timestamps = sample(model.target, 100, 1)
    for level in LEVELS:
        invariant = f"a constant series of {level:g} is forecast as it is"
        out = model.unroll(np.full((100, 1), level), timestamps)
        expected = confine(torch.tensor(level, dtype=torch.float64), model.target.support).item()
        close(invariant, "multi_step", out.multi_step, np.full_like(out.multi_step, expected), 0.0)
        finite(invariant, "surprise", out.surprise[1:])
        finite(invariant, "scores", out.scores[1:])


def surprise_needs_a_scale(model: Forecaster) -> None:
    """Without a scale only an exact hit has a finite surprise: an invented unit would break the
    invariant of scale. Counters are exempt."""
    if model.target.kind == "counter":
        return
    invariant = "without a scale only an exact hit has a surprise"
    _, timestamps = sample(model.target, 20, 1)
    values = np.full((20, 1), 5.0)
    values[10] = 6.0
    surprise = model.unroll(values, timestamps).surprise
    finite(invariant, "surprise of a hit", np.delete(surprise, (0, 10)))
    if np.isfinite(surprise[10]):
        raise InvariantBroken(
            invariant,
            "surprise of the first change",
            f"{float(surprise[10, 0]):.2g} instead of NaN",
        )


def anomaly_is_a_rank(model: Forecaster) -> None:
    """An anomaly lies in [0, 1] and exists where a surprise does; that of a spike is almost 1.
    Broken by a surprise in its place."""
    invariant = "an anomaly is a rank"
    values, timestamps = sample(model.target, STEPS, 3)
    values[-1] = SPIKE
    out = model.unroll(values, timestamps)
    if (np.isnan(out.anomaly) != np.isnan(out.surprise)).any():
        raise InvariantBroken(
            invariant, "anomaly", "missing where a surprise is, or the other way round"
        )
    known = out.anomaly[~np.isnan(out.anomaly)]
    if known.min() < 0 or known.max() > 1:
        raise InvariantBroken(
            invariant, "anomaly", f"from {known.min():.3g} to {known.max():.3g}, not within 0 and 1"
        )
    if (least := float(out.anomaly[-1].min())) < RARE:
        raise InvariantBroken(invariant, "anomaly of a spike", f"{least:.3g}, less than {RARE:g}")


def extremes_stay_finite(model: Forecaster) -> None:
    """Huge values, an outlier of 1e9 and a jump to 1e6 give finite outputs. Counters are exempt.
    Broken by powers and exponentials."""
    if model.target.kind == "counter":
        return
    invariant = "extreme inputs stay finite"
    values, timestamps = sample(model.target, STEPS, 3)
    values[:, 0] *= 1e9
    values[100, 1] = 1e9
    values[150:, 2] = 1e6
    holes = np.isnan(values)
    values[holes] = np.random.default_rng(4).normal(20, 1, holes.sum())
    out = model.unroll(values, timestamps)
    for name in ("one_step", "multi_step"):
        finite(invariant, name, getattr(out, name))
    finite(invariant, "surprise", out.surprise[2:])
    finite(invariant, "multi_step, by steps", stepped(model, values, timestamps)["multi_step"])


def calibration_moves(model: Forecaster) -> None:
    """The widths of intervals follow the values, and stretch the quantiles around an unchanged
    median. Broken by a `step` without calibration."""
    if not model.calibration:
        return
    invariant, values_timestamps = "calibration moves the intervals", sample(model.target, 120, 2)
    values, timestamps = np.nan_to_num(values_timestamps[0], nan=20.0), values_timestamps[1]
    state = model.initial_state(2)
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            when = torch.full((2,), int(stamp))
            state = model.step(torch.as_tensor(value)[:, None], when, state).state
        if not bool((state["stretch"] != 0).any(1).all()):
            raise InvariantBroken(invariant, "the log-widths after 120 values", "all zero")
        if model.target.support != "real":
            return
        level = (
            {"stretch": torch.zeros_like(state["stretch"])},
            {"stretch": torch.full_like(state["stretch"], 0.5)},
        )
        narrow, wide = (model.forecast(when, state | one)[:, :, 0].numpy() for one in level)
    unit = unit_of(model.memory.frame(state).scale.numpy())[:, None]
    middle = model.target.median
    close(invariant, "the median", wide[..., middle], narrow[..., middle], TOLERANCE, unit)
    gap, stretched = (made[..., -1] - made[..., 0] for made in (narrow, wide))
    close(
        invariant,
        "a width stretched by exp(.5)",
        stretched,
        np.exp(0.5) * gap,
        TOLERANCE * (1 + gap / unit).max(),
        unit,
    )


def parts_may_be_zero(model: Forecaster) -> None:
    """Any part of a warm row may be zeroed together with the parts that need it,
    as when another model takes the row over.

    Every output is then finite, errors are at most those of a warm or a cold start, and only
    pending forecasts are scored. Broken by a hidden state that must not be zero once the stream has
    started.
    """
    cut, parts = STEPS - FEW, model.state_parts()
    values, timestamps = sample(model.target, STEPS, 5)
    row, _ = carried(model, model.initial_state(5), values[:cut], timestamps[:cut])
    after, when = values[cut:], timestamps[cut:]
    warm, cold = (carried(model, start, after, when)[1] for start in (row, model.initial_state(5)))
    worst = np.maximum(_errors(warm, model, row), _errors(cold, model, row))
    for part in parts[1:]:
        invariant = f"any part may be zero, here {part.name}"
        gone = _with_dependents(part.name, parts)
        zeroed = {name for one in parts if one.name in gone for name in one.tensors}
        start = {name: torch.zeros_like(t) if name in zeroed else t for name, t in row.items()}
        found = carried(model, start, after, when)[1]
        for name in ("one_step", "multi_step"):
            finite(invariant, name, found[name])
        finite(invariant, "surprise", found["surprise"][1:][np.isfinite(warm["surprise"][1:])])
        if "pending" in zeroed and not np.isnan(found["scores"][0]).all():
            raise InvariantBroken(
                invariant, "scores of the first value", "numbers, though no forecast was pending"
            )
        excess = float((_errors(found, model, row) / worst).max())
        if excess > 1 + SLACK:
            raise InvariantBroken(
                invariant,
                "errors",
                f"{excess:.2f} of those of a warm or a cold start, whichever is larger",
            )


def _with_dependents(name: str, parts: Sequence[StatePart]) -> set[str]:
    """Names of a part and of all parts that need it, directly or not."""
    gone = {name}
    for part in parts:  # a part stands behind those that it needs
        if gone.intersection(part.needs):
            gone.add(part.name)
    return gone


def _errors(outputs: dict[str, Array], model: Forecaster, row: TensorState) -> Array:
    """Mean absolute error and pinball loss one step ahead [2], in the running scales of `row`,
    without the first step, which scores an earlier forecast."""
    unit = unit_of(model.memory.frame(row).scale.numpy())
    mean: Array = np.nanmean(outputs["scores"][1:][..., [0, 2]] / unit[:, None], axis=(0, 1))
    return mean
