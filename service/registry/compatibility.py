"""Checks that one model may take over the rows of another, and the readers of its forecasts.

Equal meanings of the core are necessary; that both graphs make the same core of the same readings
is shown by stepping them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.errors import RegistryError
from eddycast.service.model.runtime import Runtime, TensorState
from eddycast.service.records import Float64, Int64
from eddycast.service.sealing.parts import CORE
from eddycast.service.state.changelog import RowCodec
from eddycast.service.state.model_record import ModelRecord, initial_record, kept_parts

#: Fields of the manifest that readers of forecasts rely on.
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
    bit for bit. Returns the number of steps; raises RegistryError.

    Some tensors of a core also depend on the model's own forecasts, for example the largest recent
    error, by which suspect readings are recognized. They are found by a second run of each model in
    which all other parts are kept at zero, and are not compared.
    """
    manifest = old.manifest
    season = max(manifest.seasons_ms, default=24 * manifest.interval_ms) // manifest.interval_ms
    steps = min(2 * season + 8, _MOST_STEPS)
    runs = [_Run(model, bare) for bare in (False, True) for model in (old, new)]
    for step, values in enumerate(_readings(steps, manifest, season)):
        stamps = np.full(_STREAMS, _START_MS + step * manifest.interval_ms, np.int64)
        for run in runs:
            run.step(values, stamps)
        before, after, *bare = runs
        own = _differing(before, bare[0]) | _differing(after, bare[1])
        if differ := _differing(before, after) - own:
            raise RegistryError(
                f"{new.manifest.label} computes another core than {manifest.label} from the "
                f"same readings: {', '.join(sorted(differ))} after {step + 1} steps",
                "its manifest declares a core that its graph does not have; train it again",
            )
    return steps


class _Run:
    """Rows of one model that start from zeros."""

    def __init__(self, model: Runtime, bare: bool) -> None:
        """`bare` keeps all parts but the core at zero."""
        self._model, self._bare = model, bare
        state = model.manifest.state
        self.rows: TensorState = {s.name: np.zeros((_STREAMS, *s.shape), s.dtype) for s in state}
        parts = model.manifest.row_parts
        self.core = {name for part in parts if part.name == CORE for name in part.tensors}

    def step(self, values: Float64, stamps: Int64) -> None:
        """Consume one reading of each stream."""
        self.rows = self._model.step(values, stamps, self.rows).next_state
        for name in self.rows.keys() - self.core if self._bare else ():
            self.rows[name] = np.zeros_like(self.rows[name])


def _differing(one: _Run, other: _Run) -> set[str]:
    """Names of the core tensors whose bits differ."""
    return {name for name in one.core if one.rows[name].tobytes() != other.rows[name].tobytes()}


def _readings(steps: int, manifest: Manifest, season: int) -> Float64:
    """Readings [steps, streams, channels]: seasonal with noise, far from any suspect, and a fifth
    of them missing; increases of that kind for a counter."""
    random, shape = np.random.default_rng(1), (steps, _STREAMS, len(manifest.channels))
    phase = 2 * np.pi * np.arange(steps)[:, None, None] / max(season, 2)
    values = 20 + 5 * np.sin(phase) + random.normal(0, 1, shape)
    if manifest.kind == "counter":
        values = values.cumsum(0)
    values[random.random(shape) < 0.2] = np.nan
    return values
