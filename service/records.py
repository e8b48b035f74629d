"""The nouns of the service: columns of records, observations and dead letters. Imports nothing of ours.

A column is a numpy array (or a list of bytes) with one entry a record; columns of one object have equal length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

#: Larger numbers are no readings, in files and on the wire. A float32 holds what is within.
LARGEST = 1e30

#: The last millisecond of the year 9999.
LAST_TIMESTAMP = 253_402_300_799_999

#: What the service itself remembers of a stream, before any model's tensors. All zeros = never seen.
ROW_PREFIX = np.dtype(
    [
        ("last_slot", "<i8"),  # slot of the last step, in intervals since the epoch
        ("last_timestamp", "<i8"),  # stamp of the last accepted reading, ms
        ("phase", "<f8"),  # where in its slot this sensor reads, ms (DESIGN: phase lock)
        ("observations", "<i8"),  # accepted readings since the row started; 0 = never seen
        ("late_timestamp", "<i8"),  # stamp of the last late reading, ms
        ("late_run", "<i8"),  # late readings in a row, in increasing order
    ]
)


@dataclass(frozen=True, slots=True)
class Damage:
    """A record batch, or the rest of one, that cannot be read. `error` and `reason` as a dead letter has them."""

    first: int  # offset
    last: int  # offset
    codec: str
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """What one poll brought from one partition, in offset order.

    A record batch that cannot be read is one entry, at its first offset: no key, and its bytes as they lie in the log
    as value.
    """

    topic: str
    partition: int
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps: Int64  # the broker's record time, ms
    offsets: Int64
    damaged: Mapping[int, Damage] = field(default_factory=dict)  # by the entry's offset
    end: int | None = None  # the position behind it, where that is not right behind the last record

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Observations:
    """Decoded records of one partition, in offset order. `value` is [n, channels]; NaN = missing."""

    partition: int
    streams: list[bytes]
    timestamps: Int64  # the reading's own stamp, ms since the epoch, UTC
    values: Float64
    record_times: Int64  # the broker's record time, ms
    offsets: Int64

    def __len__(self) -> int:
        return len(self.streams)


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Records of one partition with a key and no value, in offset order: each asks to forget its stream."""

    streams: list[bytes]
    offsets: Int64

    def __len__(self) -> int:
        return len(self.streams)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was not forecast, whole, with where it came from and why. `error` is a short stable
    word (a metric's label), `reason` a sentence for a person."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    error: str
    reason: str
    damage: Damage | None = None  # it stands for more than one record


def next_offset(batch: PartitionBatch) -> int:
    """The offset to commit once `batch` is done: the one after its last record, and after the records behind it that
    nobody is to see. The only place with this +1."""
    return int(batch.offsets[-1]) + 1 if batch.end is None else batch.end
