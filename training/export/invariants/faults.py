"""The invariants of bad readings: the cost of an impossible value, a new level,
or a number out of all bounds.

A fault is injected into a history after two seasons,
and the forecasts are compared with those of the same history without it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eddycast.training.data.counters import increases
from eddycast.training.export.invariants.checking import InvariantBroken, stepped
from eddycast.training.export.synthetic import sample
from eddycast.training.models import Forecaster
from eddycast.training.models.contract import Unrolled
from eddycast.training.models.memory.suspect_readings import ACCEPTED, LARGEST

Array = NDArray[np.float64]
STREAMS, DAY = 7, 24
# largest ratio of errors with and without an impossible reading: median stream, any stream
COST, ANY = 1.1, 1.5
LEVEL_COST, LEVEL_ANY = 2.0, 3.0  # the same for a new level, ACCEPTED + 4 steps after it
#: Impossible readings [steps]: single ones of several sizes, a repeated code, random ones.
CODES: dict[str, tuple[float, ...]] = {
    "one of 65535": (65535.0,),
    "one of 1e30": (1e30,),
    "one of 4000": (4e3,),
    "a code for 2 steps": (65535.0,) * 2,
    "a code for 6 steps": (65535.0,) * 6,
    "six random ones": (7e3, 3e5, 6e4, 1e7, 2e5, 9e3),
}


def impossible_readings_cost_a_step(model: Forecaster) -> None:
    """From the third day after an impossible reading, forecasts and widths are as if it had not
    come. A counter's reading jumps and comes back; one that is stuck stands still, which is
    allowed. Broken by a `step` that passes the raw value on to a hidden state."""
    values, timestamps, at = _history(model)
    plain = model.unroll(values, timestamps, [len(values) - 1])
    for name, code in CODES.items():
        if model.target.kind == "counter" and "a code" in name:
            continue
        faulty = values.copy()
        faulty[at : at + len(code)] = np.array(code)[:, None] + (
            values[at] if model.target.kind == "counter" else 0.0
        )
        found = model.unroll(faulty, timestamps, [len(values) - 1])
        _compare(
            f"{name} costs a step",
            model,
            values,
            (plain, found),
            slice(at + 2 * DAY, None),
            COST,
            ANY,
        )


def one_a_day_costs_a_step_a_day(model: Forecaster) -> None:
    """A sensor may send impossible values again and again,
    as long as most of its readings are possible."""
    if model.target.kind == "counter":
        return
    values, timestamps, at = _history(model)
    faulty = values.copy()
    faulty[at::DAY] = 65535.0
    good = np.ones(len(values), bool)
    good[at::DAY] = False
    plain, found = (
        model.unroll(given, timestamps, [len(values) - 1]) for given in (values, faulty)
    )
    invariant = "an impossible reading a day costs a step a day"
    _compare(
        invariant,
        model,
        np.where(good[:, None], values, np.nan),
        (plain, found),
        slice(at + 2 * DAY, None),
        ANY,
        ANY,
    )


def a_new_level_is_accepted(model: Forecaster) -> None:
    """After ACCEPTED readings at a new level or in a new unit, forecasts are there and as good as
    before. Counters have no level; a new unit can be told from a new level only where values keep
    away from zero. Broken by a memory that does not move."""
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
    """Forecasts, surprises and scores are finite for all finite readings, one step at a time.
    Broken by a division by the last change."""
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
                invariant,
                name,
                f"{np.count_nonzero(~np.isfinite(out[name][known])):,} are not finite",
            )
    if np.isinf(out["surprise"]).any():
        raise InvariantBroken(invariant, "surprise", "is infinite")


def _history(model: Forecaster) -> tuple[Array, NDArray[np.int64], int]:
    """Values [T, STREAMS] without missing ones, timestamps [T], and the row of the fault,
    after two seasons."""
    at = 2 * max(model.span, DAY) + 5
    values, timestamps = sample(model.target, at + 8 * DAY, STREAMS, seed=5)
    random = np.random.default_rng(6)
    noise = random.normal(0, 0.3, values.shape)
    if model.target.kind == "counter":
        added = np.abs(2 + np.sin(np.arange(len(values)) / 4)[:, None] + noise)
        return 1e6 + added.cumsum(0), timestamps, at
    season = np.sin(2 * np.pi * np.arange(len(values)) / DAY)[:, None] * random.uniform(
        0.5, 2, STREAMS
    )
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
    """Compare errors and widths one step ahead over the rows `where`, by stream, with those without
    the fault. Raises InvariantBroken over a ratio of `median` in the median stream or `most` in
    any."""
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
            said = (
                f"{np.median(ratio):.3g} times that without it in "
                f"the median stream, {ratio.max():.3g} at the most"
            )
            raise InvariantBroken(invariant, f"{name} one step ahead", said)
