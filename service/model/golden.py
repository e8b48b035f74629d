"""Replay golden.npz through a loaded bundle and refuse the bundle if its outputs differ.

State is carried through `Runtime` over the whole sequence, so differences that only show after many
steps, or that come from padding rows, are caught here and not in production.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.bundle import FORECAST, GOLDEN, GOLDEN_TOLERANCE, JUMP, OPTIONAL, STEP
from eddycast.service.errors import BundleError
from eddycast.service.model.golden_file import JUMPED
from eddycast.service.model.runtime import Runtime, StepResult, TensorState

Array = NDArray[Any]
#: Scores in the unit of the values. `pit` is a probability;
#: `covered_80` follows from one_step and may flip on a tie.
_IN_DATA_UNITS = ("absolute_error", "last_value_absolute_error", "pinball")
#: Tolerance of surprise and probabilities, in addition to their change for a value within the
#: contract's tolerance.
_PROBABILITY_TOLERANCE = 1e-2
#: Relative precision of float32: a number a thousand scales away has no digits at 1e-4 of the
#: scale.
_FLOAT32 = 5e-7
#: Tolerance relative to the value itself while the scale is 0 or unknown (start of a stream).
_UNSCALED_TOLERANCE = 1e-6
#: Maximum number of steps of a jump.
MOST_JUMPED = 1_000_000


def verify(directory: Path, runtime: Runtime, wanted: dict[str, Array]) -> None:
    """Step through `wanted`, the arrays of golden.npz, and compare every output.

    Raises BundleError with output, step and row of the first difference,
    and for a graph that fails.
    """
    manifest = runtime.manifest
    batch = wanted["value"].shape[1]
    state = {spec.name: np.zeros((batch, *spec.shape), spec.dtype) for spec in manifest.state}
    # 2.4999999 and 2.5000001 round to 2 and 3
    slack = 1.0 if manifest.support == "integer" else 0.0
    for name in ("one_step", "multi_step"):
        if not np.isfinite(wanted[name]).any():
            raise BundleError(str(directory / GOLDEN), f"forecasts in {name}", "no number at all")
    _check_optional(directory, runtime, wanted)
    before = np.zeros(batch)
    for step in range(len(wanted["value"])):
        at = {name: column[step] for name, column in wanted.items() if name not in JUMPED}
        with _runs(directory / STEP, step):
            result = runtime.step(at["value"], at["timestamp"], state)
        steep = _Steepness(runtime, at, state, before, result)
        _compare(_Check(str(directory / STEP), step, slack), at, result, steep)
        state, before = result.next_state, at["scale"]
        with _runs(directory / FORECAST, step):
            multi_step = runtime.forecast(at["timestamp"], state)
        _Check(str(directory / FORECAST), step, slack).scaled(
            "multi_step", at["multi_step"], multi_step, at["scale"]
        )
    if runtime.manifest.jumps:
        _verify_jump(directory, runtime, wanted, state)


def _compare(check: _Check, at: dict[str, Array], result: StepResult, steep: _Steepness) -> None:
    """Compare all outputs of one step; `at` holds the expected ones."""
    optional, names = steep.runtime.optional, steep.runtime.manifest.scores
    for name in ("expected", "error"):
        if name in optional:
            check.scaled(name, at[name], getattr(result, name), steep.before)
    check.scaled("one_step", at["one_step"], result.one_step, at["scale"])
    check.probability("surprise", at["surprise"], result.surprise, steep.surprises)
    if "anomaly" in optional:
        check.probability("anomaly", at["anomaly"], result.anomaly, steep.anomalies)
    expected, found = at["scores"], result.scores
    check.missing("scores", expected, found)
    scored = [name in _IN_DATA_UNITS for name in names]
    check.scaled("scores", expected[..., scored], found[..., scored], at["scale"])
    bounded = [name != "covered_80" and name not in _IN_DATA_UNITS for name in names]
    slack = partial(steep.scores, bounded)
    check.probability("scores", expected[..., bounded], found[..., bounded], slack)


def _verify_jump(
    directory: Path, runtime: Runtime, wanted: dict[str, Array], state: TensorState
) -> None:
    """Compare the outputs of a step without a value after a jump from the last row of the
    sequence."""
    steps, last = wanted["jump_steps"], len(wanted["value"])
    if not ((steps > 0) & (steps <= MOST_JUMPED)).all():
        raise BundleError(
            str(directory / GOLDEN), f"jump_steps from 1 to {MOST_JUMPED:,}", f"{steps.tolist()}"
        )
    interval = runtime.manifest.interval_ms
    stamps = wanted["timestamp"][-1] + steps * interval
    with _runs(directory / JUMP, last):
        row = state | runtime.jump(steps, stamps, state)
        nothing = np.full_like(wanted["value"][-1], np.nan)
        result = runtime.step(nothing, stamps + interval, row)
        multi_step = runtime.forecast(stamps + interval, result.next_state)
    slack = 1.0 if runtime.manifest.support == "integer" else 0.0
    check, scale = _Check(str(directory / JUMP), last, slack), wanted["scale"][-1]
    check.scaled("jump_one_step", wanted["jump_one_step"], result.one_step, scale)
    check.scaled("jump_multi_step", wanted["jump_multi_step"], multi_step, scale)


def _check_optional(directory: Path, runtime: Runtime, wanted: dict[str, Array]) -> None:
    for name in OPTIONAL:
        if (name in runtime.optional) != (name in wanted):
            found = f"{STEP} alone" if name in runtime.optional else f"{GOLDEN} alone"
            expected = f"{name} in both {STEP} and {GOLDEN}, or in neither"
            raise BundleError(str(directory / GOLDEN), expected, found)


@contextmanager
def _runs(file: Path, step: int) -> Iterator[None]:
    """Turn any failure of a graph into BundleError: the inputs are the bundle's own."""
    try:
        yield
    except Exception as error:  # onnxruntime's own classes share no public base
        found = " ".join(str(error).split())[:300]
        raise BundleError(
            str(file), f"a graph that steps through {GOLDEN}", f"{found} at step {step}"
        ) from error


@dataclass(frozen=True)
class _Steepness:
    """Sensitivity of surprise and scores to a value moved by the contract's tolerance of the
    running scale.

    Where quantiles almost touch, a density falls by hundreds of nats within one scale: equal
    quantiles then give different surprises, and no fixed tolerance suits all cases. Computed only
    where the fixed one is exceeded. `before` is the running scale [batch] ahead of the step.
    """

    runtime: Runtime
    at: dict[str, Array]
    state: dict[str, Array]
    before: Array
    result: StepResult

    def surprises(self) -> Array:
        """Return the sensitivity of surprise, [batch], summed over channels."""
        return self._moves(lambda one: one.surprise)

    def anomalies(self) -> Array:
        """Return the sensitivity of the anomaly, [batch], summed over channels."""
        return self._moves(lambda one: one.anomaly)

    def scores(self, which: list[bool]) -> Array:
        """Return the sensitivity of the scores selected by `which`, [batch, targets, scores],
        summed over channels."""
        return self._moves(lambda one: one.scores)[..., which]

    def _moves(self, output: Callable[[StepResult], Array]) -> Array:
        here = output(self.result)
        moves = np.zeros(here.shape)
        for channel in range(self.at["value"].shape[1]):
            found = []
            for way in (-1.0, 1.0):
                value = self.at["value"].copy()
                value[:, channel] += (
                    way * GOLDEN_TOLERANCE * np.where(np.isfinite(self.before), self.before, 0.0)
                )
                moved = self.runtime.step(value, self.at["timestamp"], self.state)
                with np.errstate(invalid="ignore"):
                    found.append(np.abs(output(moved) - here))
            moves += np.nan_to_num(np.max(found, axis=0))
        return moves


class _Check:
    """Comparison of one step's outputs; `expected` and `found` are [batch, ...].
    Raises BundleError."""

    def __init__(self, file: str, step: int, slack: float = 0.0) -> None:
        """`slack`, in the unit of the values, is added to the tolerance of `scaled`."""
        self._file, self._step, self._slack = file, step, slack

    def scaled(self, name: str, expected: Array, found: Array, scale: Array) -> None:
        """Check for differences within the contract's tolerance of each row's running scale."""
        known = np.isfinite(scale) & (scale > 0)
        unit = np.where(known, scale, 1.0).reshape(-1, *[1] * (expected.ndim - 1))
        own = np.maximum(np.abs(expected), 1.0) * _UNSCALED_TOLERANCE / GOLDEN_TOLERANCE
        unit = np.where(known.reshape(unit.shape), unit, own) + self._slack / GOLDEN_TOLERANCE
        if expected.dtype == np.float32:
            unit = np.maximum(unit, np.abs(expected) * _FLOAT32 / GOLDEN_TOLERANCE)
        self.within(name, expected, found, GOLDEN_TOLERANCE, unit)

    def probability(
        self, name: str, expected: Array, found: Array, slack: Callable[[], Array]
    ) -> None:
        """Check for differences within the tolerance of probabilities + `slack()`."""
        self.within(name, expected, found, _PROBABILITY_TOLERANCE, slack=slack)

    def within(
        self,
        name: str,
        expected: Array,
        found: Array,
        tolerance: float,
        unit: Array | None = None,
        slack: Callable[[], Array] | None = None,
    ) -> None:
        """Check for differences within `tolerance` * `unit` (default 1) + `slack()`,
        and NaN in the same places."""
        self.missing(name, expected, found)
        with np.errstate(invalid="ignore"):
            difference = np.abs(expected.astype(np.float64) - found) / (
                1.0 if unit is None else unit
            )
        difference[expected == found] = 0.0  # equal infinities
        if slack is not None and np.any(difference > tolerance):
            difference -= slack()
        if np.any(difference > tolerance):
            row = int(np.unravel_index(np.nanargmax(difference), difference.shape)[0])
            of = "" if unit is None else " of the scale"
            found_text = f"a difference of {np.nanmax(difference):.3g}{of}"
            self._refuse(f"{name} within {tolerance:g}{of} of {GOLDEN}", found_text, row)

    def missing(self, name: str, expected: Array, found: Array) -> None:
        """Check for equal shapes and NaN in the same places."""
        if expected.shape != found.shape:
            self._refuse(f"{name} of shape {expected.shape}", f"{found.shape}", 0)
        differs = np.isnan(expected) != np.isnan(found)
        if differs.any():
            row = int(np.argwhere(differs)[0][0])
            here = "a number" if np.isnan(expected[differs][0]) else "NaN"
            self._refuse(f"{name} to be NaN where it is in {GOLDEN}", f"{here} instead", row)

    def _refuse(self, expected: str, found: str, row: int) -> None:
        raise BundleError(self._file, expected, f"{found} at step {self._step}, row {row}")
