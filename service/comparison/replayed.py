"""The forecasts that a model would have made for the readings of a history: those of a group that
had begun with the first of them, since a forecast follows from records alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.comparison.forecast_columns import ForecastColumns, Met, Numbers
from eddycast.service.comparison.multi_step import MultiStepColumns, Plan
from eddycast.service.errors import DataError
from eddycast.service.history.merging import Readings
from eddycast.service.model.runtime import Runtime
from eddycast.service.monitor.decode import Series
from eddycast.service.processing.engine import Bool, Forecasts
from eddycast.service.processing.replay import replay
from eddycast.service.records import Int64


def replayed(runtime: Runtime, readings: Readings, numbers: Numbers) -> ForecastColumns:
    """The forecasts one step ahead of a model. Raises DataError unless it takes as many channels as
    the readings have."""
    manifest = runtime.manifest
    found = ForecastColumns(manifest.label, numbers, {manifest.label: None}, len(readings))
    found.fans.add((manifest.forecast_interval_ms, _leads(manifest)))
    never = np.zeros(len(readings), np.bool_)
    for made, series, stamps, target in _replayed(runtime, readings, numbers, never):
        errors = made.error[:, target].astype(np.float64)
        met = Met(series, stamps, made.expected[:, target].astype(np.float64), errors)
        found.add_met(met, manifest.quantiles, manifest.interval_ms)
    return found


def replayed_multi_step(
    runtime: Runtime, readings: Readings, numbers: Numbers, plan: Plan
) -> MultiStepColumns:
    """The losses of a model's multi-step forecasts."""
    manifest, overlap = runtime.manifest, plan.overlap
    found = MultiStepColumns(plan, numbers)
    stamps = readings.timestamps
    wanted = (stamps >= overlap.start_ms) & (stamps <= overlap.end_ms)
    for made, series, at, target in _replayed(runtime, readings, numbers, wanted):
        fans = made.multi_step[:, :, target].astype(np.float64)
        found.add_fans(series, at, fans, _leads(manifest), manifest.quantiles)
    return found


def _replayed(
    runtime: Runtime, readings: Readings, numbers: Numbers, wanted: Bool
) -> Iterator[tuple[Forecasts, Int64, Int64, int]]:
    """Forecasts with the numbers of their series [m], their stamps [m], and the index of a target,
    for each target; with multi-step forecasts where they are `wanted` [n]."""
    manifest, width = runtime.manifest, readings.values.shape[1]
    if width != len(manifest.channels):
        raise DataError(
            f"{manifest.label} takes {len(manifest.channels)} values a reading, not {width}",
            "compare models of the same channels",
        )
    names = manifest.targets if len(manifest.targets) > 1 else ("",)
    series = [numbers.of([Series(s, target) for s in readings.streams]) for target in names]
    columns = readings.timestamps, readings.values, readings.stream
    streams = [stream.encode() for stream in readings.streams]
    for chunk in replay(runtime, streams, *columns, forecast_at=wanted):
        stream, stamps = readings.stream[chunk.index], readings.timestamps[chunk.index]
        for target, own in enumerate(series):
            yield chunk.forecasts, own[stream], stamps, target


def _leads(manifest: Manifest) -> tuple[int, ...]:
    return tuple(range(1, manifest.horizon + 1))
