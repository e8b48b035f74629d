"""The invariant of the exported graphs: onnxruntime agrees with torch over many carried steps,
at odd batch sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from eddycast.service.bundle import FORECAST, STEP
from eddycast.service.model.manifest_file import read_manifest
from eddycast.training.data.counters import increases
from eddycast.training.export.invariants.checking import TOLERANCE, Array, close, unit_of
from eddycast.training.export.synthetic import sample
from eddycast.training.models import Forecaster

INVARIANT = "the exported graphs are the forecaster"
#: Batch size -> steps that its rows are carried.
CARRIED = {1: 100, 7: 300, 256: 50}
FLOAT32 = 5e-7  # relative precision of a score, which may be a thousand scales large
EVERY = 50  # steps between two comparisons of a whole horizon


def onnx_is_torch(model: Forecaster, directory: Path, carried: Mapping[int, int] = CARRIED) -> None:
    """Compare bare onnxruntime sessions of the bundle in `directory` with `model`. `carried` maps
    batch sizes to numbers of steps. Raises InvariantBroken. Broken by random numbers, and by
    `len(tensor)` for the batch: use `tensor.shape[0]`, which is traced."""
    manifest = read_manifest(directory)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches are small: threads would wait for each other
    step = onnxruntime.InferenceSession(str(directory / STEP), options)
    forecast = onnxruntime.InferenceSession(str(directory / FORECAST), options)
    read = [value.name for value in forecast.get_inputs()]
    for batch, steps in carried.items():
        values, timestamps = sample(model.target, steps, batch, seed=batch)
        state = {
            f"state.{spec.name}": np.zeros((batch, *spec.shape), spec.dtype)
            for spec in manifest.state
        }
        expected = model.unroll(values, timestamps, origins=np.arange(0, steps, EVERY).tolist())
        unit = unit_of(expected.scale)
        # the two may round to different integers
        unit = unit + (1e4 if manifest.support == "integer" else 0.0)
        counted = model.target.kind == "counter"
        seen = increases(values, model.target.register) if counted else values
        for t in range(steps):
            where = f"step {t} of {batch} rows"
            feeds = {
                "value": values[t][:, None],
                "timestamp": np.full(batch, timestamps[t]),
                **state,
            }
            one_step, surprise, scores, anomaly, pending, error, *rows = step.run(None, feeds)
            state = dict(zip(state, rows, strict=True))
            close(
                INVARIANT,
                f"one_step, {where}",
                one_step[:, 0],
                expected.one_step[t],
                TOLERANCE,
                unit[t][:, None],
            )
            close(INVARIANT, f"surprise, {where}", surprise, expected.surprise[t], 1e-2)
            close(INVARIANT, f"anomaly, {where}", anomaly, expected.anomaly[t], 1e-2)
            if t:
                _close_to_pending(
                    where,
                    pending[:, 0],
                    error[:, 0],
                    expected.one_step[t - 1],
                    seen[t],
                    unit[t - 1],
                    manifest.median,
                )
            errors, wanted = scores[:, 0, :3], expected.scores[t][:, :3]
            digits = np.abs(np.nan_to_num(wanted)) * FLOAT32 / TOLERANCE
            close(
                INVARIANT,
                f"scores, {where}",
                errors,
                wanted,
                TOLERANCE,
                np.maximum(unit[t][:, None], digits),
            )
            if t % EVERY == 0:
                given = {"timestamp": feeds["timestamp"], **state}
                (multi,) = forecast.run(None, {name: given[name] for name in read})
                wanted = expected.multi_step[t // EVERY]
                close(
                    INVARIANT,
                    f"multi_step, {where}",
                    multi[:, :, 0],
                    wanted,
                    TOLERANCE,
                    unit[t][:, None, None],
                )


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
