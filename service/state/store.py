"""All rows of one service, and what the changelog is told of them. Joins the arena, its journal and the evictions:
they change together, become durable together and go back together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from service.bundle import Manifest
from service.eviction import Eviction
from service.state.adoption import Adopted, Adoption, unserved
from service.state.arena import Arena
from service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec
from service.state.journal import Journal
from service.stream_time import Clock


@dataclass(frozen=True, slots=True)
class Changes:
    """Records for one partition of the changelog, in columns. A value of None is a tombstone."""

    keys: list[bytes | None]
    values: list[bytes | None]
    rows: int  # and tombstones among them


class Store:
    """Rows in memory, durable by what `changes` gives to the changelog."""

    def __init__(self, manifest: Manifest, state_ttl_ms: int, max_gap: int, far_future_ms: int) -> None:
        """Streams idle for `state_ttl_ms` are forgotten, or for `max_gap` intervals if that is longer. One record takes
        stream time no further than `far_future_ms` from what others say, or two intervals if that is longer."""
        self.arena = Arena(manifest.state)
        self.journal = Journal(self.arena)
        self.codec = RowCodec(manifest.state)
        self.adoption = Adoption(unserved(manifest, self.codec.layout), bool(manifest.parts))
        self._adopted: dict[int, Adopted] = {}
        self._declared: set[int] = set()  # partitions whose model record is in the open transaction
        interval_ms = manifest.interval_ms
        self.eviction = Eviction(
            self.journal, state_ttl_ms, max_gap * interval_ms, leap_ms=max(far_future_ms, 2 * interval_ms)
        )

    def start(self, partition: int, clock: Clock, adopted: Adopted) -> None:
        """The partition goes on from this time, under this model."""
        self.eviction.start(partition, clock)
        self._adopted[partition] = adopted

    def changes(self, partition: int, next_offset: int) -> Changes:
        """What changed since the last commit: the model and its layout, if they are not recorded yet; each row touched,
        once; tombstones; and the marker."""
        streams, slots = self.journal.rows(partition)
        gone = self.journal.gone(partition)
        generation = self._adopted[partition].model.generation
        marker = Marker(next_offset, self.arena.count(partition), self.eviction.clock(partition), generation)
        records = self._declare(partition)
        return Changes(
            [*records, *streams, *gone, MARKER_KEY],
            [
                *records.values(),
                *self.codec.encode(self.arena.prefix[slots], self.arena.gather(slots), generation),
                *[None] * len(gone),
                self.codec.encode_marker(marker),
            ],
            len(streams) + len(gone),
        )

    def _declare(self, partition: int) -> dict[bytes, bytes]:
        """The records that come before the first row of a model."""
        adopted = self._adopted[partition]
        records = {} if adopted.has_layout else dict([self.codec.layout_record()])
        if not adopted.is_recorded:
            self._declared.add(partition)
            records[MODEL_KEY] = self.codec.encode_model(adopted.model)
        return records

    def commit(self) -> None:
        """Everything is durable as it is."""
        self.journal.commit()
        self.eviction.commit()
        for partition in self._declared:
            self._adopted[partition] = replace(self._adopted[partition], is_recorded=True, has_layout=True)
        self._declared.clear()

    def roll_back(self) -> None:
        """Everything is as at the last commit."""
        self.journal.roll_back()
        self.eviction.roll_back()
        self._declared.clear()

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are another member's, or are restored anew."""
        self.journal.forget(partitions)
        self.eviction.forget(partitions)
        self._declared.difference_update(partitions)
        for partition in partitions:
            self._adopted.pop(partition, None)
            self.arena.free_partition(partition)
