"""Decode records into columns of observations. Stateless; no broker or clock.

`json_observation.py` defines an observation and the reasons for which a record is not one.
"""

from __future__ import annotations

import numpy as np

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.json_observation import (
    CONTROLS,
    EARLIEST,
    FAR_FUTURE_MS,
    KEY_LIMIT_BYTES,
    VALUE_LIMIT_BYTES,
    ObservationReader,
    milliseconds,
    names_a_stream,
)
from eddycast.service.records import (
    LARGEST,
    DeadLetter,
    Decoding,
    Float64,
    Int64,
    Observations,
    PartitionBatch,
    Tombstones,
)
from eddycast.service.state.stream_time import Clock, latest_stamps

#: Clock of a partition of which no record was read yet.
NEVER = Clock()
NO_OFFSETS = np.empty(0, np.int64)


class Decoder:
    """Decodes records as observations of `channels` channels.

    A timestamp may be at most `far_future_ms` later than its record's broker time; numeric
    timestamps before `earliest_ms` are refused as seconds.
    """

    def __init__(
        self, channels: int, far_future_ms: int = FAR_FUTURE_MS, earliest_ms: int = EARLIEST
    ) -> None:
        self._reader = ObservationReader(channels, earliest_ms)
        self._channels = channels
        self._far_future_ms = far_future_ms

    def latest(self, batch: PartitionBatch, clock: Clock) -> Int64:
        """Return the largest timestamp that each record may have, int64 [n], ms.

        `clock` is the partition's clock before the batch.
        """
        return latest_stamps(clock, batch.timestamps, batch.offsets, self._far_future_ms)

    def decode(self, batch: PartitionBatch, latest: Int64 | None = None) -> Decoding:
        """Return the observations, and a dead letter for each other record, both in offset order.

        `latest` [n] is the result of `latest()`, by default that for a partition's first records.
        The batch must not contain tombstones.
        """
        latest = self.latest(batch, NEVER) if latest is None else latest
        columns = self._columns(batch, latest)
        if columns is None:
            return self._one_by_one(batch, latest)
        observations = Observations(batch.partition, *columns, batch.timestamps, batch.offsets)
        return Decoding(observations, [], NO_OFFSETS)

    def _columns(
        self, batch: PartitionBatch, latest: Int64
    ) -> tuple[list[bytes], Int64, Float64] | None:
        """Decode all records at once; None if any of them needs to be examined individually.

        Each record is parsed separately: in one joined document, fragments of broken records could
        combine into valid ones, and a single call would save no more than 5 %.
        """
        streams, documents = _names(batch.keys), _within(batch.values, VALUE_LIMIT_BYTES)
        if streams is None or documents is None:
            return None
        try:
            readings = list(map(self._reader.parse, documents))
            values = np.array([reading.value for reading in readings], np.float64)
            timestamps = _timestamps([reading.timestamp for reading in readings], batch.timestamps)
        except (ValueError, TypeError, OverflowError, RecursionError, Unreadable):
            return None
        if values.size != len(readings) * self._channels:
            return None
        if (
            (timestamps < self._reader.earliest).any()
            or (timestamps > latest).any()
            or (abs(values) > LARGEST).any()
        ):
            return None
        return streams, timestamps, values.reshape(-1, self._channels)

    def _one_by_one(self, batch: PartitionBatch, latest: Int64) -> Decoding:
        """Decode record by record and collect a dead letter for each one that is not an
        observation."""
        times, latest_of = batch.timestamps.tolist(), latest.tolist()
        kept: list[int] = []
        readings: list[tuple[int, list[float]]] = []
        letters: list[DeadLetter] = []
        for i, (key, value) in enumerate(zip(batch.keys, batch.values, strict=True)):
            try:
                readings.append(self._reader.read(key, value or b"", times[i], latest_of[i]))
                kept.append(i)
            except Unreadable as why:
                letters.append(DeadLetter.of(batch, i, why.error, why.reason))
        where = np.array(kept, np.int64)
        observations = Observations(
            batch.partition,
            [key for i in kept if (key := batch.keys[i])],
            np.array([timestamp for timestamp, _ in readings], np.int64),
            np.array([row for _, row in readings], np.float64).reshape(-1, self._channels),
            batch.timestamps[where],
            batch.offsets[where],
        )
        return Decoding(observations, letters, NO_OFFSETS)


def tombstones(batch: PartitionBatch) -> Tombstones:
    """Return the records with a valid key and no value: requests to forget a stream."""
    if None not in batch.values:
        return Tombstones([], np.empty(0, np.int64))
    found = {
        i: key
        for i, key in enumerate(batch.keys)
        if batch.values[i] is None and key and names_a_stream(key)
    }
    return Tombstones(list(found.values()), batch.offsets[list(found)])


def _within(column: list[bytes | None], limit: int) -> list[bytes] | None:
    """Return the column if every entry has 1 to `limit` bytes, else None."""
    present = [entry for entry in column if entry]
    return (
        present
        if len(present) == len(column) and max(map(len, present), default=0) <= limit
        else None
    )


def _names(keys: list[bytes | None]) -> list[bytes] | None:
    """Return the keys if each is a valid stream name, else None."""
    names = _within(keys, KEY_LIMIT_BYTES)
    if names is None:
        return None
    joined = b" ".join(names)
    try:
        joined.decode()  # a blank never occurs inside a multi-byte sequence
    except UnicodeDecodeError:
        return None
    return names if len(joined.translate(None, CONTROLS)) == len(joined) else None


def _timestamps(stamps: list[int | str | None], times: Int64) -> Int64:
    """Return int64 [n], ms; the record's broker time where `stamps` has None.

    Raises OverflowError, Unreadable.
    """
    kinds = set(map(type, stamps))
    if kinds <= {int}:  # checked first because numpy would also parse strings of digits
        return np.array(stamps, np.int64)
    if kinds == {type(None)}:
        return times
    pairs = zip(stamps, times.tolist(), strict=True)
    return np.array(
        [
            time if stamp is None else milliseconds(stamp) if isinstance(stamp, str) else stamp
            for stamp, time in pairs
        ],
        np.int64,
    )
