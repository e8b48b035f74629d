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

from eddycast.service.formats.schemas import NO_SCHEMAS, Schemas
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.chunk_stepper import ChunkStepper
from eddycast.service.processing.chunks import Decoded
from eddycast.service.processing.demand import cost
from eddycast.service.processing.encoding import encoder_for
from eddycast.service.processing.engine import Forecasts
from eddycast.service.processing.forwarding import with_headers, with_tombstones
from eddycast.service.processing.outputs import (
    Output,
    OutputLimits,
    PartitionForecasts,
    encode_dead_letters,
    encode_forecasts,
    forecasts_by_partition,
    late_letters,
    merged_letters,
    split_oversized,
)
from eddycast.service.processing.stage import Stage
from eddycast.service.records import (
    DeadLetter,
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
    verdicts: NDArray[np.int8]  # `alignment.Verdict` of each reading, but for refused ones
    gathered: NDArray[np.int8]  # verdicts of readings that have no step of their own
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
        schemas: Schemas = NO_SCHEMAS,
    ) -> None:
        """`stage` is entered around each stage of the work, see `engine.Stage`. `schemas` has
        those of Avro records, if the settings ask for Avro."""
        self._settings, self._limits, self._stage = settings, limits, stage
        self._stepper = ChunkStepper(runtime, store, settings, stage, schemas)
        self._encoder = encoder_for(runtime, settings.output, schemas)
        self._headers = settings.output.chosen_headers

    def chunks(
        self,
        batches: Sequence[PartitionBatch],
        quarantined: Collection[tuple[int, int]],
        at_most: int,
        costing: float,
    ) -> Iterator[list[Decoded]]:
        """Decode a poll and yield chunks of about `at_most` steps that cost about `costing`.

        Each chunk must be `run` before the next one is requested. `quarantined` as in
        `ChunkStepper.decode`.
        """
        yield from self._stepper.cut(self._stepper.decode(batches, quarantined), at_most, costing)

    def run(self, chunk: list[Decoded]) -> Processed:
        """Step every observation of a chunk and encode the results; changes the state rows."""
        found = self._stepper.step(chunk)
        stepped, letters = found.stepped, found.letters
        observations, forecasts = stepped.observations, stepped.forecasts
        if self._settings.time.late == "dead_letter":
            records = [one.batch for one in chunk]
            letters = letters + late_letters(records, stepped.readings, stepped.verdicts)
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
        return Processed(
            chunk,
            forecasts,
            parts,
            letters,
            outputs,
            stepped.verdicts,
            stepped.gathered,
            found.codes,
            filtered,
        )
