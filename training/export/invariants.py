"""The invariants of a forecaster (`docs/design.md`), each a function that raises InvariantBroken: which invariant,
where, by how much.

The tests hold every built-in family to them; `eddycast train` holds a family of one's own to them, before its bundle
replaces any other. `training/export/parity.py` is the invariant that needs the exported graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from service.errors import FamilyError
from training.data.counters import increases
from training.export.synthetic import sample
from training.models import Forecaster
from training.models.contract import View
from training.models.memory.columns import unroll_memory
from training.models.parts import StatePart
from training.models.quantiles.support import confine
from training.models.tensor_state import TensorState
from training.recipe import Recipe

Array = NDArray[np.floating]
STEPS, FEW = 240, 60
TOLERANCE = 1e-4  # running scales
SLACK = 0.1  # of an error: what luck makes of FEW steps
#: (a, b): f(a * y + b) = a * f(y) + b
MOVES = ((1e-3, 7.0), (1e3, -5e5), (1.0, 48_211_734.25))
LEVELS = (0.0, 1e9, -3.5, 1e-12)
SPIKE = 0.99  # anomaly of a spike, at least
OUTPUTS = ("one_step", "surprise", "scores", "anomaly", "multi_step")


class InvariantBroken(FamilyError):
    """`invariant` names it, `where` says at which output, `by` how far it is from what it should be."""

    def __init__(self, invariant: str, where: str, by: str) -> None:
        super().__init__(
            f"the invariant {invariant!r} is broken: {where}: {by}", "docs/forecasters.md lists the invariants"
        )
        self.invariant, self.where, self.by = invariant, where, by


def shapes(model: Forecaster) -> None:
    """Quantiles [n, levels] one step ahead and [n, horizon, levels] over the horizon, in float32, .1 .5 .9 among the
    levels; a state of [batch, ...], all zeros at the start."""
    invariant, levels = "shapes", model.target.quantiles
    if not {0.1, 0.5, 0.9} <= set(levels):
        raise InvariantBroken(invariant, "the levels of the target", f"{levels} lack one of .1, .5, .9")
    units = model.latent.units if model.latent else 0
    features = model.memory.spec.features
    stamps = torch.full((3,), 1_700_000_000_000 // model.target.interval_ms * model.target.interval_ms)
    view = View(torch.zeros(3, features), stamps, torch.zeros(3, units))
    with torch.no_grad():
        made = {"one_step_units": model.one_step_units(view), "multi_step_units": model.multi_step_units(view)}
    wanted = {"one_step_units": (3, len(levels)), "multi_step_units": (3, model.target.horizon, len(levels))}
    for name, tensor in made.items():
        if tuple(tensor.shape) != wanted[name] or tensor.dtype != torch.float32:
            found = f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
            raise InvariantBroken(invariant, f"{name} of 3 rows", f"{found}, expected {list(wanted[name])} float32")
    for name, tensor in model.initial_state(3).items():
        if tensor.shape[0] != 3 or tensor.count_nonzero():
            raise InvariantBroken(invariant, f"the state {name!r} of 3 streams never seen", "not 3 rows of zeros")


def bounded_row(model: Forecaster, limit: int = Recipe.row_limit) -> None:
    """A stream's state is at most `limit` bytes."""
    size = sum(tensor[0].numel() * tensor.element_size() for tensor in model.initial_state(1).values())
    if size > limit:
        raise InvariantBroken(
            "bounded row", "the state of a stream", f"{size:,} bytes, at most {limit:,} (--row-limit)"
        )


def unroll_is_step(model: Forecaster) -> None:
    """A whole history at once gives what one observation at a time gives; every stream with a value is forecast."""
    invariant = "unroll is repeated step"
    values, timestamps = sample(model.target, STEPS, 5)
    values[:, 4] = np.nan
    at_once, one_by_one = model.unroll(values, timestamps), stepped(model, values, timestamps)
    unit = unit_of(at_once.scale)
    close(invariant, "one_step", at_once.one_step, one_by_one["one_step"], TOLERANCE, unit[:, :, None])
    close(invariant, "multi_step", at_once.multi_step, one_by_one["multi_step"], TOLERANCE, unit[:, :, None, None])
    close(invariant, "surprise", at_once.surprise, one_by_one["surprise"], 1e-2)
    close(invariant, "anomaly", at_once.anomaly, one_by_one["anomaly"], 1e-2)
    close(invariant, "scores", at_once.scores[..., :3], one_by_one["scores"][..., :3], TOLERANCE, unit[:, :, None])
    close(invariant, "transform", at_once.scores[..., 4], one_by_one["scores"][..., 4], 1e-2)
    _numbers(invariant, "multi_step after the last value", at_once.multi_step[-1, :4])


def shift_and_scale(model: Forecaster) -> None:
    """f(a*y + b) = a*f(y) + b, over a history at once, and over FEW steps one by one: that `step` says the same as
    `unroll` is seen at the sample's own level alone. A support is a constant in data units: such a forecaster is not
    held to it."""
    if model.target.support != "real":
        return
    values, timestamps = sample(model.target, STEPS, 4)
    plain = model.unroll(values, timestamps)
    few, when = values[:FEW], timestamps[:FEW]
    one_by_one, narrow = stepped(model, few, when), unit_of(plain.scale[:FEW])[:, :, None]
    for a, b in MOVES:
        invariant, moved = f"shift and scale by {a:g} and {b:g}", model.unroll(a * values + b, timestamps)
        found = stepped(model, a * few + b, when)
        close(invariant, "one_step, by steps", found["one_step"], a * one_by_one["one_step"] + b, TOLERANCE, a * narrow)
        wide, expected = a * narrow[..., None], a * one_by_one["multi_step"] + b
        close(invariant, "multi_step, by steps", found["multi_step"], expected, TOLERANCE, wide)
        unit = unit_of(a * plain.scale)
        close(invariant, "one_step", moved.one_step, a * plain.one_step + b, TOLERANCE, unit[:, :, None])
        close(invariant, "multi_step", moved.multi_step, a * plain.multi_step + b, TOLERANCE, unit[:, :, None, None])
        close(invariant, "surprise", moved.surprise, plain.surprise, 1e-2)
        close(invariant, "anomaly", moved.anomaly, plain.anomaly, 1e-2)


def causality(model: Forecaster) -> None:
    """The future changes no past output, to the bit; and a forecast does hang on what came."""
    invariant, cut = "causality", 150
    values, timestamps = sample(model.target, STEPS, 3)
    changed = values.copy()
    changed[cut:] = np.random.default_rng(9).normal(1000, 50, changed[cut:].shape)
    one, other = model.unroll(values, timestamps), model.unroll(changed, timestamps)
    for name in OUTPUTS:
        close(invariant, f"{name} before a change", getattr(other, name)[:cut], getattr(one, name)[:cut], 0.0)
    if np.array_equal(one.one_step[cut:], other.one_step[cut:], equal_nan=True):
        raise InvariantBroken(invariant, "one_step after a change", "the same as without it")


def independence(model: Forecaster) -> None:
    """A row's result does not depend on the rows beside it."""
    invariant = "independence of a batch's rows"
    values, timestamps = sample(model.target, 60, 6)
    together = stepped(model, values, timestamps)
    other_way = stepped(model, values[:, ::-1].copy(), timestamps)
    unit = unit_of(model.unroll(values, timestamps).scale)
    close(
        invariant, "multi_step", other_way["multi_step"][:, ::-1], together["multi_step"], 1e-5, unit[:, :, None, None]
    )
    close(invariant, "one_step", other_way["one_step"][:, ::-1], together["one_step"], 1e-5, unit[:, :, None])


def sorted_quantiles(model: Forecaster) -> None:
    """Quantiles rise with their level."""
    values, timestamps = sample(model.target, STEPS, 4)
    out = model.unroll(values, timestamps)
    unit = unit_of(out.scale)
    for name, quantiles in (
        ("one_step", out.one_step / unit[:, :, None]),
        ("multi_step", out.multi_step / unit[:, :, None, None]),
    ):
        if (fall := float(-np.nanmin(np.diff(quantiles, axis=-1), initial=0.0))) > 1e-6 + _rounding(out.scale):
            raise InvariantBroken(
                "sorted quantiles", name, f"falls by {fall:.2g} running scales from a level to the next"
            )


def zero_start(model: Forecaster) -> None:
    """As long as nothing was observed the state is zero and every output NaN."""
    invariant = "all-zero start"
    _, timestamps = sample(model.target, 30, 2)
    state = model.initial_state(2)
    with torch.no_grad():
        for stamp in timestamps:
            when = torch.full((2,), int(stamp))
            out = model.step(torch.full((2, 1), torch.nan, dtype=torch.float64), when, state)
            state = out.state
            made = (out.one_step, out.surprise, out.scores, out.anomaly, model.forecast(when, state))
            for name, tensor in zip(OUTPUTS, made, strict=True):
                if not torch.isnan(tensor).all():
                    raise InvariantBroken(invariant, f"{name} before the first value", "a number, not NaN")
    for name, tensor in state.items():
        if tensor.count_nonzero():
            raise InvariantBroken(
                invariant, f"the state {name!r} after 30 missing values", f"up to {float(tensor.abs().max()):.2g}"
            )


def silence_leaves_no_trace(model: Forecaster) -> None:
    """A stream that starts late forecasts what it would have forecast without the silence before."""
    invariant = "a silence before the first value leaves no trace"
    values, timestamps = sample(model.target, 120, 1)
    padded = np.concatenate([np.full((48, 1), np.nan), values])
    before = timestamps[0] - model.target.interval_ms * np.arange(48, 0, -1)
    late = model.unroll(padded, np.concatenate([before, timestamps]))
    alone = model.unroll(values, timestamps)
    unit = unit_of(alone.scale)
    close(invariant, "one_step", late.one_step[48:], alone.one_step, TOLERANCE, unit[:, :, None])
    close(invariant, "multi_step", late.multi_step[48:], alone.multi_step, TOLERANCE, unit[:, :, None, None])


def missing_from_memory(model: Forecaster) -> None:
    """A missing value is not scored, and moves no level, spread, last value or count."""
    invariant = "missing values are filled from memory alone"
    values, timestamps = sample(model.target, 100, 3)
    out, missing = model.unroll(values, timestamps), np.isnan(values)
    if not np.isnan(out.surprise[missing]).all():
        raise InvariantBroken(invariant, "surprise at a missing value", "a number, not NaN")
    seen = increases(values, model.target.register) if model.target.kind == "counter" else values
    columns = unroll_memory(model.memory.spec, seen, timestamps)
    for name in ("level", "spread", "last", "count"):
        column = getattr(columns, name)
        close(invariant, name, column[1:][missing[1:]], column[:-1][missing[1:]], 0.0)


def constant_series(model: Forecaster) -> None:
    """A series that never changes is forecast as it is, and everything stays finite.

    Said of values, not of counters."""
    if model.target.kind == "counter":
        return
    _, timestamps = sample(model.target, 100, 1)
    for level in LEVELS:
        invariant = f"a constant series of {level:g} is forecast as it is"
        out = model.unroll(np.full((100, 1), level), timestamps)
        expected = confine(torch.tensor(level, dtype=torch.float64), model.target.support).item()
        close(invariant, "multi_step", out.multi_step, np.full_like(out.multi_step, expected), 0.0)
        _numbers(invariant, "surprise", out.surprise[1:])
        _numbers(invariant, "scores", out.scores[1:])


def surprise_needs_a_scale(model: Forecaster) -> None:
    """Without a scale only an exact hit has a surprise: any made-up unit would break the invariant of scale.

    Said of values, not of counters."""
    if model.target.kind == "counter":
        return
    invariant = "without a scale only an exact hit has a surprise"
    _, timestamps = sample(model.target, 20, 1)
    values = np.full((20, 1), 5.0)
    values[10] = 6.0
    surprise = model.unroll(values, timestamps).surprise
    _numbers(invariant, "surprise of a hit", np.delete(surprise, (0, 10)))
    if np.isfinite(surprise[10]):
        raise InvariantBroken(invariant, "surprise of the first change", f"{float(surprise[10, 0]):.2g}, not NaN")


def anomaly_is_a_rank(model: Forecaster) -> None:
    """An anomaly lies in [0, 1] and is there where a surprise is; a spike has one of nearly 1."""
    invariant = "an anomaly is a rank"
    values, timestamps = sample(model.target, STEPS, 3)
    values[STEPS - 1] = 1e6
    out = model.unroll(values, timestamps)
    if (np.isnan(out.anomaly) != np.isnan(out.surprise)).any():
        raise InvariantBroken(invariant, "anomaly", "not where a surprise is")
    known = out.anomaly[~np.isnan(out.anomaly)]
    if known.min() < 0 or known.max() > 1:
        raise InvariantBroken(invariant, "anomaly", f"from {known.min():.3g} to {known.max():.3g}, not within 0 and 1")
    if (least := float(out.anomaly[-1].min())) < SPIKE:
        raise InvariantBroken(invariant, "anomaly of a spike", f"{least:.3g}, less than {SPIKE:g}")


def extremes_stay_finite(model: Forecaster) -> None:
    """Huge values, an outlier of 1e9 and a jump to 1e6 give numbers.

    Said of values, not of counters."""
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
        _numbers(invariant, name, getattr(out, name))
    _numbers(invariant, "surprise", out.surprise[2:])
    _numbers(invariant, "multi_step, by steps", stepped(model, values, timestamps)["multi_step"])


def calibration_moves(model: Forecaster) -> None:
    """Widths move with what came, and a forecast's intervals are as wide as they say, about the same median."""
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
        level = {"stretch": torch.zeros_like(state["stretch"])}, {"stretch": torch.full_like(state["stretch"], 0.5)}
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
    """Any part of a warm row may be zeroed together with those that need it, as when another model takes the row over:
    everything stays finite, errors are those of a warm or a cold start at most, and nothing is scored that was not
    forecast."""
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
            _numbers(invariant, name, found[name])
        _numbers(invariant, "surprise", found["surprise"][1:][np.isfinite(warm["surprise"][1:])])
        if "pending" in zeroed and not np.isnan(found["scores"][0]).all():
            raise InvariantBroken(invariant, "scores of the first value", "numbers, though no forecast was pending")
        excess = float((_errors(found, model, row) / worst).max())
        if excess > 1 + SLACK:
            raise InvariantBroken(
                invariant, "errors", f"{excess:.2f} of those of a warm or a cold start, whichever is larger"
            )


Invariant = Callable[[Forecaster], None]
INVARIANTS: tuple[Invariant, ...] = (
    shapes,
    bounded_row,
    zero_start,
    sorted_quantiles,
    unroll_is_step,
    causality,
    independence,
    shift_and_scale,
    silence_leaves_no_trace,
    missing_from_memory,
    constant_series,
    surprise_needs_a_scale,
    anomaly_is_a_rank,
    extremes_stay_finite,
    calibration_moves,
    parts_may_be_zero,
)


def stepped(model: Forecaster, values: NDArray[np.float64], timestamps: NDArray[np.int64]) -> dict[str, Array]:
    """One observation at a time: OUTPUTS, [T, S, ...] each."""
    return carried(model, model.initial_state(values.shape[1]), values, timestamps)[1]


def carried(
    model: Forecaster, state: TensorState, values: NDArray[np.float64], timestamps: NDArray[np.int64]
) -> tuple[TensorState, dict[str, Array]]:
    """The state after all values, on from `state`, and what was given on the way: see `stepped`."""
    count, rows = values.shape[1], []
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            when = torch.full((count,), int(stamp))
            out = model.step(torch.as_tensor(value)[:, None], when, state)
            state = out.state
            multi = model.forecast(when, state)
            rows.append((out.one_step[:, 0], out.surprise, out.scores[:, 0], out.anomaly, multi[:, :, 0]))
    columns = [np.stack([tensor.numpy() for tensor in column]) for column in zip(*rows, strict=True)]
    return state, dict(zip(OUTPUTS, columns, strict=True))


def _with_dependents(name: str, parts: Sequence[StatePart]) -> set[str]:
    """The part of that name, and all that need it, directly or not."""
    gone = {name}
    for part in parts:  # needs stand before those who need
        if gone.intersection(part.needs):
            gone.add(part.name)
    return gone


def _errors(outputs: dict[str, Array], model: Forecaster, row: TensorState) -> Array:
    """[absolute error, pinball loss] one step ahead, in the running scales of `row`, mean over streams and steps; the
    first step, which judges what was forecast before, left out."""
    unit = unit_of(model.memory.frame(row).scale.numpy())
    mean: Array = np.nanmean(outputs["scores"][1:][..., [0, 2]] / unit[:, None], axis=(0, 1))
    return mean


def unit_of(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(scale > 0, scale, 1.0)


def close(invariant: str, where: str, found: Array, expected: Array, most: float, unit: Array | float = 1.0) -> None:
    """Raises InvariantBroken unless NaN stands in the same places, and all else differs by at most `most` units."""
    if found.shape != expected.shape or (np.isnan(found) != np.isnan(expected)).any():
        raise InvariantBroken(invariant, where, "NaN in one and not in the other")
    with np.errstate(invalid="ignore"):
        difference = np.where(found == expected, 0.0, np.abs(found - expected)) / unit
    if difference.size and np.nanmax(difference, initial=0.0) > most:
        place = np.unravel_index(int(np.nanargmax(difference)), difference.shape)
        at = ", ".join(map(str, place))
        raise InvariantBroken(
            invariant, f"{where} at [{at}]", f"differs by {np.nanmax(difference):.2g}, at most {most:.2g} may be"
        )


def _numbers(invariant: str, where: str, found: Array) -> None:
    if not np.isfinite(found).all():
        raise InvariantBroken(
            invariant, where, f"{np.count_nonzero(~np.isfinite(found)):,} of {found.size:,} are no finite numbers"
        )


def _rounding(scale: NDArray[np.float64]) -> float:
    """Running scales that a float64 near the samples' values cannot tell apart."""
    return float(1e-14 * 1e2 / unit_of(scale).min())
