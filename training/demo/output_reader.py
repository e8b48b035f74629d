"""A reader of the output topic that scores every forecast as it comes, beside the last value."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import orjson

from eddycast.service.broker.port import Consumer
from eddycast.service.bundle import Manifest
from eddycast.service.records import Float64, Int64, PartitionBatch
from eddycast.training.data.panel import Panel
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.plot import Gallery
from eddycast.training.evaluation.protocols.scoring import Array, Chunk, Scorer
from eddycast.training.evaluation.protocols.task import Task

#: Most completed forecasts of a stream in its running error.
RECENT = 96


class PassiveListener:
    """A listener of a consumer group without anything to hand over."""

    def assigned(self, partitions: Collection[int]) -> None:
        """Nothing to prepare."""

    def revoked(self, partitions: Collection[int]) -> None:
        """Nothing to commit."""

    def lost(self, partitions: Collection[int]) -> None:
        """Nothing to discard."""


class OutputReader:
    """The demo's knowledge of the forecasts, from the output topic alone.

    The panel of the tasks holds the observed values; a forecast is scored once its targets have
    arrived. The figures of the first task are also given by stream.
    """

    def __init__(self, consumer: Consumer, manifest: Manifest, tasks: Sequence[Task]) -> None:
        self._consumer, self.panel = consumer, tasks[0].panel
        self._levels, self._horizon = manifest.quantiles, manifest.horizon
        self._scorers = [Scorer(task, manifest.name, manifest.quantiles) for task in tasks]
        self.gallery = Gallery(self.panel, manifest, tasks[0].end)
        self._index = {name.encode(): i for i, name in enumerate(self.panel.streams)}
        self._recent = Recent(self.panel, manifest.horizon)
        self.horizon_ms = manifest.horizon * manifest.forecast_interval_ms
        #: Forecasts read so far; the last record of each stream by its name.
        self.received = 0
        self.last: dict[str, dict[str, object]] = {}
        self.now_ms = 0

    def poll(self, timeout_s: float) -> int:
        """Process the available records; the number of forecasts among them."""
        batches = self._consumer.poll(timeout_s, 2_000)
        for batch in batches:
            self._take(batch)
        return sum(map(len, batches))

    def _take(self, batch: PartitionBatch) -> None:
        records = [orjson.loads(value) for value in batch.values if value]
        chunk = self._chunk([key for key in batch.keys if key], records)
        for name, record in zip((key.decode() for key in batch.keys if key), records, strict=True):
            self.last[name] = record
        self.received += len(records)
        self.now_ms = max(self.now_ms, *(record["timestamp"] for record in records))
        for scorer in self._scorers:
            scorer.take(chunk)
        self.gallery.add(chunk)
        self._recent.add(chunk.stream, chunk.row, chunk.multi_step[..., self._levels.index(0.5)])

    def _chunk(self, keys: Sequence[bytes], records: Sequence[dict[str, object]]) -> Chunk:
        """Columns of the records; null becomes NaN."""
        stamps = np.array([record["timestamp"] for record in records], np.int64)
        one = np.array([record["one_step"] for record in records], np.float64)
        multi = np.array([record["multi_step"] for record in records], np.float64)
        start, interval = int(self.panel.timestamps[0]), self.panel.interval_ms
        return Chunk(
            np.array([self._index[key] for key in keys]), (stamps - start) // interval, one, multi
        )

    def running(self) -> list[tuple[str, float, float]]:
        """(stream, recent mean absolute error, that of the last value) of each stream,
        in its own unit."""
        row = (self.now_ms - int(self.panel.timestamps[0])) // self.panel.interval_ms
        return [(name, *self._recent.errors(i, row)) for i, name in enumerate(self.panel.streams)]

    def figures(self) -> list[Figure]:
        """The whole hold-out so far: all streams, each stream, and all one step ahead."""
        return [
            figure
            for i, scorer in enumerate(self._scorers)
            for figure in scorer.figures(per_stream=i == 0)
        ]


class Recent:
    """The medians of the last forecasts of each stream,
    which are scored when their last target has come."""

    def __init__(self, panel: Panel, horizon: int) -> None:
        self._values, self._horizon = panel.values, horizon
        self._kept = horizon + RECENT
        shape = (len(panel.streams), self._kept)
        self._rows: Int64 = np.full(shape, -1, np.int64)
        self._medians: Float64 = np.full((*shape, horizon), np.nan)

    def add(self, stream: Int64, row: Int64, medians: Array) -> None:
        """Keep forecasts: stream [n], row [n], medians [n, horizon]."""
        self._rows[stream, row % self._kept] = row
        self._medians[stream, row % self._kept] = medians

    def errors(self, stream: int, now: int) -> tuple[float, float]:
        """Mean absolute error of the forecasts that are complete at row `now`,
        and that of the last value; NaN if none are."""
        rows = self._rows[stream]
        done = np.flatnonzero(
            (rows >= 0) & (rows + self._horizon <= now) & (rows > now - self._kept)
        )
        if not len(done):
            return float("nan"), float("nan")
        values = self._values[stream]
        target = values[rows[done][:, None] + np.arange(1, self._horizon + 1)]
        model = np.abs(target - self._medians[stream, done])
        naive = np.abs(target - values[rows[done]][:, None])
        known = ~np.isnan(model) & ~np.isnan(naive)
        if not known.any():
            return float("nan"), float("nan")
        return float(model[known].mean()), float(naive[known].mean())
