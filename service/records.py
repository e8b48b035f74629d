"""The nouns of the service: columns of records, observations and dead letters.
Imports no other module.

A column is a numpy array or a list of bytes with one entry per record;
columns of one object have equal length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
#: Headers of one record, in order. A header without a value has an empty one.
Headers = list[tuple[str, bytes]]

#: Largest absolute value of a reading, in files and on the wire; representable as float32.
LARGEST = 1e30

#: The last millisecond of the year 9999.
LAST_TIMESTAMP = 253_402_300_799_999

#: The service's own part of a state row, in front of the model's tensors.
#: All zeros = stream never seen.
ROW_PREFIX = np.dtype(
    [
        ("last_slot", "<i8"),  # slot of the last step, in intervals since the epoch
        ("last_timestamp", "<i8"),  # stamp of the last accepted reading, ms
        # offset of this sensor's readings from their slot, ms (`processing/alignment.py`)
        ("phase", "<f8"),
        ("observations", "<i8"),  # accepted readings since the row started; 0 = never seen
        ("late_timestamp", "<i8"),  # stamp of the last late reading, ms
        ("late_run", "<i8"),  # length of the current run of late readings with increasing stamps
    ]
)


@dataclass(frozen=True, slots=True)
class Damage:
    """A record batch, or the rest of one, that cannot be read.
    `error` and `reason` as in `DeadLetter`."""

    first: int  # first offset
    last: int  # last offset
    codec: str
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """Records of one partition from one poll, in offset order.

    A record batch that cannot be read is one entry at its first offset, without a key and with the
    raw bytes of the batch as value.
    """

    topic: str
    partition: int
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps: Int64  # broker time of each record, ms
    offsets: Int64
    damaged: Mapping[int, Damage] = field(default_factory=dict)  # by offset of the entry
    end: int | None = None  # next position, if that is not the one after the last record
    headers: Sequence[Headers] | None = None  # None = no record has any

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Observations:
    """Decoded readings of one partition, in offset order; one record may have several."""

    partition: int
    streams: list[bytes]
    timestamps: Int64  # stamp of each reading, ms since the epoch, UTC
    values: Float64  # [n, channels]; NaN = missing
    record_times: Int64  # broker time of each record, ms
    offsets: Int64
    # place of each reading inside its record; None = every record is one reading
    places: list[str] | None = None

    def __len__(self) -> int:
        return len(self.streams)


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Records of one partition with a key and no value, in offset order:
    requests to forget a stream."""

    streams: list[bytes]
    offsets: Int64

    def __len__(self) -> int:
        return len(self.streams)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be forecast, with its origin and the reason.

    `error` is a code of `dead_letters/codes.py`, `reason` a sentence for people.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    error: str
    reason: str
    damage: Damage | None = None  # set if the letter stands for a whole record batch
    headers: Sequence[tuple[str, bytes]] = ()  # of the record
    time: int = -1  # broker time of the record, ms; -1 = none
    places: tuple[str, ...] = ()  # rejected readings inside the record; () = the whole record

    @classmethod
    def of(cls, batch: PartitionBatch, row: int, error: str, reason: str, place: str = "") -> Self:
        """The dead letter of a batch's record, or of the reading at `place` inside it."""
        offset = int(batch.offsets[row])
        return cls(
            batch.topic,
            batch.partition,
            offset,
            batch.keys[row],
            batch.values[row],
            error,
            reason,
            batch.damaged.get(offset),
            batch.headers[row] if batch.headers is not None else (),
            int(batch.timestamps[row]),
            (place,) if place else (),
        )


class Decoding(NamedTuple):
    """Result of decoding the records of one partition. All in offset order."""

    observations: Observations
    letters: list[DeadLetter]
    #: Offset of each reading that the settings pass over, int64; one record may have several.
    filtered: Int64


def headers_bytes(headers: Headers) -> int:
    """An upper bound on the bytes that headers take in a record."""
    return sum(
        len(name.encode(errors="surrogateescape")) + len(value) + 8 for name, value in headers
    )


def next_offset(batch: PartitionBatch) -> int:
    """Return the offset to commit once `batch` is processed.

    That is the offset after its last record, and after control records or aborted ones that follow.
    The +1 of committed offsets is computed here and nowhere else.
    """
    return int(batch.offsets[-1]) + 1 if batch.end is None else batch.end
