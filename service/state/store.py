"""All rows of one service, and what the changelog is told of them. Joins the arena, its journal and the evictions:
they change together, become durable together and go back together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from service.bundle import Manifest
from service.eviction import Eviction
from service.state.arena import Arena
from service.state.changelog import MARKER_KEY, Marker, RowCodec
from service.state.journal import Journal


@dataclass(frozen=True, slots=True)
class Changes:
    """Records for one partition of the changelog, in columns. A value of None is a tombstone."""

    keys: list[bytes | None]
    values: list[bytes | None]


class Store:
    """Rows in memory, durable by what `changes` gives to the changelog."""

    def __init__(self, manifest: Manifest, state_ttl_ms: int, max_gap: int, far_future_ms: int) -> None:
        """Streams idle for `state_ttl_ms` are forgotten, or for `max_gap` intervals if that is longer. One record takes
        stream time no further than `far_future_ms` from what others say, or two intervals if that is longer."""
        self.arena = Arena(manifest.state)
        self.journal = Journal(self.arena)
        self.codec = RowCodec(manifest.state, manifest.layout_id)
        interval_ms = manifest.interval_ms
        self.eviction = Eviction(
            self.journal, state_ttl_ms, max_gap * interval_ms, leap_ms=max(far_future_ms, 2 * interval_ms)
        )

    def changes(self, partition: int, next_offset: int) -> Changes:
        """What changed since the last commit: each row touched, once; tombstones; and the marker."""
        streams, slots = self.journal.rows(partition)
        gone = self.journal.gone(partition)
        marker = Marker(next_offset, self.arena.count(partition), self.eviction.clock(partition))
        return Changes(
            [*streams, *gone, MARKER_KEY],
            [
                *self.codec.encode(self.arena.prefix[slots], self.arena.gather(slots)),
                *[None] * len(gone),
                self.codec.encode_marker(marker),
            ],
        )

    def commit(self) -> None:
        """Everything is durable as it is."""
        self.journal.commit()
        self.eviction.commit()

    def roll_back(self) -> None:
        """Everything is as at the last commit."""
        self.journal.roll_back()
        self.eviction.roll_back()

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are another member's, or are restored anew."""
        self.journal.forget(partitions)
        self.eviction.forget(partitions)
        for partition in partitions:
            self.arena.free_partition(partition)
