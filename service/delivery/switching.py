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

from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.delivery.delivery import Delivery
from eddycast.service.delivery.partition import Phase
from eddycast.service.delivery.served_model import ServedModel
from eddycast.service.observability.metrics import Metrics
from eddycast.service.registry.following import Follower
from eddycast.service.settings.state import StateSettings
from eddycast.service.state.store import Store


class Switching:
    """The steps 2 and 3. Called between two turns, when nothing decoded is in hand."""

    def __init__(
        self,
        follower: Follower | None,
        delivery: Delivery,
        store: Store,
        model: ServedModel,
        metrics: Metrics,
        within_s: float,
        reached: CrashPoint,
    ) -> None:
        """Without a `follower` there is never a newer champion. The commit of step 2 takes
        `within_s` seconds at most."""
        self._within_s = within_s
        self._follower, self._reached, self._metrics = follower, reached, metrics
        self._began: float | None = None  # monotonic time of the switch in progress, s
        self._delivery, self._store, self._model = delivery, store, model
        self._partitions, self._assignment = delivery.partitions, delivery.assignment

    def advance(self) -> None:
        """Switch to the champion that the follower has loaded, if there is one.
        Raises BrokerError, WorkerBehind."""
        if self._follower is None:
            return
        self._measure()
        if self._assignment.outdated is not None:
            self._follower.demand(self._assignment.outdated)
        champion = self._follower.loaded
        if champion is None:
            return
        began = time.monotonic()
        self._delivery.commit(self._within_s)  # 2
        if not self._follower.rehearse(champion, self._store, self._partitions.serving):
            return
        self._reached("switch.2")
        self._assignment.restart()  # 3
        self._store.use(champion.runtime.manifest, champion.generation)
        rows = StateSettings(max_streams=champion.max_streams)
        self._model.use(champion.runtime, rows, champion.generation)
        self._follower.serve(champion)
        self._began = began
        self._reached("switch.3")

    def _measure(self) -> None:
        """Observe the time of a switch once no partition held waits for its rows."""
        waiting = self._partitions.pending or self._partitions.in_phase(Phase.ADOPTING)
        if self._began is not None and not waiting:
            self._metrics.switch_seconds.observe(time.monotonic() - self._began)
            self._began = None
