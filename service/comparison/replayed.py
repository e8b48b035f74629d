"""The forecasts that a model would have made for the readings of a history: those of a group that
had begun with the first of them, since a forecast follows from records alone."""

from __future__ import annotations

import numpy as np

from eddycast.service.comparison.forecast_columns import ForecastColumns, Met, Numbers
from eddycast.service.errors import DataError
from eddycast.service.history.merging import Readings
from eddycast.service.model.runtime import Runtime
from eddycast.service.monitor.decode import Series
from eddycast.service.processing.replay import replay
from eddycast.service.records import Int64


def replayed(runtime: Runtime, readings: Readings, numbers: Numbers) -> ForecastColumns:
    """The forecasts one step ahead of a model. Raises DataError unless it takes as many channels as
    the readings have."""
    manifest = runtime.manifest
    width = readings.values.shape[1]
    if width != len(manifest.channels):
        raise DataError(
            f"{manifest.label} takes {len(manifest.channels)} values a reading, not {width}",
            "compare models of the same channels",
        )
    found = ForecastColumns(manifest.label, numbers, {manifest.label: None}, len(readings))
    several = len(manifest.targets) > 1
    names = manifest.targets if several else ("",)
    series = [numbers.of([Series(s, target) for s in readings.streams]) for target in names]
    columns = readings.timestamps, readings.values, readings.stream
    streams = [stream.encode() for stream in readings.streams]
    for chunk in replay(runtime, streams, *columns, forecast_at=_never):
        stamps, stream = readings.timestamps[chunk.index], readings.stream[chunk.index]
        expected = chunk.forecasts.expected.astype(np.float64)
        for target, own in enumerate(series):
            errors = chunk.forecasts.error[:, target].astype(np.float64)
            met = Met(own[stream], stamps, expected[:, target], errors)
            found.add_met(met, manifest.quantiles, manifest.interval_ms)
    return found


def _never(records: Int64) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """No multi-step forecasts."""
    return np.zeros(len(records), np.bool_)
