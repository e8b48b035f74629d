"""Write records of the plain shape, which the service reads without a mapping."""

from __future__ import annotations

import orjson

from eddycast.service.formats.json_observation import EARLIEST, iso


def plain_record(timestamp: int, value: float | list[float]) -> bytes:
    """The value of an input record; `timestamp` in ms. A stamp that could be read as seconds is
    written as a date, NaN as null."""
    stamp = timestamp if timestamp >= EARLIEST or timestamp < 0 else iso(timestamp)
    return orjson.dumps({"timestamp": stamp, "value": value})
