"""The invariants of bad readings: what an impossible value, a new level, or a number out of all bounds may cost a
stream.

As in `training/export/invariants.py`, each is a function that raises InvariantBroken. A fault is put into a history
behind two seasons, and what the forecaster then makes of it is compared with what it makes of the same history without.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.data.counters import increases
from training.export.invariants import Invariant, InvariantBroken, stepped
from training.export.synthetic import sample
from training.models import Forecaster
from training.models.contract import Unrolled
from training.models.memory.suspects import ACCEPTED, LARGEST

Array = NDArray[np.float64]
STREAMS, DAY = 7, 24
COST, ANY = 1.1, 1.5  # an impossible reading: of the error without, the median stream and any
LEVEL_COST, LEVEL_ANY = 2.0, 3.0  # a new level, from ACCEPTED + 4 steps on
#: [steps] of readings that cannot be: one of any size, a code that is stuck, random ones.
CODES: dict[str, tuple[float, ...]] = {
    "one of 65535": (65535.0,),
    "one of 1e30": (1e30,),
    "one of 4000": (4e3,),
    "a code for 2 steps": (65535.0,) * 2,
    "a code for 6 steps": (65535.0,) * 6,
    "six random ones": (7e3, 3e5, 6e4, 1e7, 2e5, 9e3),
}


def impossible_readings_cost_a_step(model: Forecaster) -> None:
    """From the third day on a stream forecasts as if they had not come, with intervals as wide. Of a meter the reading
    itself jumps, and comes back; while it is stuck it stands still, which it may."""
    values, timestamps, at = _history(model)
    plain = model.unroll(values, timestamps, [len(values) - 1])
    for name, code in CODES.items():
        if model.target.kind == "counter" and "a code" in name:
            continue
        faulty = values.copy()
        faulty[at : at + len(code)] = np.array(code)[:, None] + (values[at] if model.target.kind == "counter" else 0.0)
        found = model.unroll(faulty, timestamps, [len(values) - 1])
        _compare(f"{name} costs a step", model, values, (plain, found), slice(at + 2 * DAY, None), COST, ANY)


def one_a_day_costs_a_step_a_day(model: Forecaster) -> None:
    """However often a sensor sends an impossible value, as long as most are not."""
    if model.target.kind == "counter":
        return
    values, timestamps, at = _history(model)
    faulty = values.copy()
    faulty[at::DAY] = 65535.0
    good = np.ones(len(values), bool)
    good[at::DAY] = False
    plain, found = (model.unroll(given, timestamps, [len(values) - 1]) for given in (values, faulty))
    invariant = "an impossible reading a day costs a step a day"
    _compare(
        invariant, model, np.where(good[:, None], values, np.nan), (plain, found), slice(at + 2 * DAY, None), ANY, ANY
    )


def a_new_level_is_accepted(model: Forecaster) -> None:
    """After ACCEPTED readings at a new level, or in a new unit, forecasts are there, and as good as before. A meter has
    no level, and a unit is told from a level where readings keep away from zero."""
    if model.target.kind == "counter":
        return
    values, timestamps, at = _history(model)
    after = slice(at + ACCEPTED + 4, at + ACCEPTED + 13)
    plain = model.unroll(values, timestamps, [len(values) - 1])
    moves: dict[str, tuple[float, float]] = {"a level": (1.0, 1e4)}
    if model.target.support == "real":
        moves["a unit"] = (1e3, 0.0)
    for name, (factor, offset) in moves.items():
        moved = values.copy()
        moved[at:] = factor * moved[at:] + offset
        found = model.unroll(moved, timestamps, [len(values) - 1])
        back = Unrolled(**{**vars(found), "one_step": (found.one_step - offset) / factor})
        _compare(f"{name} is accepted", model, values, (plain, back), after, LEVEL_COST, LEVEL_ANY)


def numbers_in_numbers_out(model: Forecaster) -> None:
    """Whatever finite numbers come, forecasts, surprises and scores are finite; and `step` says what `unroll` says."""
    invariant = "finite readings give finite outputs"
    random = np.random.default_rng(3)
    values, timestamps = sample(model.target, 120, STREAMS)
    wild = np.array([0.0, 1e-300, -1.0, 65535.0, 1e15, LARGEST, -LARGEST, 1e308, -1e308])
    pick = random.random(values.shape) < 0.1
    values = np.where(pick & ~np.isnan(values), random.choice(wild, values.shape), values)
    out = stepped(model, values, timestamps)
    reading = np.where(np.abs(values) <= LARGEST, values, np.nan)
    came = ~np.isnan(increases(reading) if model.target.kind == "counter" else reading)
    started = came.cumsum(0) > 0
    forecast = np.concatenate([np.zeros_like(started[:1]), started[:-1]]) & came
    for name, known in (("one_step", started), ("multi_step", started), ("scores", forecast)):
        if not np.isfinite(out[name][known]).all():
            raise InvariantBroken(
                invariant, name, f"{np.count_nonzero(~np.isfinite(out[name][known])):,} are no finite numbers"
            )
    if np.isinf(out["surprise"]).any():
        raise InvariantBroken(invariant, "surprise", "is infinite")


FAULT_INVARIANTS: tuple[Invariant, ...] = (
    impossible_readings_cost_a_step,
    one_a_day_costs_a_step_a_day,
    a_new_level_is_accepted,
    numbers_in_numbers_out,
)


def _history(model: Forecaster) -> tuple[Array, NDArray[np.int64], int]:
    """values [T, STREAMS] without holes, timestamps [T], and where a fault begins: behind two seasons."""
    at = 2 * max(model.span, DAY) + 5
    values, timestamps = sample(model.target, at + 8 * DAY, STREAMS, seed=5)
    random = np.random.default_rng(6)
    noise = random.normal(0, 0.3, values.shape)
    if model.target.kind == "counter":
        added = np.abs(2 + np.sin(np.arange(len(values)) / 4)[:, None] + noise)
        return 1e6 + added.cumsum(0), timestamps, at
    season = np.sin(2 * np.pi * np.arange(len(values)) / DAY)[:, None] * random.uniform(0.5, 2, STREAMS)
    whole = 20 + season + noise if model.target.support == "real" else 5 + season + noise
    return np.rint(3 * whole) if model.target.support == "integer" else whole, timestamps, at


def _compare(
    invariant: str,
    model: Forecaster,
    values: Array,
    outputs: tuple[Unrolled, Unrolled],
    where: slice,
    median: float,
    most: float,
) -> None:
    """Errors and widths one step ahead over `where`, by stream, against those without the fault."""
    came = increases(values) if model.target.kind == "counter" else values
    middle = model.target.median
    measures: dict[str, Callable[[Unrolled], Array]] = {
        "error": lambda out: np.abs(out.one_step[:-1, :, middle] - came[1:]),
        "width": lambda out: out.one_step[:-1, :, -1] - out.one_step[:-1, :, 0],
    }
    span = slice(where.start - 1, None if where.stop is None else where.stop - 1)
    for name, measure in measures.items():
        plain, found = (np.nanmean(measure(out)[span], axis=0) for out in outputs)
        ratio = found / np.maximum(plain, 1e-9)
        if np.median(ratio) > median or ratio.max() > most:
            said = f"{np.median(ratio):.3g} times that without it in the median stream, {ratio.max():.3g} at the most"
            raise InvariantBroken(invariant, f"{name} one step ahead", said)
