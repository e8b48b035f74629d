"""What both ways of reading fetched batches share: how much is taken, and what stands for a batch that cannot be read.

Kafka does not lose a batch that nobody can read: it is fetched again for ever. So it becomes one entry among the
records, at its first offset, which says what it was; the service makes a dead letter of it and goes on behind it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from service.broker.kafka.compression import TooLarge, name, unpacked
from service.broker.kafka.record_format import HEAD, Columns, Head
from service.records import Damage

T = TypeVar("T")


class Screen:
    """How one consumer reads batches: one may unpack to `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._suspects: set[Hashable] = set()

    def is_suspect(self, *place: Hashable) -> bool:
        """Whether the batch at this place failed its checksum before, too. The first time it may be the way here that
        damaged it: then it is to be fetched again."""
        known = place in self._suspects
        self._suspects.add(place)
        return known

    def unpacked(self, head: Head, batch: bytes) -> bytes:
        """The records of a batch, which is given with its head. Raises Corrupt, TooLarge."""
        return unpacked(head.codec, batch[HEAD.size :], self.limit)

    def damage(self, head: Head, size: int, why: Exception, first: int | None = None) -> Damage:
        """What is to be said of a batch of `size` bytes; `first` is the offset of the first record that is not read."""
        first = head.first if first is None else first
        codec, too_large = name(head.codec), isinstance(why, TooLarge)
        what = f"offsets {first} to {head.last}: a record batch ({codec}, {size} bytes, {head.records} records)"
        reason = f"{what} {f'that unpacks to more than {self.limit} bytes' if too_large else f'cannot be read: {why}'}"
        return Damage(first, head.last, codec, "too_large" if too_large else "undecodable", reason)


def stand_in(damage: Damage, head: Head, batch: bytes) -> Columns:
    """The entry for what cannot be read of a batch."""
    times, offsets = np.array([head.last_time], np.int64), np.array([damage.first], np.int64)
    return Columns([None], [batch], times, offsets, damage=damage)


class DamagedValue(bytes):
    """The value of a single record that stands for what cannot be read: the batch."""

    damage: Damage

    @classmethod
    def of(cls, damage: Damage, batch: bytes) -> DamagedValue:
        """`batch` as a value."""
        value = cls(batch)
        value.damage = damage
        return value


class Taken(Generic[T]):
    """What the fetcher counts by its length and hands on by iteration: weights by number, records or columns as
    things."""

    def __init__(self, things: Sequence[T], weight: int) -> None:
        self._things, self._weight = things, weight

    def __len__(self) -> int:
        return self._weight

    def __iter__(self) -> Iterator[T]:
        return iter(self._things)
