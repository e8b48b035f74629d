"""Rows in memory that a history is stepped into, and what of them is written for a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eddycast.service.delivery.schema_registry import SchemaRegistry
from eddycast.service.errors import StateError
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.chunk_stepper import ChunkStepper
from eddycast.service.processing.chunks import Decoded
from eddycast.service.processing.stage import no_stage
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.state import StateSettings
from eddycast.service.state.changelog import Marker, RowCodec, row_bytes
from eddycast.service.state.model_record import ModelRecord, initial_record
from eddycast.service.state.room import fitting_streams
from eddycast.service.state.store import Store


class SeedRows:
    """The rows of all partitions of a group. A `RowSource`."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        """This process holds all rows of the group, so only memory limits them."""
        manifest, time = runtime.manifest, settings.time
        room = StateSettings(max_streams=fitting_streams(row_bytes(manifest, time)))
        settings = settings.model_copy(update={"state": room})
        self._store = Store(manifest, time)
        schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
        self._stepper = ChunkStepper(runtime, self._store, settings, no_stage, schemas)
        self._max_steps = settings.commit.max_steps
        self._model = initial_record(manifest, self._store.codec.layout)

    def __len__(self) -> int:
        return len(self._store.arena)

    @property
    def codec(self) -> RowCodec:
        return self._store.codec

    @property
    def model(self) -> ModelRecord:
        return self._model

    def decode(self, batches: Sequence[PartitionBatch]) -> list[Decoded]:
        """Decode records of the input, as they come next."""
        return self._stepper.decode(batches)

    def step(self, decoded: Sequence[Decoded]) -> None:
        """Step readings of each partition that come next. Raises StateError if there are more
        streams than fit into memory."""
        for chunk in self._stepper.cut(decoded, self._max_steps):
            stepped = self._stepper.step(chunk, forecast=False)
            if any(letter.error == "too_many_streams" for letter in stepped.letters):
                raise StateError(
                    f"the rows of more than {len(self):,} streams do not fit into memory",
                    "run it on a machine with more memory, or select streams with input.streams",
                )
            for one in chunk:
                self._store.journal.remove(one.batch.partition, one.tombstones.streams)
                self._store.eviction.advance(one.batch, one.observations.timestamps)
            self._store.commit()

    def marker(self, partition: int, next_offset: int) -> Marker:
        """The marker of a partition whose input is read up to an offset."""
        clock = self._store.eviction.clock(partition)
        return Marker(next_offset, self._store.arena.count(partition), clock)

    def without_row(self, streams: Mapping[int, Sequence[bytes]]) -> dict[int, list[bytes]]:
        """Those of the streams, by partition, that have no row here."""
        find = self._store.arena.find
        return {
            partition: [stream for stream in own if find(partition, stream) is None]
            for partition, own in streams.items()
        }

    def streams(self, partition: int) -> list[bytes]:
        """The streams of a partition."""
        return self._store.arena.streams(partition)

    def encoded(self, partition: int, part: slice) -> list[bytes]:
        """The rows of some of them, as values of the changelog."""
        arena = self._store.arena
        slots = arena.held(partition)[part]
        return self.codec.encode(arena.prefix[slots], arena.gather(slots))
