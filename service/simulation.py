"""History as sensors would send it: readings of all streams in the order of their stamps,
at a chosen speed.

The speed is kept by a schedule, not by a sleep between readings: all readings that are due are sent
together, so a speed of a million costs no more than a speed of one.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from threading import Event

import numpy as np

from eddycast.service.broker.port import Producer
from eddycast.service.formats.plain_record import plain_record
from eddycast.service.history.merging import Readings
from eddycast.service.records import Int64

#: Time in which due readings are collected, s, and the maximum number sent at once.
TICK_S = 0.05
CHUNK = 5_000


def shifted_to_end_at(readings: Readings, end_ms: int) -> Readings:
    """Readings with all stamps shifted equally, so that the last one is `end_ms`."""
    by = end_ms - int(readings.timestamps[-1]) if len(readings) else 0
    return Readings(readings.streams, readings.stream, readings.timestamps + by, readings.values)


def paced(
    timestamps: Int64, speed: float, stop: Event, clock: Callable[[], float] = time.monotonic
) -> Iterator[slice]:
    """Slices of consecutive readings as they become due, at `speed` times real time;
    0 = all at once."""
    start, done = clock(), 0
    while done < len(timestamps) and not stop.is_set():
        due = len(timestamps)
        if speed:
            past_ms = (clock() - start) * 1000 * speed
            due = int(np.searchsorted(timestamps, timestamps[0] + past_ms, side="right"))
            if due == done:
                until_next_s = (timestamps[done] - timestamps[0] - past_ms) / 1000 / speed
                stop.wait(max(TICK_S, until_next_s))
                continue
        due = min(due, done + CHUNK)
        yield slice(done, due)
        done = due


class Sensors:
    """Produces readings as input records. A stream's partition follows from a hash of its key, by
    default from its CRC-32, as in librdkafka."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        partitions: int,
        readings: Readings,
        hashed: Callable[[bytes], int] = zlib.crc32,
    ) -> None:
        self._producer, self._topic, self._readings = producer, topic, readings
        self._keys = [name.encode() for name in readings.streams]
        self._partitions = np.array([hashed(key) % partitions for key in self._keys], np.int64)

    def send(self, which: slice, timeout_s: float) -> None:
        """Produce a slice of the readings and wait for acknowledgement.
        Raises ProduceFailed, RecordTooLarge."""
        stream, readings = self._readings.stream[which], self._readings
        stamps, values = readings.timestamps[which], readings.values[which]
        values = values[:, 0] if values.shape[1] == 1 else values
        for partition in np.unique(self._partitions[stream]).tolist():
            here = np.flatnonzero(self._partitions[stream] == partition)
            columns = zip(stamps[here].tolist(), values[here].tolist(), strict=True)
            records: list[bytes | None] = [plain_record(*column) for column in columns]
            self._producer.produce(
                self._topic, partition, [self._keys[i] for i in stream[here]], records
            )
        self._producer.flush(timeout_s)
