"""Tensors that the service itself adds to the rows of a model, where the settings of time ask for
them: the slot that is open, the reading that is held, and what is kept for late readings.

They belong to no part of a model, so that every change of model keeps them. Without these settings
rows are those of the model alone.
"""

from __future__ import annotations

from typing import Final

from eddycast.service.bundle import Manifest, TensorSpec
from eddycast.service.settings.time import TimeSettings

#: int64 [3], of a stream whose readings are gathered: status, slot, due (`processing/slots.py`).
SLOT: Final = "service_slot"
#: float64 [5, channels], what was gathered in the open slot (`processing/slots.py`).
GATHERED: Final = "service_gathered"
#: float64 [1 + channels]: 1 where a reading is held, and that reading.
HELD: Final = "service_held"

#: int64 [2 + window]: what a row keeps for late readings (`processing/rewinding.py`), with the
#: readings, float64 [window, channels], and each tensor of the model, by the name after ANCHOR.
REWIND: Final = "service_rewind"
RECENT: Final = "service_recent"
ANCHOR: Final = "service_anchor_"

#: Figures of a channel in `GATHERED`.
FIGURES: Final = ("sum", "count", "min", "max", "last")


def row_specs(manifest: Manifest, time: TimeSettings) -> tuple[TensorSpec, ...]:
    """The tensors of a row under these settings: the model's, then the service's own."""
    channels, own = len(manifest.channels), []
    if time.is_gathered:
        own.append(TensorSpec(name=SLOT, dtype="int64", shape=(3,)))
        own.append(TensorSpec(name=GATHERED, dtype="float64", shape=(len(FIGURES), channels)))
    if time.hold_s is not None:
        own.append(TensorSpec(name=HELD, dtype="float64", shape=(1 + channels,)))
    if window := time.repair_window:
        own.append(TensorSpec(name=REWIND, dtype="int64", shape=(2 + window,)))
        own.append(TensorSpec(name=RECENT, dtype="float64", shape=(window, channels)))
        own += [
            TensorSpec(name=ANCHOR + spec.name, dtype=spec.dtype, shape=spec.shape)
            for spec in manifest.state
        ]
    return (*manifest.state, *own)
