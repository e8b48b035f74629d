"""Run a bundle: an onnxruntime session for each graph, stateless.

The rows of a call are padded with zeros (streams never seen) to a multiple of `LANES`, up to
`max_batch`. With whole vector registers every row takes the same code path, so its result has the
same bits whatever rows are next to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from eddycast.service.bundle import OPTIONAL, SETTLING, Manifest
from eddycast.service.model.watchdog import Call, call, guarded_call
from eddycast.service.records import Float64, Int64

Tensor = NDArray[Any]
TensorState = dict[str, Tensor]

#: Row count of every call is a multiple of this, which fills the widest vector registers.
LANES = 16


@dataclass(frozen=True, slots=True)
class StepResult:
    """Outputs of one step, one row per observation."""

    next_state: TensorState  # name -> [n, ...], the rows to store
    one_step: Tensor  # [n, targets, quantiles]
    surprise: Tensor  # f32 [n], NaN without a previous forecast or a value
    scores: Tensor  # f32 [n, targets, scores], of the previous forecast
    # f32 [n] in [0, 1]; NaN where surprise is, and of a bundle whose graph does not have it
    anomaly: Tensor
    # [n, targets, quantiles], the previous one_step; NaN of a bundle whose graph does not have it
    expected: Tensor
    error: Tensor  # f64 [n, targets], value minus the median of `expected`


class Runtime:
    """A verified bundle, ready to run. Holds no stream state, so it may be shared."""

    def __init__(
        self,
        manifest: Manifest,
        step: onnxruntime.InferenceSession,
        forecast: onnxruntime.InferenceSession,
        jump: onnxruntime.InferenceSession | None = None,
        *,
        max_batch: int = 512,
        guarded: bool = False,
    ) -> None:
        """`guarded` gives each call a time limit, for graphs with control flow.
        Raises ValueError."""
        if max_batch < LANES:
            raise ValueError(f"max_batch must be at least {LANES}, not {max_batch}")
        self.manifest = manifest
        self.max_batch = max_batch // LANES * LANES
        self._step, self._forecast, self._jump = step, forecast, jump
        self._run: Call = guarded_call if guarded else call
        self._state = tuple(spec.name for spec in manifest.state)
        declared = {value.name for value in step.get_outputs()}
        #: Those of `OPTIONAL` that the step graph has.
        self.optional = tuple(name for name in OPTIONAL if name in declared)
        self._outputs = [
            "one_step",
            "surprise",
            "scores",
            *self.optional,
            *(f"next.{name}" for name in self._state),
        ]
        taken = {value.name for value in forecast.get_inputs()}
        self.forecast_inputs: tuple[str, ...] = tuple(
            name for name in self._state if f"state.{name}" in taken
        )
        #: name -> (dtype, shape without the batch dimension) of the outputs besides the state.
        self.output_shapes = _output_shapes(manifest, step, forecast)

    def step(self, values: Float64, timestamps: Int64, state: Mapping[str, Tensor]) -> StepResult:
        """Consume one observation per row.

        `values` f64 [n, channels], NaN = missing; `timestamps` i64 [n], ms, start of each row's
        slot; `state` name -> [n, ...], zeros = stream never seen. Arguments are not modified.
        """
        feeds: TensorState = {"value": values, "timestamp": timestamps}
        for name in self._state:
            feeds[f"state.{name}"] = state[name]
        count = len(timestamps)
        results = self._call(self._step, self._outputs, feeds, count)
        found = dict(zip(self._outputs, results, strict=True))
        for name in OPTIONAL:
            if name not in found:
                dtype, shape = self.output_shapes[name]
                found[name] = np.full((count, *shape), np.nan, dtype)
        state = {name: found.pop(f"next.{name}") for name in self._state}
        return StepResult(state, **found)

    def forecast(self, timestamps: Int64, state: Mapping[str, Tensor]) -> Tensor:
        """Return multi_step [n, horizon, targets, quantiles] for rows of state.

        `timestamps` i64 [n], ms; only the tensors in `forecast_inputs` are read from `state`.
        """
        feeds: TensorState = {f"state.{name}": state[name] for name in self.forecast_inputs}
        feeds["timestamp"] = timestamps
        (multi_step,) = self._call(self._forecast, ["multi_step"], feeds, len(timestamps))
        return multi_step

    def jump(self, steps: Int64, timestamps: Int64, state: Mapping[str, Tensor]) -> TensorState:
        """Return the tensors, name -> [n, ...], that change over `steps` i64 [n] slots without a
        value, the last of which start at `timestamps` i64 [n], ms. Only if the manifest `jumps`."""
        if self._jump is None:
            raise ValueError("the bundle has no jump.onnx")
        taken = {value.name for value in self._jump.get_inputs()}
        feeds: TensorState = {
            f"state.{name}": state[name] for name in self._state if f"state.{name}" in taken
        }
        feeds |= {"steps": steps, "timestamp": timestamps}
        outputs = [value.name for value in self._jump.get_outputs()]
        results = self._call(self._jump, outputs, feeds, len(timestamps))
        return {
            name.removeprefix("next."): column
            for name, column in zip(outputs, results, strict=True)
        }

    def jumped(self, missing: Int64) -> Int64:
        """Return how many of the `missing` i64 [n] slots of gaps are jumped over, i64 [n]. The rule
        is fixed, so that the bits of a row do not depend on how its gap was come by."""
        longest = self.manifest.max_gap - 1
        beyond = self.manifest.jumps & (missing > longest)
        jumped: Int64 = np.where(beyond, missing - SETTLING, 0)
        return jumped

    def pieces(self, rows: int) -> Iterator[slice]:
        """`rows` rows in slices of at most one graph call each."""
        return (slice(at, at + self.max_batch) for at in range(0, rows, self.max_batch))

    def _call(
        self,
        session: onnxruntime.InferenceSession,
        outputs: list[str],
        feeds: TensorState,
        rows: int,
    ) -> list[Tensor]:
        if rows <= self.max_batch:
            return _run(self._run, session, outputs, feeds, rows)
        parts = []
        for piece in self.pieces(rows):
            part = {name: feed[piece] for name, feed in feeds.items()}
            parts.append(_run(self._run, session, outputs, part, len(part["timestamp"])))
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _output_shapes(
    manifest: Manifest, step: onnxruntime.InferenceSession, forecast: onnxruntime.InferenceSession
) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    targets, quantiles = len(manifest.targets), len(manifest.quantiles)
    shapes: dict[str, tuple[int, ...]] = {
        "one_step": (targets, quantiles),
        "surprise": (),
        "anomaly": (),
        "expected": (targets, quantiles),
        "error": (targets,),
        "scores": (targets, len(manifest.scores)),
        "multi_step": (manifest.horizon, targets, quantiles),
    }
    declared = {
        value.name: value.type for session in (step, forecast) for value in session.get_outputs()
    }
    wide = "tensor(double)"
    declared.setdefault("error", wide)
    return {
        name: (np.dtype("f8" if declared.get(name) == wide else "f4"), shape)
        for name, shape in shapes.items()
    }


def _run(
    run: Call,
    session: onnxruntime.InferenceSession,
    outputs: list[str],
    feeds: TensorState,
    rows: int,
) -> list[Tensor]:
    full = max(LANES, -(-rows // LANES) * LANES)
    if full == rows:
        return run(session, outputs, feeds)
    results = run(session, outputs, {name: _padded(feed, full) for name, feed in feeds.items()})
    return [result[:rows] for result in results]


def _padded(feed: Tensor, rows: int) -> Tensor:
    """Return `feed` padded with zeros to `rows` rows."""
    full = np.zeros((rows, *feed.shape[1:]), feed.dtype)
    full[: len(feed)] = feed
    return full
