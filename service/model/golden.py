"""Replay golden.npz through a loaded bundle, and refuse it if anything else comes out.

State is carried by our own stepping over the whole sequence, so a difference that only shows after many steps, or
in how rows are filled up, is caught here and not in production.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import FORECAST, GOLDEN, GOLDEN_TOLERANCE, STEP, Manifest
from service.errors import BundleError

if TYPE_CHECKING:
    from service.model.runtime import Runtime, StepResult

Array = NDArray[Any]
#: Scores in the unit of the values; `pit` is a probability, `covered_80` follows from one_step and may flip on a tie.
_IN_DATA_UNITS = ("absolute_error", "last_value_absolute_error", "pinball")
#: Surprise and probabilities are held to this, and to how much a value at the contract's tolerance moves them.
_PROBABILITY_TOLERANCE = 1e-2
#: Where the scale is 0 or unknown (a stream that has only begun): relative to the value itself.
_UNSCALED_TOLERANCE = 1e-6


def replay(directory: Path, runtime: Runtime) -> None:
    """Step through golden.npz. Raises BundleError with the output, step and row of the first difference."""
    manifest = runtime.manifest
    wanted = _read(directory / GOLDEN, manifest)
    batch = wanted["value"].shape[1]
    state = {spec.name: np.zeros((batch, *spec.shape), spec.dtype) for spec in manifest.state}
    scored = [name in _IN_DATA_UNITS for name in manifest.scores]
    bounded = [name != "covered_80" and name not in _IN_DATA_UNITS for name in manifest.scores]
    slack = 1.0 if manifest.support == "integer" else 0.0  # 2.4999999 and 2.5000001 are emitted as 2 and 3
    before = np.zeros(batch)
    for step in range(len(wanted["value"])):
        at = {name: column[step] for name, column in wanted.items()}
        scale = at["scale"]
        result = runtime.step(at["value"], at["timestamp"], state)
        surprises, scores = _steepness(runtime, at, state, before, result)
        state, before = result.next_state, scale
        multi_step = runtime.forecast(at["timestamp"], state)
        check = _Check(str(directory / STEP), step, slack)
        check.scaled("one_step", at["one_step"], result.one_step, scale)
        check.within("surprise", at["surprise"], result.surprise, _PROBABILITY_TOLERANCE, slack=surprises)
        check.missing("scores", at["scores"], result.scores)
        check.scaled("scores", at["scores"][..., scored], result.scores[..., scored], scale)
        found, near = result.scores[..., bounded], scores[..., bounded]
        check.within("scores", at["scores"][..., bounded], found, _PROBABILITY_TOLERANCE, slack=near)
        _Check(str(directory / FORECAST), step, slack).scaled("multi_step", at["multi_step"], multi_step, scale)


def _steepness(
    runtime: Runtime, at: dict[str, Array], state: dict[str, Array], scale: Array, result: StepResult
) -> tuple[Array, Array]:
    """How far surprise and scores move when a value moves by the contract's tolerance of the running `scale` before it
    [batch]. Where quantiles all but touch, a density falls by hundreds of nats within one scale: quantiles that agree
    then give surprises that differ, and no fixed tolerance fits both those and the others."""
    surprises, scores = np.zeros(result.surprise.shape), np.zeros(result.scores.shape)
    for channel in range(at["value"].shape[1]):
        moved: list[StepResult] = []
        for way in (-1.0, 1.0):
            value = at["value"].copy()
            value[:, channel] += way * GOLDEN_TOLERANCE * np.where(np.isfinite(scale), scale, 0.0)
            moved.append(runtime.step(value, at["timestamp"], state))
        with np.errstate(invalid="ignore"):
            surprises += np.nan_to_num(np.max([np.abs(one.surprise - result.surprise) for one in moved], axis=0))
            scores += np.nan_to_num(np.max([np.abs(one.scores - result.scores) for one in moved], axis=0))
    return surprises, scores


class _Check:
    """Compares one step's outputs; `expected` and `found` are [batch, ...]."""

    def __init__(self, file: str, step: int, slack: float = 0.0) -> None:
        """`slack` in the unit of the values is allowed beside the tolerance of `scaled`."""
        self._file, self._step, self._slack = file, step, slack

    def scaled(self, name: str, expected: Array, found: Array, scale: Array) -> None:
        """Within the contract's tolerance of each row's running scale."""
        known = np.isfinite(scale) & (scale > 0)
        unit = np.where(known, scale, 1.0).reshape(-1, *[1] * (expected.ndim - 1))
        own = np.maximum(np.abs(expected), 1.0) * _UNSCALED_TOLERANCE / GOLDEN_TOLERANCE
        unit = np.where(known.reshape(unit.shape), unit, own) + self._slack / GOLDEN_TOLERANCE
        self.within(name, expected, found, GOLDEN_TOLERANCE, unit)

    def within(
        self,
        name: str,
        expected: Array,
        found: Array,
        tolerance: float,
        unit: Array | None = None,
        slack: Array | float = 0.0,
    ) -> None:
        """Within `tolerance` times `unit` (the scale), or absolutely, and `slack`; missing in the same places."""
        self.missing(name, expected, found)
        with np.errstate(invalid="ignore"):
            difference = np.abs(expected.astype(np.float64) - found) / (1.0 if unit is None else unit)
        difference[expected == found] = 0.0  # infinities that agree
        difference -= slack
        if np.any(difference > tolerance):
            row = int(np.unravel_index(np.nanargmax(difference), difference.shape)[0])
            of = "" if unit is None else " of the scale"
            found_text = f"a difference of {np.nanmax(difference):.3g}{of}"
            self._refuse(f"{name} within {tolerance:g}{of} of {GOLDEN}", found_text, row)

    def missing(self, name: str, expected: Array, found: Array) -> None:
        """NaN in the same places."""
        differs = np.isnan(expected) != np.isnan(found)
        if differs.any():
            row = int(np.argwhere(differs)[0][0])
            here = "a number" if np.isnan(expected[differs][0]) else "NaN"
            self._refuse(f"{name} to be NaN where it is in {GOLDEN}", f"{here} instead", row)

    def _refuse(self, expected: str, found: str, row: int) -> None:
        raise BundleError(self._file, expected, f"{found} at step {self._step}, row {row}")


def _read(path: Path, manifest: Manifest) -> dict[str, Array]:
    """The arrays of golden.npz, verified. Raises BundleError."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(str(path), "numpy arrays", f"a file that cannot be read ({error})") from error
    targets, quantiles = len(manifest.targets), len(manifest.quantiles)
    trailing: dict[str, tuple[int, ...]] = {
        "value": (len(manifest.channels),),
        "timestamp": (),
        "scale": (),
        "one_step": (targets, quantiles),
        "surprise": (),
        "scores": (targets, len(manifest.scores)),
        "multi_step": (manifest.horizon, targets, quantiles),
    }
    for name, shape in trailing.items():
        if name not in arrays:
            raise BundleError(str(path), f"an array {name!r}", f"arrays {sorted(arrays)}")
        lead = arrays["value"].shape[:2]
        if arrays[name].shape != (*lead, *shape) or 0 in lead:
            expected = ", ".join(["steps", "batch", *map(str, shape)])
            raise BundleError(str(path), f"{name} [{expected}]", f"shape {arrays[name].shape}")
    if arrays["timestamp"].dtype != np.int64:
        raise BundleError(str(path), "timestamp as int64", str(arrays["timestamp"].dtype))
    return arrays | {"value": arrays["value"].astype(np.float64, copy=False)}
