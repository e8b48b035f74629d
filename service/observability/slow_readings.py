"""A log line, once, if most readings come after steps without one: sensors that are slower than the
model's interval, or that report changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eddycast.service.observability.log import get_log
from eddycast.service.processing.alignment import Verdict
from eddycast.service.records import Observations

#: Readings after missing steps that are enough to tell.
_ENOUGH = 50


class SlowReadings:
    """Counts readings that come in the next step, and those that come after missing ones."""

    def __init__(self) -> None:
        self._next = self._after = 0
        self._is_said = False

    def add(
        self, decoded: Sequence[Observations], verdicts: NDArray[np.int8], imputed: int
    ) -> None:
        """Add the verdicts [n] on the concatenated observations of one chunk, between which
        `imputed` steps had no value. Logs the line if it is due."""
        if self._is_said:
            return
        self._next += int(np.count_nonzero(verdicts == Verdict.NEXT))
        after = np.flatnonzero(verdicts == Verdict.GAP)[:imputed]
        self._after += len(after)
        if len(after) and self._after >= max(_ENOUGH, self._next):
            streams = [stream for one in decoded for stream in one.streams]
            self._is_said = True
            get_log().warning(
                "most readings come after missing steps",
                kind="slow",
                count=self._after,
                stream=streams[int(after[-1])].decode(errors="replace")[:100],
                action="sensors are slower than the model's interval: train with a longer one; if "
                "they report changes, set time.hold_s to the longest time between two of them",
            )
