"""The work of a bridge, as a line of the log at an interval."""

from __future__ import annotations

import time
from collections.abc import Callable

from eddycast.service.bridges.feed_metrics import FeedMetrics
from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.observability.log import get_log


class Rates:
    """Counts since the start: `records` of the source, `filtered` readings that the settings pass
    over, `refused` ones that their senders are told about, and what was written."""

    def __init__(
        self,
        source: str,
        every_s: float,
        metrics: FeedMetrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Everything is also counted in `metrics`."""
        self._source, self._every_s, self._clock = source, every_s, clock
        self._metrics = metrics
        self._shown_at, self._shown = clock(), (0, 0)
        self.records = self.readings = self.filtered = self.letters = self.refused = 0

    def written(self, records: int, filtered: int, outgoing: Outgoing) -> None:
        """Count records of the source that are durable now."""
        self.records += records
        self.filtered += filtered
        self.readings += outgoing.readings
        self.letters += outgoing.letters
        if (metrics := self._metrics) is not None:
            metrics.records.inc(records)
            metrics.readings.inc(outgoing.readings)
            metrics.filtered.inc(filtered)
            metrics.dead_letters.inc(outgoing.letters)

    def refuse(self, readings: int = 1) -> None:
        """Count readings, or a whole request, that were refused. Called by one thread."""
        self.refused += readings
        if self._metrics is not None:
            self._metrics.refused.inc(readings)

    @property
    def is_due(self) -> bool:
        """True if it is time for the next line."""
        return self._clock() - self._shown_at >= self._every_s

    def show(self, waiting: int = 0, **further: object) -> None:
        """Write the line, with the number of records that wait; `further` facts stand at its
        end."""
        if self._metrics is not None:
            self._metrics.waiting.set(waiting)
        took_s = max(self._clock() - self._shown_at, 1e-3)
        records, readings = self._shown
        get_log().info(
            "feeding",
            source=self._source,
            records_per_s=round((self.records - records) / took_s, 1),
            readings_per_s=round((self.readings - readings) / took_s, 1),
            **self._sums(),
            waiting=waiting,
            **further,
        )
        self._shown_at, self._shown = self._clock(), (self.records, self.readings)

    def end(self, **further: object) -> None:
        """Write the sums."""
        get_log().info("fed", source=self._source, **self._sums(), **further)

    def _sums(self) -> dict[str, int]:
        return {
            "records": self.records,
            "readings": self.readings,
            "filtered": self.filtered,
            "dead_letters": self.letters,
            "refused": self.refused,
        }
