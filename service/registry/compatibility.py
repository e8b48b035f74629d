"""Whether one model may take over the rows of another, and the readers of its forecasts.

Equal meanings of the core are necessary; that both graphs make the same core of the same readings
is shown by stepping them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.errors import RegistryError
from eddycast.service.model.runtime import Runtime, TensorState
from eddycast.service.sealing.parts import CORE
from eddycast.service.state.changelog import RowCodec
from eddycast.service.state.model_record import ModelRecord, initial_record, kept_parts

#: What readers of forecasts rely on: fields of the manifest.
SHAPE: Final = ("targets", "horizon", "forecast_interval_ms", "quantiles")
#: Streams and the largest number of steps of a proof.
_STREAMS, _MOST_STEPS = 16, 2_000
#: First stamp of a proof, ms: a Monday, 00:00 UTC.
_START_MS = 1_699_833_600_000


def record_of(manifest: Manifest) -> ModelRecord:
    """The model record of a bundle, before any generation."""
    return initial_record(manifest, RowCodec(manifest.state).layout)


def check_core(old: Manifest, new: Manifest) -> None:
    """Raise RegistryError unless both cores have the same meaning and tensors."""
    before, after = record_of(old), record_of(new)
    if CORE not in kept_parts(before, after):
        raise RegistryError(
            f"{after.description} cannot continue the rows of {before.description}: "
            "their core state is not the same",
            "train it with the champion's interval, kind, channels and memory, or give it a "
            "registry.model and a group of its own",
        )


def check_shape(old: Manifest, new: Manifest) -> None:
    """Raise RegistryError if forecasts change their shape."""
    changed = [
        f"{name} from {getattr(old, name)} to {getattr(new, name)}"
        for name in SHAPE
        if getattr(old, name) != getattr(new, name)
    ]
    if changed:
        raise RegistryError(
            f"forecasts of {new.label} differ in shape from those of {old.label}: "
            f"{'; '.join(changed)}",
            "train it like the champion, or promote with --allow-output-change",
        )


def prove_core(old: Runtime, new: Runtime) -> int:
    """Step both models over the same readings with holes, two seasons long, and compare their cores
    bit for bit. Returns the number of steps; raises RegistryError."""
    manifest = old.manifest
    core = next(part.tensors for part in manifest.row_parts if part.name == CORE)
    season = max(manifest.seasons_ms, default=24 * manifest.interval_ms) // manifest.interval_ms
    steps = min(2 * season + 8, _MOST_STEPS)
    rows = [_zeros(one.manifest) for one in (old, new)]
    for step, values in enumerate(_readings(steps, len(manifest.channels), season)):
        stamps = np.full(_STREAMS, _START_MS + step * manifest.interval_ms, np.int64)
        for n, one in enumerate((old, new)):
            rows[n] = one.step(values, stamps, rows[n]).next_state
        for name in core:
            if not np.array_equal(
                rows[0][name], rows[1][name], equal_nan=rows[0][name].dtype != bool
            ):
                raise RegistryError(
                    f"{new.manifest.label} computes another core than {manifest.label} from the "
                    f"same readings: {name} differs after {step + 1} steps",
                    "its manifest declares a core that its graph does not have; train it again",
                )
    return steps


def _zeros(manifest: Manifest) -> TensorState:
    return {s.name: np.zeros((_STREAMS, *s.shape), s.dtype) for s in manifest.state}


def _readings(
    steps: int, channels: int, season: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Readings [steps, streams, channels]: seasonal with noise, a fifth of them missing, rising
    enough to be a counter's."""
    random = np.random.default_rng(1)
    phase = 2 * np.pi * np.arange(steps)[:, None, None] / max(season, 2)
    level = 20 + 5 * np.sin(phase) + random.normal(0, 0.5, (steps, _STREAMS, channels))
    values = level.cumsum(0) / 10 + 100
    values[random.random(values.shape) < 0.2] = np.nan
    return values
