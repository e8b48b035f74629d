"""All rows of one service, and what the changelog is told of them. Joins the arena, its journal and the evictions:
they change together, become durable together and go back together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from service.bundle import Manifest
from service.state.adoption import Adopted, Adoption, unserved
from service.state.arena import Arena
from service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec
from service.state.eviction import Eviction
from service.state.journal import Journal
from service.state.partition_rows import PartitionRows
from service.state.stream_time import Clock


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
        self._partitions = defaultdict[int, PartitionRows](PartitionRows)
        self.journal = Journal(self.arena, self._partitions)
        self.codec = RowCodec(manifest.state)
        self.adoption = Adoption(unserved(manifest, self.codec.layout), bool(manifest.parts))
        interval_ms = manifest.interval_ms
        self.eviction = Eviction(
            self.journal,
            self._partitions,
            state_ttl_ms,
            max_gap * interval_ms,
            leap_ms=max(far_future_ms, 2 * interval_ms),
        )

    def start(self, partition: int, clock: Clock, adopted: Adopted) -> PartitionRows:
        """The partition goes on from this time, under this model."""
        rows = self._partitions[partition] = PartitionRows(clock, clock, adopted)
        return rows

    def changes(self, partition: int, next_offset: int) -> Changes:
        """What changed since the last commit: the model and its layout, if they are not recorded yet; each row touched,
        once; tombstones; and the marker."""
        streams, slots = self.journal.rows(partition)
        gone = self.journal.gone(partition)
        adopted = self._adopted(partition)
        generation = adopted.model.generation
        marker = Marker(next_offset, self.arena.count(partition), self.eviction.clock(partition), generation)
        records = self._declare(partition, adopted)
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

    def _adopted(self, partition: int) -> Adopted:
        adopted = self._partitions[partition].adopted
        if adopted is None:
            raise ValueError(f"partition {partition} was not started")
        return adopted

    def _declare(self, partition: int, adopted: Adopted) -> dict[bytes, bytes]:
        """The records that come before the first row of a model."""
        records = {} if adopted.has_layout else dict([self.codec.layout_record()])
        if not adopted.is_recorded:
            self._partitions[partition].is_declared = True
            records[MODEL_KEY] = self.codec.encode_model(adopted.model)
        return records

    def commit(self) -> None:
        """Everything is durable as it is."""
        self.journal.commit()
        self.eviction.commit()
        for rows in self._partitions.values():
            if rows.is_declared and rows.adopted is not None:
                rows.adopted = replace(rows.adopted, is_recorded=True, has_layout=True)
            rows.is_declared = False

    def roll_back(self) -> None:
        """Everything is as at the last commit."""
        self.journal.roll_back()
        self.eviction.roll_back()
        for rows in self._partitions.values():
            rows.is_declared = False

    def close(self, partition: int) -> None:
        """Free the rows of a partition and everything kept about them."""
        self.journal.release(self._partitions.pop(partition, PartitionRows()))
        self.arena.free_partition(partition)
