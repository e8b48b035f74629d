"""Bytes <-> columns: observations in, forecasts and dead letters out. No state, no broker, no clock.

What an observation is, and why a record may be none, stands in `observation.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.bundle import Manifest
from service.formats.json_observation import (
    CONTROLS,
    EARLIEST,
    KEY_LIMIT_BYTES,
    VALUE_LIMIT_BYTES,
    Reader,
    Unreadable,
    milliseconds,
    names_a_stream,
)
from service.formats.rounding import rounded
from service.records import LARGEST, DeadLetter, Float64, Int64, Observations, PartitionBatch, Tombstones
from service.state.stream_time import Clock, latest_stamps

Headers = list[tuple[str, bytes]]
#: Of a partition of which no record was read before.
NEVER = Clock()
#: Of a key and of a value a dead letter holds so much, and its headers take so much, at most.
LETTER_BYTES, LETTER_HEADERS_BYTES = 65_536, 2_048


class Decoder:
    """Reads the records of a partition as observations of `channels` channels. A timestamp may be
    `far_future_ms` after its record's own time, and numbers as timestamps begin at `earliest_ms`."""

    def __init__(self, channels: int, far_future_ms: int = 3_600_000, earliest_ms: int = EARLIEST) -> None:
        self._reader = Reader(channels, earliest_ms)
        self._channels = channels
        self._far_future_ms = far_future_ms

    def latest(self, batch: PartitionBatch, clock: Clock) -> Int64:
        """The largest timestamp of each record, int64 [n], ms, where `clock` was the partition's time before them."""
        return latest_stamps(clock, batch.timestamps, batch.offsets, self._far_future_ms)

    def decode(self, batch: PartitionBatch, latest: Int64 | None = None) -> tuple[Observations, list[DeadLetter]]:
        """The observations, and a dead letter for each record that is none, both in offset order. `latest` [n] is that
        of the method of this name, as of a partition's first records unless given; no record has a key that names a
        stream and no value (`tombstones`)."""
        latest = self.latest(batch, NEVER) if latest is None else latest
        columns = self._columns(batch, latest)
        if columns is None:
            return self._one_by_one(batch, latest)
        return Observations(batch.partition, *columns, batch.timestamps, batch.offsets), []

    def _columns(self, batch: PartitionBatch, latest: Int64) -> tuple[list[bytes], Int64, Float64] | None:
        """All records at once; None if there is anything to look at one by one.

        Each record is parsed by itself: in one joined document, pieces of broken records could be read together as
        whole ones, and one call for all would save no more than 5 %.
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
        if (timestamps < self._reader.earliest).any() or (timestamps > latest).any() or (abs(values) > LARGEST).any():
            return None
        return streams, timestamps, values.reshape(-1, self._channels)

    def _one_by_one(self, batch: PartitionBatch, latest: Int64) -> tuple[Observations, list[DeadLetter]]:
        """The same, and records that are no observation are set aside."""
        times, latest_of = batch.timestamps.tolist(), latest.tolist()
        kept: list[int] = []
        readings: list[tuple[int, list[float]]] = []
        letters: list[DeadLetter] = []
        for i, (key, value) in enumerate(zip(batch.keys, batch.values, strict=True)):
            try:
                readings.append(self._reader.read(key, value or b"", times[i], latest_of[i]))
                kept.append(i)
            except Unreadable as why:
                offset = int(batch.offsets[i])
                letters.append(DeadLetter(batch.topic, batch.partition, offset, key, value, why.error, why.reason))
        where = np.array(kept, np.int64)
        observations = Observations(
            batch.partition,
            [key for i in kept if (key := batch.keys[i])],
            np.array([timestamp for timestamp, _ in readings], np.int64),
            np.array([row for _, row in readings], np.float64).reshape(-1, self._channels),
            batch.timestamps[where],
            batch.offsets[where],
        )
        return observations, letters


def tombstones(batch: PartitionBatch) -> Tombstones:
    """Those records that ask to forget the stream of their key."""
    if None not in batch.values:
        return Tombstones([], np.empty(0, np.int64))
    found = {i: key for i, key in enumerate(batch.keys) if batch.values[i] is None and key and names_a_stream(key)}
    return Tombstones(list(found.values()), batch.offsets[list(found)])


def _within(column: list[bytes | None], limit: int) -> list[bytes] | None:
    """The column if every entry has 1 to `limit` bytes."""
    present = [entry for entry in column if entry]
    return present if len(present) == len(column) and max(map(len, present), default=0) <= limit else None


def _names(keys: list[bytes | None]) -> list[bytes] | None:
    """The keys if each can name a stream."""
    names = _within(keys, KEY_LIMIT_BYTES)
    if names is None:
        return None
    joined = b" ".join(names)
    try:
        joined.decode()  # a blank is never a part of a longer sequence
    except UnicodeDecodeError:
        return None
    return names if len(joined.translate(None, CONTROLS)) == len(joined) else None


def _timestamps(stamps: list[int | str | None], times: Int64) -> Int64:
    """ms of each; the record's own time where there is none. Raises OverflowError, Unreadable."""
    kinds = set(map(type, stamps))
    if kinds <= {int}:  # asked first, because numpy would read texts of digits
        return np.array(stamps, np.int64)
    if kinds == {type(None)}:
        return times
    pairs = zip(stamps, times.tolist(), strict=True)
    return np.array(
        [time if stamp is None else milliseconds(stamp) if isinstance(stamp, str) else stamp for stamp, time in pairs],
        np.int64,
    )


class Encoder:
    """Writes forecasts of one model as JSON.

    Numbers are formatted a column at a time and cut apart again, which takes half the time of one document after
    the other. float32 columns are written in the fewest digits that read back as the same float32; of float64
    forecasts only those digits are written that mean something (`service.formats.rounding`).
    """

    def __init__(self, manifest: Manifest) -> None:
        names = [_constant(target) for target in manifest.targets]
        model, quantiles = _constant(manifest.label), _constant(list(manifest.quantiles))
        interval = b',"interval_ms":' + _constant(manifest.interval_ms)
        if manifest.forecast_interval_ms != manifest.interval_ms:
            interval += b',"forecast_interval_ms":' + _constant(manifest.forecast_interval_ms)
        self._record = b"".join(
            [
                b'{"stream":%b,"timestamp":%b,"value":',
                b"%b" if len(manifest.channels) == 1 else b"[%b]",
                b',"model":' + model + interval,
                b',"quantiles":' + quantiles + b',"one_step":' + _by_target(names, b"[%b]"),
                b',"multi_step":%b,"surprise":%b,"anomaly":%b,"warm":%b}',
            ]
        )
        self._multi_step = _by_target(names, b"[[%b]]")

    def encode(
        self,
        streams: Sequence[bytes],
        timestamps: Int64,
        values: Float64,
        one_step: NDArray[np.floating[Any]],
        multi_step: NDArray[np.floating[Any]] | None,
        has_multi: NDArray[np.bool_],
        surprise: NDArray[np.float32],
        anomaly: NDArray[np.float32],
        warm: NDArray[np.bool_],
    ) -> list[bytes]:
        """One JSON object a row. A number that does not exist (NaN, infinite) is null.

        `timestamps` [n] ms, `values` [n, channels], `one_step` [n, targets, quantiles], `multi_step`
        [n, horizon, targets, quantiles]; where `has_multi` [n] is false, or `multi_step` is None, the record's
        "multi_step" is null.
        """
        if not len(streams):
            return []
        one_step, multi_step = rounded(one_step, multi_step)
        columns = [
            _texts(streams),
            _rows(timestamps),
            _rows(values[:, 0] if values.shape[1] == 1 else values),
            *(_rows(one_step[:, target]) for target in range(one_step.shape[1])),
            self._multi_steps(multi_step, has_multi),
            _rows(surprise),
            _rows(anomaly),
            _rows(warm),
        ]
        return [self._record % row for row in zip(*columns, strict=True)]

    def _multi_steps(self, multi_step: NDArray[np.floating[Any]] | None, has_multi: NDArray[np.bool_]) -> list[bytes]:
        if multi_step is None or not has_multi.any():
            return [b"null"] * len(has_multi)
        present = multi_step if has_multi.all() else multi_step[has_multi]
        columns = [_rows(present[:, :, target]) for target in range(present.shape[2])]
        texts: Iterator[bytes] = (self._multi_step % row for row in zip(*columns, strict=True))
        return [next(texts) if has else b"null" for has in has_multi.tolist()]


def dead_letter(letter: DeadLetter, limit_bytes: int = LETTER_BYTES) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of the record that tells of a dead letter.

    A key or value over `limit_bytes` is cut there; the headers `truncated` and `size` (of the whole value, bytes) or
    `key_size` then say so. Where it stands for a record batch, `last_offset` and `codec` do.
    """
    headers: Headers = [
        ("error", letter.error.encode()),
        ("reason", letter.reason[:1_000].encode(errors="replace")),
        ("topic", letter.topic.encode()),
        ("partition", b"%d" % letter.partition),
        ("offset", b"%d" % letter.offset),
    ]
    if (damage := letter.damage) is not None:
        headers += [("last_offset", b"%d" % damage.last), ("codec", damage.codec.encode())]
    key, value = letter.key, letter.value
    sizes = [
        (name, len(part)) for name, part in (("size", value), ("key_size", key)) if part and len(part) > limit_bytes
    ]
    if sizes:
        headers += [("truncated", b"true"), *((name, b"%d" % size) for name, size in sizes)]
    return key and key[:limit_bytes], value and value[:limit_bytes], headers


def _rows(column: NDArray[Any]) -> list[bytes]:
    """The JSON of each row of [n, ...] without its own outer brackets; n > 0."""
    depth = column.ndim - 1
    text = orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[depth + 1 : -depth - 1].split(b"]" * depth + b"," + b"[" * depth)


def _texts(names: Sequence[bytes]) -> list[bytes]:
    """The JSON of each name. Indented, because a raw line feed never stands inside a JSON text; n > 0."""
    return orjson.dumps([name.decode() for name in names], option=orjson.OPT_INDENT_2)[4:-2].split(b",\n  ")


def _by_target(names: list[bytes], slot: bytes) -> bytes:
    """The one target's slot, or an object of a slot for each name."""
    return slot if len(names) == 1 else b"{" + b",".join(name + b":" + slot for name in names) + b"}"


def _constant(value: object) -> bytes:
    """JSON as a fixed part of a `%` template."""
    return orjson.dumps(value).replace(b"%", b"%%")
