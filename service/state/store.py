"""The state of one service: arena, journal and eviction, which change,
commit and roll back together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from eddycast.service.bundle import Manifest
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.adoption import Adopted, Adoption
from eddycast.service.state.arena import Arena
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec
from eddycast.service.state.eviction import Eviction
from eddycast.service.state.journal import Journal
from eddycast.service.state.model_record import initial_record
from eddycast.service.state.own_tensors import row_specs
from eddycast.service.state.partition_rows import PartitionRows
from eddycast.service.state.stream_time import Clock


@dataclass(frozen=True, slots=True)
class Changes:
    """Records for one changelog partition, in columns; a value of None is a tombstone."""

    keys: list[bytes | None]
    values: list[bytes | None]
    rows: int  # number of rows and tombstones


class Store:
    """Rows in memory, made durable by writing `changes` to the changelog."""

    def __init__(
        self,
        manifest: Manifest,
        time: TimeSettings,
        generation: int = 0,
    ) -> None:
        """Create an empty store for a bundle. `generation` is the number of a registry's change,
        or 0.

        Streams idle for `time.state_ttl_s`, or for the longest gap that the settings and the bundle
        allow if that is longer, are evicted. One record moves stream time by at most
        `time.far_future_s`, or two intervals if that is longer.
        """
        self._time = time
        self.use(manifest, generation)

    def use(self, manifest: Manifest, generation: int) -> None:
        """Become the empty store of another bundle. All partitions must have been closed, so that
        rows of two layouts are never in memory together."""
        time, specs = self._time, row_specs(manifest, self._time)
        self.arena = Arena(specs)
        self._partitions = defaultdict[int, PartitionRows](PartitionRows)
        self.journal = Journal(self.arena, self._partitions)
        self.codec = RowCodec(specs)
        self.adoption = Adoption(
            initial_record(manifest, self.codec.layout, generation), bool(manifest.parts)
        )
        interval_ms = manifest.interval_ms
        self.eviction = Eviction(
            self.journal,
            self._partitions,
            time.state_ttl_ms,
            time.longest_gap(manifest.longest_gap(time.state_ttl_ms), interval_ms) * interval_ms,
            leap_ms=max(time.far_future_ms, 2 * interval_ms),
        )

    def rows(self, partition: int) -> PartitionRows:
        """Facts about the rows of a partition."""
        return self._partitions[partition]

    def start(self, partition: int, clock: Clock, adopted: Adopted) -> PartitionRows:
        """Serve a partition from this clock on, under this model record."""
        rows = self._partitions[partition] = PartitionRows(clock, clock, adopted)
        return rows

    def changes(self, partition: int, next_offset: int) -> Changes:
        """Return the changelog records for all changes since the last commit.

        These are the model and layout records if missing, each touched row once, tombstones, and
        last the marker with `next_offset`, the input offset to resume from.
        """
        streams, slots = self.journal.rows(partition)
        gone = self.journal.gone(partition)
        adopted = self._adopted(partition)
        generation = adopted.model.generation
        marker = Marker(
            next_offset, self.arena.count(partition), self.eviction.clock(partition), generation
        )
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
        """Return the layout and model records that precede the first row of a model, if missing."""
        rows = self._partitions[partition]
        rows.is_declared = not (adopted.is_recorded and adopted.has_layout)
        records = {} if adopted.has_layout else dict([self.codec.layout_record()])
        if not adopted.is_recorded:
            records[MODEL_KEY] = self.codec.encode_model(adopted.model)
        return records

    def commit(self) -> None:
        """Mark all changes as durable."""
        self.journal.commit()
        self.eviction.commit()
        for rows in self._partitions.values():
            if rows.is_declared and rows.adopted is not None:
                rows.adopted = replace(rows.adopted, is_recorded=True, has_layout=True)
            rows.is_declared = False

    def roll_back(self) -> None:
        """Reset everything to the last commit."""
        self.journal.roll_back()
        self.eviction.roll_back()
        for rows in self._partitions.values():
            rows.is_declared, rows.earliest_due = False, None

    def close(self, partition: int) -> None:
        """Free the rows of a partition and everything kept about them."""
        self.journal.release(self._partitions.pop(partition, PartitionRows()))
        self.arena.free_partition(partition)
