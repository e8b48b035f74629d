"""Shared by both ways of reading fetched batches:
limits, and placeholders for batches that cannot be read.

An unreadable batch would be fetched again forever. So it becomes one entry among the records, at
its first offset, with a description; the service writes it to the dead letters and continues after
the batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from eddycast.service.broker.kafka.batch_header import HEAD, Head
from eddycast.service.broker.kafka.compression import TooLarge, name, unpacked
from eddycast.service.broker.kafka.record_decoder import Columns
from eddycast.service.records import Damage

T = TypeVar("T")


class Screen:
    """Checks on the batches of one consumer; a batch may unpack to `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._suspects: set[Hashable] = set()

    def is_suspect(self, *place: Hashable) -> bool:
        """True if the batch at this place has failed its checksum before. The first time it may
        have been damaged in transit and is fetched again."""
        known = place in self._suspects
        self._suspects.add(place)
        return known

    def unpacked(self, head: Head, batch: bytes) -> bytes:
        """Decompressed records of a batch, which includes its header. Raises Corrupt, TooLarge."""
        return unpacked(head.codec, batch[HEAD.size :], self.limit)

    def damage(self, head: Head, size: int, why: Exception, first: int | None = None) -> Damage:
        """Description of a damaged batch of `size` bytes;
        `first` is the offset of its first unreadable record."""
        first = head.first if first is None else first
        codec, too_large = name(head.codec), isinstance(why, TooLarge)
        what = f"a record batch ({codec}, {size} bytes, {head.records} records)"
        fault = (
            f"that unpacks to more than {self.limit} bytes"
            if too_large
            else f"cannot be read: {why}"
        )
        reason = f"offsets {first} to {head.last}: {what} {fault}"
        return Damage(first, head.last, codec, "too_large" if too_large else "undecodable", reason)


def stand_in(damage: Damage, head: Head, batch: bytes) -> Columns:
    """The entry that replaces the unreadable records of a batch."""
    times, offsets = np.array([head.last_time], np.int64), np.array([damage.first], np.int64)
    return Columns([None], [batch], times, offsets, damage=damage)


class DamagedValue(bytes):
    """Value of a record that replaces the unreadable records of a batch: the bytes of the batch."""

    damage: Damage

    @classmethod
    def of(cls, damage: Damage, batch: bytes) -> DamagedValue:
        """`batch` as the value of a record."""
        value = cls(batch)
        value.damage = damage
        return value


class Taken(Generic[T]):
    """Records or columns for the fetcher, which counts them by `len` and passes them on by
    iteration; the length is their weight."""

    def __init__(self, things: Sequence[T], weight: int) -> None:
        self._things, self._weight = things, weight

    def __len__(self) -> int:
        return self._weight

    def __iter__(self) -> Iterator[T]:
        return iter(self._things)
