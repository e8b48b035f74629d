"""Everything the monitor knows, behind one lock: written by the follower, read by HTTP threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from eddycast.service.errors import SettingsError
from eddycast.service.monitor.anomalies import Alarm, Alarms
from eddycast.service.monitor.bundle_facts import NO_FACTS, BundleFacts
from eddycast.service.monitor.decode import Decoded, Forecasts, Series
from eddycast.service.monitor.panel import Panel
from eddycast.service.monitor.shape import Shape
from eddycast.service.settings.monitor import MonitorSettings

#: Most shapes of forecasts on one topic.
SHAPES = 16
#: Interval of looking for streams to forget, in broker time, ms.
SWEEP_EVERY_MS = 60_000


class Place(NamedTuple):
    """Panel and row of a series."""

    panel: Panel
    row: int


class Board:
    """Panels by shape, and the place of every series. Hold `lock` for every call."""

    def __init__(self, settings: MonitorSettings, facts: BundleFacts = NO_FACTS) -> None:
        self.lock = threading.Lock()
        self.settings = settings
        self.panels: dict[Shape, Panel] = {}
        self.alarms = Alarms(settings.alarms_per_week)
        self.models: list[str] = []
        self.records = 0
        self.unreadable = 0
        #: Records of series beyond monitor.max_streams or of shapes beyond `SHAPES`: not shown.
        self.beyond = 0
        self.newest_time = 0  # broker time of the newest record, ms
        self._sweep_at = 0
        season_ms = settings.season_ms or facts.season_ms
        self._facts = facts._replace(season_ms=season_ms)
        self._places: dict[Series, Place] = {}
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, decoded: Decoded) -> list[Alarm]:
        """Add what one poll contained; returns its anomalies."""
        alarms: list[Alarm] = []
        self.records += decoded.records
        self.unreadable += decoded.unreadable
        for shape, forecasts in decoded.groups.items():
            alarms += self._add(shape, forecasts)
        if self.newest_time >= self._sweep_at:
            self._forget_silent()
        return alarms

    def place(self, series: Series) -> Place | None:
        """Panel and row of a series; None if it is unknown."""
        return self._places.get(series)

    def targets(self, stream: str) -> list[str]:
        """Targets of a stream that are known."""
        return [series.target for series in self._places if series.stream == stream]

    def occupied(self) -> Iterator[Panel]:
        """Panels that hold a series."""
        return (panel for panel in self.panels.values() if len(panel))

    @property
    def row_bytes(self) -> int:
        """Bytes of one series of the largest shape seen."""
        return max((panel.row_bytes for panel in self.panels.values()), default=0)

    @property
    def repeats(self) -> int:
        """Records that were held already."""
        return sum(panel.repeats for panel in self.panels.values())

    def _add(self, shape: Shape, new: Forecasts) -> list[Alarm]:
        panel = self.panels.get(shape) or self._new_panel(shape)
        if panel is None:
            self.beyond += len(new)
            return []
        rows = np.array([self._row(panel, series) for series in new.series], np.intp)
        self.newest_time = max(self.newest_time, int(new.times.max()))
        known = np.flatnonzero(rows >= 0)
        if len(known) < len(rows):
            self.beyond += len(rows) - len(known)
            rows, new = rows[known], new.take(known)
        models = np.array([self._number(model) for model in new.models], np.uint16)
        return self.alarms.add(shape, new, panel.ingest(rows, new, models))

    def _forget_silent(self) -> None:
        """Release streams that have been silent for too long, by the time of the newest record."""
        self._sweep_at = self.newest_time + SWEEP_EVERY_MS
        before = self.newest_time - self.settings.forget_after_s * 1_000
        for panel in self.occupied():
            for row in panel.silent_since(before).tolist():
                series = panel.series[row]
                if series is not None:
                    del self._places[series]
                panel.release(row)

    def _new_panel(self, shape: Shape) -> Panel | None:
        """A panel for a shape; None if there are `SHAPES` already. Raises SettingsError."""
        if len(self.panels) == SHAPES:
            return None
        settings = self.settings
        try:
            panel = Panel(shape, settings.max_streams, settings.history, self._facts)
        except MemoryError as error:
            raise SettingsError(
                f"there is no room for {settings.max_streams:,} streams with "
                f"{settings.history} readings of this model's forecasts",
                "lower monitor.max_streams or monitor.history",
            ) from error
        self.panels[shape] = panel
        return panel

    def _row(self, panel: Panel, series: Series) -> int:
        """Row of a series in a panel; -1 if there is no room for it."""
        place = self._places.get(series)
        if place is not None:
            if place.panel is panel:
                return place.row
            place.panel.release(place.row)  # a model of another shape: a new history
        elif len(self._places) >= self.settings.max_streams:
            return -1
        place = self._places[series] = Place(panel, panel.acquire(series))
        return place.row

    def _number(self, model: str) -> int:
        number = self._numbers.get(model)
        if number is None:
            number = self._numbers[model] = len(self.models) % (1 << 16)
            self.models.append(model)
        return number
