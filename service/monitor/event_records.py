"""Events as records of a topic: a stream falls silent, is back, or has an anomaly.

docs/schemas/event.schema.json describes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from eddycast.service.monitor.anomalies import Alarm
from eddycast.service.records import PartitionBatch


class Event(NamedTuple):
    """One event of a stream, before it is encoded."""

    stream: str
    content: dict[str, Any]

    @property
    def key(self) -> bytes:
        """Key of the record."""
        return self.stream.encode()

    def value(self, time_ms: int) -> bytes:
        """Value of a record that is written at a time by the wall clock; NaN becomes null."""
        return orjson.dumps({"stream": self.stream} | self.content | {"time": time_ms})


def anomaly(alarm: Alarm, per_week: float) -> Event:
    """A reading beyond the threshold."""
    fields = alarm._asdict()
    series = fields.pop("series")
    content = {"event": "anomaly", "target": series.target} | fields
    return Event(series.stream, content | {"alarms_per_week": per_week})


def silent(stream: str, timestamp: int, silent_ms: float, rhythm_ms: float) -> Event:
    """The event of a stream without readings since this stamp, for longer than usual."""
    seconds = {"silent_s": round(silent_ms / 1000, 3), "usual_s": rhythm_ms / 1000}
    return Event(stream, {"event": "silent", "timestamp": timestamp} | seconds)


def back(stream: str, timestamp: int) -> Event:
    """A silent stream has a reading again."""
    return Event(stream, {"event": "back", "timestamp": timestamp})


@dataclass(slots=True)
class Known:
    """Contents of the topic: streams whose last event is a silence, each with the time of that
    event, ms; and (stream, target, stamp) of anomalies."""

    silent: dict[str, int] = field(default_factory=dict)
    anomalies: set[tuple[str, str, int]] = field(default_factory=set)

    def add(self, batches: Iterable[PartitionBatch]) -> None:
        """Take in records, in the order of the topic; others than events are passed over."""
        for batch in batches:
            for value in batch.values:
                if value is not None:
                    self._add(value)

    def _add(self, value: bytes) -> None:
        try:
            match orjson.loads(value):
                case {"event": "silent", "stream": str(stream), "time": int(time_ms)}:
                    self.silent[stream] = time_ms
                case {"event": "back", "stream": str(stream)}:
                    self.silent.pop(stream, None)
                case {
                    "event": "anomaly",
                    "stream": str(stream),
                    "target": str(target),
                    "timestamp": int(timestamp),
                }:
                    self.anomalies.add((stream, target, timestamp))
        except orjson.JSONDecodeError:
            return  # not ours
