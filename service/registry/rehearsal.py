"""A rehearsal of a switch: the new model steps copies of live rows, as it would take them over."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from eddycast.service.errors import BundleError
from eddycast.service.model.runtime import Runtime, TensorState
from eddycast.service.registry.compatibility import record_of
from eddycast.service.state.model_record import kept_parts
from eddycast.service.state.store import Store

#: Rows that are stepped.
_ROWS = 256


def rehearse(old: Runtime, new: Runtime, store: Store, partitions: Collection[int]) -> int:
    """Step copies of up to 256 rows of these partitions by both models, as after a missing reading.

    Returns the number of rows. Raises BundleError if outputs of the new model are not finite for a
    row for which those of the old model are, and whatever the graph raises.
    """
    held = [store.arena.held(partition) for partition in partitions]
    slots = np.concatenate([np.empty(0, np.int64), *held])
    slots = slots[:: max(1, len(slots) // _ROWS)][:_ROWS]
    if not len(slots):
        return 0
    rows, manifest = store.arena.gather(slots), old.manifest
    stamps = (store.arena.prefix["last_slot"][slots].astype(np.int64) + 1) * manifest.interval_ms
    before = _finite(old, stamps, rows)
    after = _finite(new, stamps, taken_over(old, new, rows, len(slots)))
    if lost := int((before & ~after).sum()):
        raise BundleError(
            new.manifest.label,
            f"finite forecasts for {len(slots)} live rows",
            f"others for {lost} of them",
            "roll back, and train it again",
        )
    return len(slots)


def taken_over(old: Runtime, new: Runtime, rows: TensorState, count: int) -> TensorState:
    """`count` rows of a model as another one would restore them: parts that it does not keep are
    zero."""
    record = record_of(new.manifest)
    kept = kept_parts(record_of(old.manifest), record)
    return {
        spec.name: rows[spec.name]
        if part.name in kept
        else np.zeros((count, *spec.shape), spec.dtype)
        for part in record.parts
        for spec in part.tensors
    }


def _finite(runtime: Runtime, stamps: NDArray[np.int64], rows: TensorState) -> NDArray[np.bool_]:
    """Bool [n]: rows with finite forecasts after a step without a reading."""
    values = np.full((len(stamps), len(runtime.manifest.channels)), np.nan)
    step = runtime.step(values, stamps, rows)
    ahead = runtime.forecast(stamps, step.next_state)
    outputs = [array.reshape(len(stamps), -1) for array in (step.one_step, ahead)]
    finite: NDArray[np.bool_] = np.isfinite(np.concatenate(outputs, axis=1)).all(1)
    return finite
