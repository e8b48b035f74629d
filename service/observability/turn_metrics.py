"""The metrics and log lines of turns: what was read, forecast, acknowledged and committed, how long
each stage took, and what was wrong with the data."""

from __future__ import annotations

import time

from eddycast.service.bundle import Manifest
from eddycast.service.observability.bad_data import BadData
from eddycast.service.observability.metrics import Metrics
from eddycast.service.observability.recorder import (
    Latencies,
    Stopwatch,
    count_dead_letters,
    count_forecasts,
    count_verdicts,
)
from eddycast.service.observability.slow_readings import SlowReadings
from eddycast.service.observability.throttle import Throttle
from eddycast.service.processing.processor import Processed
from eddycast.service.state.arena import Arena

#: Interval of counting the streams that are in their warm-up, s: it reads a number of every row.
_COUNT_S = 10.0


class TurnMetrics:
    """Used by the polling thread alone."""

    def __init__(self, metrics: Metrics, input_topic: str, dead_letter_topic: str) -> None:
        """Log lines about bad data name both topics."""
        self.metrics = metrics
        #: Entered around each stage of a turn.
        self.stage = Stopwatch()
        self._latencies = Latencies(metrics)
        self._bad_data = BadData((input_topic, dead_letter_topic))
        self._slow = SlowReadings()
        self._counting = Throttle(_COUNT_S)

    def produced(
        self, processed: Processed, manifest: Manifest, evicted: int, polled: float
    ) -> None:
        """Count a chunk given to the producer, and the streams `evicted` after it.

        `manifest` is that of the model which processed it; `polled` is the monotonic time of its
        poll, s.
        """
        for forecasts in processed.partition_forecasts:
            batch = forecasts.batch
            self._latencies.produced(batch.partition, batch.record_times[forecasts.here], polled)
        readings = [one.observations for one in processed.chunk]
        self._bad_data.add(processed.letters, readings, processed.verdicts)
        if not len(processed.gathered):
            self._slow.add(readings, processed.verdicts, processed.forecasts.imputed)
        count_dead_letters(self.metrics, processed.letters)
        self.metrics.tombstones.inc(sum(len(one.tombstones) for one in processed.chunk))
        self.metrics.evicted.inc(evicted)
        self.metrics.missing_codes.inc(processed.codes)
        self.metrics.filtered.inc(processed.filtered)
        count_verdicts(self.metrics, processed.gathered)
        count_forecasts(self.metrics, manifest, processed.forecasts)

    def acknowledged(self) -> None:
        """Everything produced so far was acknowledged by the broker."""
        self._latencies.acknowledged()

    def committed(self, rows: int, began: float) -> None:
        """Count a commit of everything produced so far, with `rows` of the changelog, that began at
        this monotonic time, s."""
        self._latencies.acknowledged()
        self._latencies.committed()
        self.metrics.commits.inc()
        self.metrics.changelog_rows.inc(rows)
        self.metrics.commit_seconds.observe(time.monotonic() - began)

    def rolled_back(self) -> None:
        """Drop the latencies of what was not committed: it is read again."""
        self._latencies.discard()

    def turned(self, records: int, arena: Arena, warmup_steps: int) -> None:
        """End a turn of `records`: update the gauges, observe its stages, log bad data that is
        due. `warmup_steps` are those of the model in service."""
        self.metrics.records.inc(records)
        self.metrics.streams.set(len(arena))
        self.metrics.state_bytes.set(arena.nbytes)
        if self._counting.is_due():
            self.metrics.cold_streams.set(arena.young(warmup_steps))
        self.stage.report(self.metrics)
        self._bad_data.log_due()

    def close(self) -> None:
        """Log the bad data that was not logged yet."""
        self._bad_data.log_due(now=True)
