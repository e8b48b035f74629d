"""The invariants of a sequence: its order, its level and unit, its missing values,
and the streams beside it."""

from __future__ import annotations

import numpy as np

from eddycast.training.data.counters import increases
from eddycast.training.export.invariants.checking import (
    FEW,
    OUTPUTS,
    STEPS,
    TOLERANCE,
    InvariantBroken,
    close,
    finite,
    stepped,
    unit_of,
)
from eddycast.training.export.synthetic import sample
from eddycast.training.models import Forecaster
from eddycast.training.models.memory.columns import unroll_memory

#: (a, b): f(a * y + b) = a * f(y) + b
MOVES = ((1e-3, 7.0), (1e3, -5e5), (1.0, 48_211_734.25))


def unroll_is_step(model: Forecaster) -> None:
    """A whole history at once gives the outputs of one observation at a time, and every stream with
    a value is forecast. Broken by a `scan` that differs from `advance`."""
    invariant = "unroll is repeated step"
    values, timestamps = sample(model.target, STEPS, 5)
    values[:, 4] = np.nan
    at_once, one_by_one = model.unroll(values, timestamps), stepped(model, values, timestamps)
    unit = unit_of(at_once.scale)
    close(
        invariant, "one_step", at_once.one_step, one_by_one["one_step"], TOLERANCE, unit[:, :, None]
    )
    close(
        invariant,
        "multi_step",
        at_once.multi_step,
        one_by_one["multi_step"],
        TOLERANCE,
        unit[:, :, None, None],
    )
    close(invariant, "surprise", at_once.surprise, one_by_one["surprise"], 1e-2)
    close(invariant, "anomaly", at_once.anomaly, one_by_one["anomaly"], 1e-2)
    close(
        invariant,
        "scores",
        at_once.scores[..., :3],
        one_by_one["scores"][..., :3],
        TOLERANCE,
        unit[:, :, None],
    )
    close(invariant, "transform", at_once.scores[..., 4], one_by_one["scores"][..., 4], 1e-2)
    finite(invariant, "multi_step after the last value", at_once.multi_step[-1, :4])


def causality(model: Forecaster) -> None:
    """The future changes no past output, to the bit, and later forecasts do depend on the values.
    Broken by a normalisation over time."""
    invariant, cut = "causality", 150
    values, timestamps = sample(model.target, STEPS, 3)
    changed = values.copy()
    changed[cut:] = np.random.default_rng(9).normal(1000, 50, changed[cut:].shape)
    one, other = model.unroll(values, timestamps), model.unroll(changed, timestamps)
    for name in OUTPUTS:
        close(
            invariant,
            f"{name} before a change",
            getattr(other, name)[:cut],
            getattr(one, name)[:cut],
            0.0,
        )
    if np.array_equal(one.one_step[cut:], other.one_step[cut:], equal_nan=True):
        raise InvariantBroken(invariant, "one_step after a change", "the same as without it")


def independence(model: Forecaster) -> None:
    """The outputs of a row do not depend on the other rows of its batch.
    Broken by batch normalisation."""
    invariant = "independence of a batch's rows"
    values, timestamps = sample(model.target, 60, 6)
    together = stepped(model, values, timestamps)
    other_way = stepped(model, values[:, ::-1].copy(), timestamps)
    unit = unit_of(model.unroll(values, timestamps).scale)
    close(
        invariant,
        "multi_step",
        other_way["multi_step"][:, ::-1],
        together["multi_step"],
        1e-5,
        unit[:, :, None, None],
    )
    close(
        invariant,
        "one_step",
        other_way["one_step"][:, ::-1],
        together["one_step"],
        1e-5,
        unit[:, :, None],
    )


def shift_and_scale(model: Forecaster) -> None:
    """f(a*y + b) = a*f(y) + b, over a whole history at once and over FEW steps one by one. A
    support is a constant in the unit of the data, so a forecaster with one is exempt. Broken by any
    other constant in that unit."""
    if model.target.support != "real":
        return
    values, timestamps = sample(model.target, STEPS, 4)
    plain = model.unroll(values, timestamps)
    few, when = values[:FEW], timestamps[:FEW]
    one_by_one, narrow = stepped(model, few, when), unit_of(plain.scale[:FEW])[:, :, None]
    for a, b in MOVES:
        invariant, moved = (
            f"shift and scale by {a:g} and {b:g}",
            model.unroll(a * values + b, timestamps),
        )
        found = stepped(model, a * few + b, when)
        close(
            invariant,
            "one_step, by steps",
            found["one_step"],
            a * one_by_one["one_step"] + b,
            TOLERANCE,
            a * narrow,
        )
        wide, expected = a * narrow[..., None], a * one_by_one["multi_step"] + b
        close(invariant, "multi_step, by steps", found["multi_step"], expected, TOLERANCE, wide)
        unit = unit_of(a * plain.scale)
        close(
            invariant,
            "one_step",
            moved.one_step,
            a * plain.one_step + b,
            TOLERANCE,
            unit[:, :, None],
        )
        close(
            invariant,
            "multi_step",
            moved.multi_step,
            a * plain.multi_step + b,
            TOLERANCE,
            unit[:, :, None, None],
        )
        close(invariant, "surprise", moved.surprise, plain.surprise, 1e-2)
        close(invariant, "anomaly", moved.anomaly, plain.anomaly, 1e-2)


def silence_leaves_no_trace(model: Forecaster) -> None:
    """A stream that starts late is forecast as if the silence before had not been there. Broken by
    counting time instead of values."""
    invariant = "a silence before the first value leaves no trace"
    values, timestamps = sample(model.target, 120, 1)
    padded = np.concatenate([np.full((48, 1), np.nan), values])
    before = timestamps[0] - model.target.interval_ms * np.arange(48, 0, -1)
    late = model.unroll(padded, np.concatenate([before, timestamps]))
    alone = model.unroll(values, timestamps)
    unit = unit_of(alone.scale)
    close(invariant, "one_step", late.one_step[48:], alone.one_step, TOLERANCE, unit[:, :, None])
    close(
        invariant,
        "multi_step",
        late.multi_step[48:],
        alone.multi_step,
        TOLERANCE,
        unit[:, :, None, None],
    )


def missing_from_memory(model: Forecaster) -> None:
    """A missing value is not scored, and changes no level, spread, last value or count.
    Broken by an update with one."""
    invariant = "missing values are filled from memory alone"
    values, timestamps = sample(model.target, 100, 3)
    out, missing = model.unroll(values, timestamps), np.isnan(values)
    if not np.isnan(out.surprise[missing]).all():
        raise InvariantBroken(invariant, "surprise at a missing value", "a number instead of NaN")
    seen = increases(values, model.target.register) if model.target.kind == "counter" else values
    columns = unroll_memory(model.memory.spec, seen, timestamps)
    for name in ("level", "spread", "last", "count"):
        column = getattr(columns, name)
        close(invariant, name, column[1:][missing[1:]], column[:-1][missing[1:]], 0.0)
