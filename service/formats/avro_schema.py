"""The Avro schema of a forecast's record: the fields of the JSON record, by the same names.

A number that does not exist is null, as in JSON, and never NaN. Two fields that JSON leaves out
are null instead: `forecast_interval_ms` where it is `interval_ms`, and `leads` where all are
written. The schema of a bundle depends on three things only: whether it has one channel or
several, one target or several (whose names may be no Avro names, so they are keys of a map), and
the width of its numbers. Levels, leads and the horizon are data.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

#: Names of the schema's number types, by the dtype that holds them.
NUMBERS: Final = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
Schema = dict[str, Any]

_MEANINGS: Final = {
    "stream": "Name of the stream",
    "timestamp": "Stamp of the reading that made the forecast",
    "value": "The reading, of every channel",
    "expected": "Quantiles that were forecast for this reading; null = none were",
    "error": "The reading minus the median of expected",
    "model": "Name and version of the model",
    "interval_ms": "Interval from one reading to the next, ms",
    "forecast_interval_ms": "Interval from one lead to the next, ms; null = interval_ms",
    "quantiles": "Levels of all quantiles of the record",
    "one_step": "Quantiles of the next reading",
    "leads": "Leads in multi_step, in forecast intervals; null = 1, 2, ...",
    "multi_step": "Quantiles by lead; null = none were made at this reading",
    "surprise": "Negative logarithm of the reading's density, in units of the running scale",
    "anomaly": "Share of the stream's own past that was less surprising",
    "warm": "The stream has completed its warm-up",
}


def avro_schema(channels: int, targets: int, number: np.dtype[Any]) -> Schema:
    """The schema of the records of a bundle with so many channels and targets, whose quantiles are
    float32 or float64."""
    quantiles = _array(_nullable(NUMBERS[number]))
    one_channel, one_target = channels == 1, targets == 1
    reading = _nullable("double")
    types: dict[str, Any] = {
        "stream": "string",
        "timestamp": {"type": "long", "logicalType": "timestamp-millis"},
        "value": reading if one_channel else _array(reading),
        "expected": _nullable(_by_target(quantiles, one_target)),
        "error": reading if one_target else _nullable(_by_target(reading, one_target)),
        "model": "string",
        "interval_ms": "long",
        "forecast_interval_ms": _nullable("long"),
        "quantiles": _array("double"),
        "one_step": _by_target(quantiles, one_target),
        "leads": _nullable(_array("int")),
        "multi_step": _nullable(_by_target(_array(quantiles), one_target)),
        "surprise": _nullable("float"),
        "anomaly": _nullable("float"),
        "warm": "boolean",
    }
    fields = [_field(name, of) for name, of in types.items()]
    return {"type": "record", "name": "Forecast", "namespace": "eddycast", "fields": fields}


def _field(name: str, of: Any) -> Schema:
    field = {"name": name, "type": of, "doc": _MEANINGS[name]}
    return field | {"default": None} if isinstance(of, list) else field


def _nullable(of: Any) -> list[Any]:
    return ["null", of]


def _array(items: Any) -> Schema:
    return {"type": "array", "items": items}


def _by_target(of: Any, one: bool) -> Any:
    return of if one else {"type": "map", "values": of}
