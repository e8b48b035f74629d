"""The invariant of the exported graphs: onnxruntime agrees with torch over many carried steps,
at odd batch sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
import torch

from eddycast.service.bundle import FORECAST, JUMP, OPTIONAL, STEP, Manifest
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.records import Float64, Int64
from eddycast.training.data.counters import increases
from eddycast.training.export.invariants.checking import TOLERANCE, Array, close, unit_of
from eddycast.training.export.synthetic import sample
from eddycast.training.models import Forecaster
from eddycast.training.models.contract import Unrolled

INVARIANT = "the exported graphs are the forecaster"
#: Batch size -> steps that its rows are carried.
CARRIED = {1: 100, 7: 300, 256: 50}
FLOAT32 = 5e-7  # relative precision of a score, which may be a thousand scales large
EVERY = 50  # steps between two comparisons of a whole horizon
STATE_AT = 3 + len(OPTIONAL)  # outputs of the step graph before the state


def onnx_is_torch(model: Forecaster, directory: Path, carried: Mapping[int, int] = CARRIED) -> None:
    """Compare bare onnxruntime sessions of the bundle in `directory` with `model`. `carried` maps
    batch sizes to numbers of steps. Raises InvariantBroken. Broken by random numbers, and by
    `len(tensor)` for the batch: use `tensor.shape[0]`, which is traced."""
    manifest = read_manifest(directory)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches are small: threads would wait for each other
    step = onnxruntime.InferenceSession(str(directory / STEP), options)
    forecast = onnxruntime.InferenceSession(str(directory / FORECAST), options)
    jump = onnxruntime.InferenceSession(str(directory / JUMP), options)
    read = [value.name for value in forecast.get_inputs()]
    for batch, steps in carried.items():
        values, timestamps = sample(model.target, steps, batch, seed=batch)
        wanted = _Wanted.of(model, values, timestamps, manifest)
        state = {
            f"state.{spec.name}": np.zeros((batch, *spec.shape), spec.dtype)
            for spec in manifest.state
        }
        for t in range(steps):
            when = {"timestamp": np.full(batch, timestamps[t])}
            results = step.run(None, {"value": values[t][:, None], **when, **state})
            state = dict(zip(state, results[STATE_AT:], strict=True))
            wanted.close_to_step(t, *results[:STATE_AT])
            if t % EVERY == 0:
                given = when | state
                (multi,) = forecast.run(None, {name: given[name] for name in read})
                wanted.close_to_forecast(t, multi)
        _jump_is_torch(model, jump, state, int(timestamps[-1]))


def _jump_is_torch(
    model: Forecaster, jump: onnxruntime.InferenceSession, state: dict[str, Array], stamp: int
) -> None:
    """Compare jumps of the rows of `state`, which follow on the slot at `stamp`, with the
    forecaster's."""
    rows = len(next(iter(state.values())))
    steps = 1 + np.arange(rows) * 37
    when = stamp + steps * model.target.interval_ms
    given = {**state, "steps": steps, "timestamp": when}
    names = [value.name for value in jump.get_outputs()]
    found = jump.run(None, {value.name: given[value.name] for value in jump.get_inputs()})
    with torch.no_grad():
        row = {name.removeprefix("state."): torch.as_tensor(one) for name, one in state.items()}
        wanted = model.jump(torch.as_tensor(steps), torch.as_tensor(when), row)
    for name, tensor in zip(names, found, strict=True):
        expected = wanted[name.removeprefix("next.")].numpy()
        unit = float(max(np.abs(expected).max(initial=0.0), 1e-12))
        close(INVARIANT, f"{name} after a jump of {rows} rows", tensor, expected, 1e-5, unit)


@dataclass(frozen=True)
class _Wanted:
    """The forecaster's own outputs over a sample of S rows, and the running scales, [T, S]."""

    out: Unrolled
    unit: Array
    seen: Float64  # [T, S], the values or a counter's increases
    median: int

    @classmethod
    def of(cls, model: Forecaster, values: Float64, timestamps: Int64, manifest: Manifest) -> Self:
        out = model.unroll(values, timestamps, origins=np.arange(0, len(values), EVERY).tolist())
        # the two may round to different integers
        unit = unit_of(out.scale) + (1e4 if manifest.support == "integer" else 0.0)
        counted = model.target.kind == "counter"
        seen = increases(values, model.target.register) if counted else values
        return cls(out, unit, seen, manifest.median)

    def close_to_step(
        self,
        t: int,
        one_step: Array,
        surprise: Array,
        scores: Array,
        anomaly: Array,
        pending: Array,
        error: Array,
    ) -> None:
        """Compare the outputs of step `t`. Raises InvariantBroken."""
        out, where, unit = self.out, self._where(t), self.unit[t][:, None]
        close(INVARIANT, f"one_step, {where}", one_step[:, 0], out.one_step[t], TOLERANCE, unit)
        close(INVARIANT, f"surprise, {where}", surprise, out.surprise[t], 1e-2)
        close(INVARIANT, f"anomaly, {where}", anomaly, out.anomaly[t], 1e-2)
        if t:
            _close_to_pending(
                where,
                pending[:, 0],
                error[:, 0],
                out.one_step[t - 1],
                self.seen[t],
                self.unit[t - 1],
                self.median,
            )
        wanted = out.scores[t][:, :3]
        digits = np.abs(np.nan_to_num(wanted)) * FLOAT32 / TOLERANCE
        coarser = np.maximum(unit, digits)
        close(INVARIANT, f"scores, {where}", scores[:, 0, :3], wanted, TOLERANCE, coarser)

    def close_to_forecast(self, t: int, multi: Array) -> None:
        """Compare a whole horizon, made after step `t`. Raises InvariantBroken."""
        wanted, unit = self.out.multi_step[t // EVERY], self.unit[t][:, None, None]
        name = f"multi_step, {self._where(t)}"
        close(INVARIANT, name, multi[:, :, 0], wanted, TOLERANCE, unit)

    def _where(self, t: int) -> str:
        return f"step {t} of {self.unit.shape[1]} rows"


def _close_to_pending(
    where: str, pending: Array, error: Array, made: Array, seen: Array, unit: Array, median: int
) -> None:
    """Compare the `pending` quantiles [batch, quantiles] and their `error` [batch] with the
    forecast `made` one step before and the value `seen`. A forecast without a width may be none."""
    none = np.isnan(pending) & ~(made[:, -1:] > made[:, :1])
    wanted = np.where(none, np.nan, made)
    close(INVARIANT, f"expected, {where}", pending, wanted, TOLERANCE, unit[:, None])
    missed = np.where(none[:, 0], np.nan, seen - pending[:, median])
    close(INVARIANT, f"error, {where}", error, missed, TOLERANCE, unit)
