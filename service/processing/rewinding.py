"""Late readings that replace what was imputed: what `time.late = repair` does.

Before the steps of a gap, the tensors of a row are kept as they are: its *anchor*. From then on the
readings of the next slots are kept, too. A reading that is late, and of a slot in which there was
none, is put there; the row goes back to the anchor, and over the same slots again. It becomes the
row of a stream whose readings came in order; forecasts that have been made stay as they are.

An anchor serves for `time.repair_steps` slots after the first one of its gap, and its own model.
All of this is part of the row, so it is restored with it, and does not depend on the cut of polls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.alignment import slots_of
from eddycast.service.processing.imputation import walk
from eddycast.service.processing.stage import Stage
from eddycast.service.records import Float64, Int64
from eddycast.service.state.arena import Arena
from eddycast.service.state.own_tensors import ANCHOR, RECENT, REWIND

Bool = NDArray[np.bool_]
#: Columns of `own_tensors.REWIND`: the model of the anchor (0 = none), its slot, and from _SEEN on
#: 1 for each later slot with a reading.
_MODEL, _SLOT, _SEEN = range(3)
#: Hexadecimal digits of a version that fit into int64.
_DIGITS: Final = 15


class Rewinding:
    """The anchors of the rows of one model."""

    def __init__(self, runtime: Runtime, arena: Arena, window: int) -> None:
        """`window` is the number of slots that are kept after an anchor."""
        manifest = runtime.manifest
        self._runtime, self._arena, self._window = runtime, arena, window
        self._interval_ms = manifest.interval_ms
        self._model = int(manifest.version[:_DIGITS], 16) | 1
        self._anchors = {spec.name: ANCHOR + spec.name for spec in manifest.state}

    def repair(
        self, slots: Int64, stamps: Int64, values: Float64, stage: Stage
    ) -> tuple[Bool, list[int]]:
        """Put late readings [n] of rows into slots without one, and step those rows again.

        Returns bool [n], the readings that were late and replace an imputation, and the number of
        rows in each call of the step graph.
        """
        with stage("align"):
            facts = self._arena.gather(slots, [REWIND])[REWIND]
            place = self._places(slots, stamps, facts)
            found = (place >= 0) & ~np.isnan(values).all(axis=1)
            rows = np.flatnonzero(found)
        if not len(rows):
            return found, []
        facts[rows, _SEEN + place[rows]] = 1
        recent = self._arena.gather(slots[rows], [RECENT])[RECENT]
        recent[np.arange(len(rows)), place[rows]] = values[rows]
        self._arena.scatter(slots[rows], {REWIND: facts[rows], RECENT: recent})
        for name in ("late_timestamp", "late_run"):
            self._arena.prefix[name][slots[rows]] = 0
        return found, self._again(slots[rows], facts[rows], recent, stage)

    def anchor(self, slots: Int64, missing: Int64, arrived: Int64) -> None:
        """Keep rows before gaps of `missing` int64 [n] slots that end before the slots `arrived`
        [n], unless an earlier anchor serves; gaps that are too long leave none."""
        facts = self._arena.gather(slots, [REWIND])[REWIND]
        after = arrived - facts[:, _SLOT]  # negative if the clock was set back
        serves = (facts[:, _MODEL] == self._model) & (after > 0) & (after <= self._window)
        new = ~serves
        facts[new] = 0
        short = new & (missing < self._window)
        facts[short, _MODEL] = self._model
        facts[short, _SLOT] = (arrived - missing - 1)[short]
        self._arena.scatter(slots[new], {REWIND: facts[new]})
        tensors = self._arena.gather(slots[short], list(self._anchors))
        kept = {self._anchors[name]: tensor for name, tensor in tensors.items()}
        self._arena.scatter(slots[short], kept)

    def note(self, slots: Int64, steps: Int64, values: Float64) -> None:
        """Keep readings [n, channels] of the slots `steps` [n] of rows that have an anchor, and
        drop anchors that serve no longer."""
        facts = self._arena.gather(slots, [REWIND])[REWIND]
        if not facts[:, _MODEL].any():
            return
        place = steps - facts[:, _SLOT] - 1
        serves = (facts[:, _MODEL] == self._model) & (place >= 0) & (place < self._window)
        rows = np.flatnonzero(serves)
        facts[~serves] = 0
        facts[rows, _SEEN + place[rows]] = 1
        recent = self._arena.gather(slots[rows], [RECENT])[RECENT]
        recent[np.arange(len(rows)), place[rows]] = values[rows]
        self._arena.scatter(slots, {REWIND: facts})
        self._arena.scatter(slots[rows], {RECENT: recent})

    def _places(self, slots: Int64, stamps: Int64, facts: Int64) -> Int64:
        """Place after the anchor of the slot that each reading could repair, int64 [n]; -1 = none:
        the reading is not late, its slot has a reading, or there is no anchor that serves."""
        prefix = self._arena.prefix[slots]
        place = slots_of(stamps, prefix["phase"], self._interval_ms) - facts[:, _SLOT] - 1
        taken = prefix["last_slot"] - facts[:, _SLOT] - 1
        late = (facts[:, _MODEL] == self._model) & (stamps < prefix["last_timestamp"])
        late &= (place >= 0) & (place < taken) & (taken < self._window)
        place = np.where(late, place, -1)
        seen = facts[np.arange(len(place)), _SEEN + np.maximum(place, 0)] != 0
        return np.where(seen, -1, place)

    def _again(self, slots: Int64, facts: Int64, recent: Float64, stage: Stage) -> list[int]:
        """Step rows from their anchors to their last slots."""
        called: list[int] = []
        steps = self._arena.prefix["last_slot"][slots] - facts[:, _SLOT]
        seen = facts[:, _SEEN:, None] != 0
        values = np.where(seen, recent, np.nan)
        order = np.argsort(-steps, kind="stable")
        for piece in self._runtime.pieces(len(order)):
            rows = order[piece]
            with stage("gather"):
                kept = self._arena.gather(slots[rows], list(self._anchors.values()))
                state = {name: kept[anchor] for name, anchor in self._anchors.items()}
            with stage("step"):
                first, own = facts[rows, _SLOT] + 1, values[rows]
                called += walk(self._runtime, state, first, steps[rows], _at(own))
            with stage("scatter"):
                self._arena.scatter(slots[rows], state)
        return called


def _at(values: Float64) -> Callable[[int, int], Float64]:
    """The values [n, window, channels] as `imputation.walk` asks for them."""

    def values_at(step: int, count: int) -> Float64:
        return values[:count, step]

    return values_at
