"""Forecasts as rows of the archive: a row for each target of each forecast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import polars as pl

from eddycast.service.archive.rows import STAMP, Rows
from eddycast.service.formats.avro_frame import FRAMED
from eddycast.service.formats.avro_reader import AvroReader
from eddycast.service.formats.schemas import NO_SCHEMAS, SchemaOf
from eddycast.service.records import PartitionBatch
from eddycast.service.state.stream_time import Clock, with_record_time

_LEVELS: Final = pl.List(pl.Float64)
FORECASTS: Final = pl.Schema(
    {
        "stream": pl.String(),
        "timestamp": STAMP,
        "target": pl.String(),  # "" = the only one
        "value": _LEVELS,  # of all channels
        "expected": _LEVELS,  # null = nothing was pending
        "error": pl.Float64(),
        "model": pl.String(),
        "interval_ms": pl.Int64(),
        "forecast_interval_ms": pl.Int64(),
        "quantiles": _LEVELS,
        "one_step": _LEVELS,
        "leads": pl.List(pl.Int32()),  # null = 1, 2, ...
        "multi_step": pl.List(_LEVELS),  # by lead; null = none was made
        "surprise": pl.Float64(),
        "anomaly": pl.Float64(),
        "warm": pl.Boolean(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "record_time": STAMP,
    }
)
_Levels = list[float | None]


class _Forecast(msgspec.Struct):
    """A record of the forecasts topic."""

    stream: str
    timestamp: int
    value: float | _Levels | None
    model: str
    interval_ms: int
    quantiles: list[float]
    one_step: _Levels | dict[str, _Levels]
    multi_step: list[_Levels] | dict[str, list[_Levels]] | None
    expected: _Levels | dict[str, _Levels] | None = None
    error: float | dict[str, float | None] | None = None
    surprise: float | None = None
    anomaly: float | None = None
    warm: bool = False
    forecast_interval_ms: int | None = None
    leads: list[int] | None = None


class ForecastRows:
    """Rows of the forecasts topic."""

    block = 10_000  # forecasts are large

    def __init__(self, schema_of: SchemaOf = NO_SCHEMAS.schema_of) -> None:
        """`schema_of` returns schemas of Avro records by their ids."""
        self._from_json = msgspec.json.Decoder(_Forecast).decode
        self._avro = AvroReader(schema_of)

    @property
    def empty(self) -> pl.DataFrame:
        """See `rows.Reading`."""
        return pl.DataFrame(schema=FORECASTS)

    def rows(self, batch: PartitionBatch, clock: Clock) -> Rows:
        """See `rows.Reading`."""
        found: list[tuple[Any, ...]] = []
        removed = unreadable = 0
        for value, offset, time in zip(
            batch.values, batch.offsets.tolist(), batch.timestamps.tolist(), strict=True
        ):
            if value is None:
                removed += 1
                continue
            try:
                forecast = self._parse(value)
            except (msgspec.MsgspecError, ValueError):
                unreadable += 1
                continue
            found += ((*row, batch.partition, offset, time) for row in _by_target(forecast))
        frame = pl.DataFrame(found, schema=FORECASTS, orient="row") if found else self.empty
        return Rows(frame, len(batch), unreadable, 0, removed, with_record_time(clock, batch))

    def _parse(self, value: bytes) -> _Forecast:
        """Raises ValueError, MsgspecError for bytes that are no forecast."""
        if value.startswith(FRAMED):
            return msgspec.convert(self._avro.read(value), _Forecast)
        return self._from_json(value)


def _by_target(forecast: _Forecast) -> Iterator[tuple[Any, ...]]:
    """The columns of each target, up to `warm`."""
    one, value = forecast.one_step, forecast.value
    targets = one if isinstance(one, dict) else {"": one}
    for target, levels in targets.items():
        expected, error, multi = (
            field[target] if isinstance(field, dict) else field
            for field in (forecast.expected, forecast.error, forecast.multi_step)
        )
        yield (
            forecast.stream,
            forecast.timestamp,
            target,
            value if isinstance(value, list) else [value],
            expected,
            error,
            forecast.model,
            forecast.interval_ms,
            forecast.forecast_interval_ms or forecast.interval_ms,
            forecast.quantiles,
            levels,
            forecast.leads,
            multi,
            forecast.surprise,
            forecast.anomaly,
            forecast.warm,
        )
