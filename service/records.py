"""The nouns of the service: columns of records, observations and dead letters.
Imports no other module.

A column is a numpy array or a list of bytes with one entry per record;
columns of one object have equal length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

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

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Observations:
    """Decoded records of one partition, in offset order."""

    partition: int
    streams: list[bytes]
    timestamps: Int64  # stamp of each reading, ms since the epoch, UTC
    values: Float64  # [n, channels]; NaN = missing
    record_times: Int64  # broker time of each record, ms
    offsets: Int64

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

    `error` is a short stable word, used as a metric label; `reason` is a sentence for people.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    error: str
    reason: str
    damage: Damage | None = None  # set if the letter stands for a whole record batch


def next_offset(batch: PartitionBatch) -> int:
    """Return the offset to commit once `batch` is processed.

    That is the offset after its last record, and after control records or aborted ones that follow.
    The +1 of committed offsets is computed here and nowhere else.
    """
    return int(batch.offsets[-1]) + 1 if batch.end is None else batch.end
