"""Process polled records into records to produce, chunk by chunk.

    decode -> (cut into chunks) -> align ... forecast -> encode

Reads and writes state rows but does not use the broker,
so a failure here is caused by a record or by a bug.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddycast.service.formats.json_decoder import tombstones
from eddycast.service.humanize import many
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.chunks import Decoded, cut_into_chunks, select
from eddycast.service.processing.decoding import decode_without, decoder_for
from eddycast.service.processing.demand import StepEstimator, cost
from eddycast.service.processing.encoding import SchemaIds, encoder_for, no_schema_ids
from eddycast.service.processing.engine import Engine, Forecasts
from eddycast.service.processing.forwarding import with_headers, with_tombstones
from eddycast.service.processing.missing_codes import MissingCodes
from eddycast.service.processing.outputs import (
    Output,
    OutputLimits,
    PartitionForecasts,
    encode_dead_letters,
    encode_forecasts,
    forecasts_by_partition,
    late_letters,
    letters_for,
    merged_letters,
    split_oversized,
)
from eddycast.service.processing.stage import Stage
from eddycast.service.processing.stream_limit import Admission
from eddycast.service.records import (
    DeadLetter,
    Observations,
    PartitionBatch,
)
from eddycast.service.settings.settings import Settings
from eddycast.service.state.store import Store


@dataclass(frozen=True, slots=True)
class Processed:
    """Results of a chunk. `outputs` must be produced in this order."""

    chunk: list[Decoded]
    forecasts: Forecasts
    partition_forecasts: list[PartitionForecasts]
    letters: list[DeadLetter]
    outputs: list[Output]
    codes: int  # number of readings that were codes for a missing value
    filtered: int  # number of readings that the settings pass over

    @property
    def records(self) -> int:
        """Number of records in the chunk."""
        return sum(len(one.batch) for one in self.chunk)

    @property
    def steps(self) -> int:
        """Number of rows stepped by the graph."""
        return int(self.forecasts.step_rows.sum())

    @property
    def cost(self) -> float:
        """Cost in units of one call with few rows (`demand.cost`)."""
        return cost(len(self.forecasts.step_rows), self.steps)


class Processor:
    """Decoder, engine and encoder of one service."""

    def __init__(
        self,
        runtime: Runtime,
        store: Store,
        settings: Settings,
        limits: OutputLimits,
        stage: Stage,
        schema_ids: SchemaIds = no_schema_ids,
    ) -> None:
        """`stage` is entered around each stage of the work, see `engine.Stage`. `schema_ids` has
        the ids of Avro schemas, if the settings ask for Avro."""
        manifest = runtime.manifest
        self._store, self._settings, self._limits, self._stage = store, settings, limits, stage
        self._engine = Engine(
            runtime,
            store.arena,
            max_gap=manifest.longest_gap(settings.time.state_ttl_ms, settings.time.max_gap),
            forecast_every=settings.engine.forecast_every,
            touch=store.journal.touch,
        )
        self._decoder = decoder_for(settings, len(manifest.channels))
        self._encoder = encoder_for(runtime, settings.output, schema_ids)
        self._headers = settings.output.chosen_headers
        self._admission = Admission(store.arena, settings.state.max_streams)
        self._codes = MissingCodes(
            settings.input.chosen_codes(manifest.codes, len(manifest.channels))
        )
        stepped = manifest.max_gap if manifest.jumps else None
        self._steps = StepEstimator(
            store.arena, manifest.interval_ms, self._engine.max_gap, stepped
        )

    def chunks(
        self,
        batches: Sequence[PartitionBatch],
        quarantined: Collection[tuple[int, int]],
        at_most: int,
        costing: float,
    ) -> Iterator[list[Decoded]]:
        """Decode a poll and yield chunks of about `at_most` steps that cost about `costing`.

        Each chunk must be `run` before the next one is requested. Records at a (partition, offset)
        in `quarantined` become dead letters without being decoded.
        """
        with self._stage("decode"):
            decoded = [self._decode(batch, quarantined) for batch in batches]
        yield from cut_into_chunks(
            decoded, self._steps, self._store.eviction.cuts, at_most, costing
        )

    def run(self, chunk: list[Decoded]) -> Processed:
        """Step every observation of a chunk and encode the results; changes the state rows."""
        observations, codes = self._codes.clear([one.observations for one in chunk])
        letters = [letter for one in chunk for letter in one.letters]
        contradicted = self._contradicted(observations)
        if (
            refused := self._admission.refused(observations, [one.tombstones for one in chunk])
        ) is not None:
            letters += self._too_many(chunk, refused)
            kept = [np.flatnonzero(~column) for column in refused]
            observations = [select(one, here) for one, here in zip(observations, kept, strict=True)]
            contradicted = contradicted[~np.concatenate(refused)]
        forecasts = self._engine.run(observations, self._stage, contradicted=contradicted)
        if self._settings.time.late_to_dead_letters:
            letters += late_letters([one.batch for one in chunk], observations, forecasts)
        topics = self._settings.topics
        parts = forecasts_by_partition(observations, forecasts)
        with self._stage("encode"):
            batches = {one.batch.partition: one.batch for one in chunk}
            outputs = [
                encode_forecasts(topics.output, part, forecasts, self._encoder) for part in parts
            ]
            if self._headers:
                outputs = [
                    with_headers(output, batches[output.partition], self._headers)
                    for output in outputs
                ]
            outputs, large = split_oversized(outputs, parts, batches, self._limits.output_bytes)
            if self._settings.output.tombstones:
                outputs = with_tombstones(topics.output, outputs, chunk)
            letters = merged_letters(letters + large)
            outputs += encode_dead_letters(topics.dead_letters, letters, self._limits.letter_bytes)
        filtered = sum(len(one.filtered) for one in chunk)
        return Processed(chunk, forecasts, parts, letters, outputs, codes, filtered)

    def _contradicted(self, observations: list[Observations]) -> NDArray[np.bool_]:
        """Return bool [n], over all partitions:
        readings whose stamps contradict their partition's stream time."""
        eviction = self._store.eviction
        return np.concatenate(
            [eviction.contradicted(one.partition, one.timestamps) for one in observations]
        )

    def _too_many(self, chunk: list[Decoded], refused: list[NDArray[np.bool_]]) -> list[DeadLetter]:
        most = self._settings.state.max_streams
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
