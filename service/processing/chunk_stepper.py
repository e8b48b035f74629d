"""Decode polled records and step what they hold: everything of a chunk but its forecasts' encoding.

    decode -> (cut into chunks) -> align ... forecast

`Processor` encodes the results; `eddycast state seed` keeps the rows alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eddycast.service.formats.json_decoder import tombstones
from eddycast.service.formats.schemas import NO_SCHEMAS, Schemas
from eddycast.service.humanize import many
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.chunks import Decoded, cut_into_chunks
from eddycast.service.processing.counting import with_counts
from eddycast.service.processing.decoding import decode_without, decoder_for
from eddycast.service.processing.demand import StepEstimator
from eddycast.service.processing.grid_check import check_joined
from eddycast.service.processing.missing_codes import MissingCodes
from eddycast.service.processing.outputs import letters_for
from eddycast.service.processing.stage import Stage
from eddycast.service.processing.stepping import Stepped, Stepping
from eddycast.service.processing.stream_limit import Admission
from eddycast.service.records import DeadLetter, Observations, PartitionBatch
from eddycast.service.settings.settings import Settings
from eddycast.service.state.store import Store


@dataclass(frozen=True, slots=True)
class SteppedChunk:
    """Results of a chunk before they are encoded."""

    stepped: Stepped
    letters: list[DeadLetter]  # of records that could not be decoded or had no room
    codes: int  # number of readings that were codes for a missing value


class ChunkStepper:
    """Decoder and engine of one service."""

    def __init__(
        self,
        runtime: Runtime,
        store: Store,
        settings: Settings,
        stage: Stage,
        schemas: Schemas = NO_SCHEMAS,
    ) -> None:
        """`stage` is entered around each stage of the work, see `engine.Stage`. `schemas` has
        those of Avro records. Raises SettingsError for settings that do not fit the model."""
        manifest, time = runtime.manifest, settings.time
        channels = len(manifest.read_channels)
        check_joined(settings)
        self._store, self._max_streams, self._stage = store, settings.state.max_streams, stage
        self._stepping = Stepping(runtime, store, settings, stage)
        self._decoder = decoder_for(settings, channels, schemas)
        self._admission = Admission(store.arena, self._max_streams)
        codes = settings.input.chosen_codes(manifest.codes[:channels], channels)
        self._codes, self._counts = MissingCodes(codes), manifest.count_channel is not None
        interval_ms, held = manifest.interval_ms, time.held_steps(manifest.interval_ms)
        longest = time.longest_gap(manifest.longest_gap(time.state_ttl_ms), interval_ms)
        stepped = manifest.max_gap if manifest.jumps else None
        self._steps = StepEstimator(store.arena, interval_ms, longest, stepped, held)

    def decode(
        self,
        batches: Sequence[PartitionBatch],
        quarantined: Collection[tuple[int, int]] = (),
    ) -> list[Decoded]:
        """Decode a poll. Records at a (partition, offset) in `quarantined` become dead letters
        without being decoded."""
        with self._stage("decode"):
            return [self._decode(batch, quarantined) for batch in batches]

    def cut(
        self, decoded: Sequence[Decoded], at_most: int, costing: float = math.inf
    ) -> Iterator[list[Decoded]]:
        """Yield chunks of about `at_most` steps that cost about `costing`.

        Each must be stepped, and the store's clocks advanced, before the next one is requested.
        """
        yield from cut_into_chunks(
            decoded, self._steps, self._store.eviction.cuts, at_most, costing
        )

    def step(self, chunk: list[Decoded], *, forecast: bool = True) -> SteppedChunk:
        """Step every observation of a chunk; changes the state rows, in the same way with and
        without multi-step forecasts (`forecast`)."""
        readings, codes = self._codes.clear([one.observations for one in chunk])
        if self._counts:
            readings = [replace(one, values=with_counts(one.values)) for one in readings]
        letters = [letter for one in chunk for letter in one.letters]
        refused = self._admission.refused(readings, [one.tombstones for one in chunk])
        if refused is not None:
            letters += self._too_many(chunk, refused)
        contradicted = self._contradicted(readings)
        stepped = self._stepping.run(chunk, readings, contradicted, refused, forecast=forecast)
        return SteppedChunk(stepped, letters, codes)

    def _contradicted(self, observations: list[Observations]) -> NDArray[np.bool_]:
        """Return bool [n], over all partitions:
        readings whose stamps contradict their partition's stream time."""
        eviction = self._store.eviction
        return np.concatenate(
            [eviction.contradicted(one.partition, one.timestamps) for one in observations]
        )

    def _too_many(self, chunk: list[Decoded], refused: list[NDArray[np.bool_]]) -> list[DeadLetter]:
        most = self._max_streams
        limit = "" if most is None else f" (limit: {many(most, 'stream')}, memory permitting)"
        reason = f"the stream is new and this process has no room for it{limit}"
        letters: list[DeadLetter] = []
        for one, column in zip(chunk, refused, strict=True):
            which = np.flatnonzero(column)
            letters += letters_for(one.batch, one.observations, which, "too_many_streams", reason)
        return letters

    def _decode(self, batch: PartitionBatch, quarantined: Collection[tuple[int, int]]) -> Decoded:
        skip = {
            offset for partition, offset in quarantined if partition == batch.partition
        } | batch.damaged.keys()
        latest = self._decoder.latest(batch, self._store.eviction.clock(batch.partition))
        removals = tombstones(batch)
        if not len(removals) and not (skip and skip & set(batch.offsets.tolist())):
            return Decoded(batch, *self._decoder.decode(batch, latest), removals)
        return decode_without(self._decoder, batch, skip, latest, removals)
