"""A newer champion of the registry replaces the model that is served, without a restart.

A switch is a restore by another model, in six steps (docs/durability.md, "Switching"):

    1  load      and verify it, in a thread of the follower
    2  commit    what was processed, under the old generation; rehearse on copies of rows
    3  release   all rows; every partition held starts over, for the new model
    4  restore   rows, part by part by R2
    5  commit    the model record of the new generation and the marker, offsets unchanged
    6  serve

4 to 6 are those of any partition whose rows were another model's (`assignment.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from eddycast.service.delivery.assignment import Assignment
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.delivery.partition import Partitions, Phase
from eddycast.service.observability.metrics import Metrics
from eddycast.service.registry.following import Champion, Follower
from eddycast.service.state.store import Store


class Switching:
    """The steps 2 and 3. Called between two turns, when nothing decoded is in hand."""

    def __init__(
        self,
        follower: Follower | None,
        partitions: Partitions,
        assignment: Assignment,
        store: Store,
        metrics: Metrics,
        reached: CrashPoint,
    ) -> None:
        """Without a `follower` there is never a newer champion."""
        self._follower, self._reached, self._metrics = follower, reached, metrics
        self._began: float | None = None  # monotonic time of the switch in progress, s
        self._partitions, self._assignment, self._store = partitions, assignment, store

    def advance(self, commit: Callable[[], None], use: Callable[[Champion], None]) -> None:
        """Switch to the champion that the follower has loaded, if there is one. `commit` commits
        what was processed, `use` processes records with the new model from now on. Raises what
        `commit` raises, and WorkerBehind."""
        if self._follower is None:
            return
        self._measure()
        if self._assignment.outdated is not None:
            self._follower.demand(self._assignment.outdated)
        champion = self._follower.loaded
        if champion is None:
            return
        began = time.monotonic()
        commit()  # 2
        if not self._follower.rehearse(champion, self._store, self._partitions.serving):
            return
        self._reached("switch.2")
        self._assignment.restart()  # 3
        self._store.use(champion.runtime.manifest, champion.generation)
        use(champion)
        self._follower.serve(champion)
        self._began = began
        self._reached("switch.3")

    def _measure(self) -> None:
        """Observe the time of a switch once no partition held waits for its rows."""
        waiting = self._partitions.pending or self._partitions.in_phase(Phase.ADOPTING)
        if self._began is not None and not waiting:
            self._metrics.switch_seconds.observe(time.monotonic() - self._began)
            self._began = None
