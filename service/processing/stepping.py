"""Turn the readings of a chunk into forecasts: one for each, or one for each slot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.alignment import align, align_slots
from eddycast.service.processing.chunks import Decoded, select
from eddycast.service.processing.engine import Bool, Engine, Forecasts
from eddycast.service.processing.gathering import Arrived, Gathering
from eddycast.service.processing.grid_check import check_time
from eddycast.service.processing.holding import Holding
from eddycast.service.processing.stage import Stage
from eddycast.service.records import Observations
from eddycast.service.settings.settings import Settings
from eddycast.service.state.store import Store


class Stepped(NamedTuple):
    """Forecasts at observations, and what became of the readings that these come from."""

    observations: list[Observations]
    forecasts: Forecasts
    readings: list[Observations]
    verdicts: NDArray[np.int8]  # `alignment.Verdict` of each reading
    gathered: NDArray[np.int8]  # verdicts of readings that have no step of their own


class Stepping:
    """Changes the rows of a store."""

    def __init__(self, runtime: Runtime, store: Store, settings: Settings, stage: Stage) -> None:
        """Raises SettingsError for settings of time that do not fit the model."""
        time, interval_ms = settings.time, runtime.manifest.interval_ms
        check_time(runtime.manifest, time)
        self._stage = stage
        self._gathering = (
            Gathering(store, interval_ms, time.aggregate, time.close_after_ms)
            if time.is_gathered
            else None
        )
        holds = time.hold_s is not None
        self._engine = Engine(
            runtime,
            store.arena,
            max_gap=time.max_gap or runtime.manifest.longest_gap(time.state_ttl_ms),
            forecast_every=settings.engine.forecast_every,
            touch=store.journal.touch,
            align=align_slots if time.is_gathered else align,
            holding=Holding(store.arena, time.held_steps(interval_ms)) if holds else None,
        )

    def run(
        self,
        chunk: list[Decoded],
        readings: list[Observations],
        contradicted: Bool,
        refused: list[Bool] | None,
        *,
        forecast: bool = True,
    ) -> Stepped:
        """Step the readings of a chunk but for refused ones, or the slots that close at them; with
        multi-step forecasts if `forecast`.

        `contradicted` bool [n] marks stamps that disagree with the stream time; `refused` bool [n]
        of each partition, None = none.
        """
        if self._gathering is not None:
            return self._slots(self._gathering, chunk, readings, contradicted, refused, forecast)
        if refused is not None:
            kept = [np.flatnonzero(~column) for column in refused]
            readings = [select(one, here) for one, here in zip(readings, kept, strict=True)]
            contradicted = contradicted[~np.concatenate(refused)]
        forecasts = self._run(readings, contradicted, forecast)
        return Stepped(readings, forecasts, readings, forecasts.verdicts, forecasts.verdicts[:0])

    def _slots(
        self,
        gathering: Gathering,
        chunk: list[Decoded],
        readings: list[Observations],
        contradicted: Bool,
        refused: list[Bool] | None,
        forecast: bool,
    ) -> Stepped:
        ends = np.cumsum([len(one) for one in readings])[:-1]
        none = [np.zeros(len(one), np.bool_) for one in readings]
        columns = (readings, refused or none, np.split(contradicted, ends), chunk)
        with self._stage("align"):
            gathered = gathering.take(
                [
                    Arrived(one, ~own, doubted, decoded.tombstones)
                    for one, own, doubted, decoded in zip(*columns, strict=True)
                ]
            )
        slots = gathered.observations
        forecasts = self._run(slots, gathered.set_back, forecast)
        return Stepped(slots, forecasts, readings, gathered.verdicts, gathered.settled)

    def _run(self, observations: list[Observations], marked: Bool, forecast: bool) -> Forecasts:
        wanted = None if forecast else np.zeros(sum(map(len, observations)), np.bool_)
        return self._engine.run(observations, self._stage, wanted=wanted, marked=marked)
