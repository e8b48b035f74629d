"""The middle of the path of a record: from what a poll brought to what is produced, in portions.

    decode -> (cut into portions) -> align ... forecast -> encode

It reads and writes rows and asks no broker. What fails here is the fault of a record, or ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from service.codec import Decoder, Encoder
from service.demand import Steps, cost
from service.engine import Engine, Forecasts, Stage
from service.missing_codes import OF_BUNDLE, MissingCodes, chosen_codes
from service.model.runtime import Runtime
from service.outputs import Output, Share, dead, encoded, fitting, late_letters, shares
from service.portions import Decoded, portions
from service.records import DeadLetter, PartitionBatch
from service.state.store import Store

_FAILED = "it failed again and again, also alone"


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """What this needs of the settings."""

    output_topic: str
    dead_letter_topic: str
    max_gap: int | None
    forecast_every: int
    far_future_ms: int
    late_to_dead_letters: bool
    max_output_bytes: int
    max_letter_bytes: int
    codes: str = OF_BUNDLE


@dataclass(frozen=True, slots=True)
class Done:
    """A portion of which every record was looked at. `outputs` are to be produced, in this order."""

    portion: list[Decoded]
    forecasts: Forecasts
    shares: list[Share]
    letters: list[DeadLetter]
    outputs: list[Output]
    codes: int  # readings that were a code for a missing value

    @property
    def steps(self) -> int:
        """Steps of the graph that this took."""
        return int(self.forecasts.step_rows.sum())

    @property
    def cost(self) -> float:
        """What that cost, in units of a call with few rows."""
        return cost(len(self.forecasts.step_rows), self.steps)


class Work:
    """Decoder, engine and encoder of one service."""

    def __init__(self, runtime: Runtime, store: Store, options: WorkOptions, stage: Stage) -> None:
        """`stage` measures."""
        manifest = runtime.manifest
        self._store, self._options, self._stage = store, options, stage
        self._engine = Engine(
            runtime,
            store.arena,
            max_gap=options.max_gap,
            forecast_every=options.forecast_every,
            touch=store.journal.touch,
        )
        self._decoder = Decoder(len(manifest.channels), options.far_future_ms)
        self._encoder = Encoder(manifest)
        self._codes = MissingCodes(chosen_codes(options.codes, manifest.codes, len(manifest.channels)))
        self._steps = Steps(store.arena, manifest.interval_ms, self._engine.max_gap)

    def portions(
        self, batches: Sequence[PartitionBatch], hopeless: Collection[tuple[int, int]], at_most: int, costing: float
    ) -> Iterator[list[Decoded]]:
        """Decode, and cut into portions of about `at_most` steps that cost about `costing`, each to be `run` before the
        next is asked for. Records at a (partition, offset) in `hopeless` become dead letters unseen."""
        with self._stage("decode"):
            decoded = [self._decode(batch, hopeless) for batch in batches]
        yield from portions(decoded, self._steps, self._store.eviction.cuts, at_most, costing)

    def run(self, portion: list[Decoded]) -> Done:
        """Step every observation and encode what follows from it. Rows have changed when this returns."""
        observations, codes = self._codes.clear([one.observations for one in portion])
        forecasts = self._engine.run(observations, self._stage)
        letters = [letter for one in portion for letter in one.letters]
        if self._options.late_to_dead_letters:
            letters += late_letters([one.batch for one in portion], observations, forecasts)
        parts = shares(observations, forecasts)
        with self._stage("encode"):
            outputs = [encoded(self._options.output_topic, share, forecasts, self._encoder) for share in parts]
            batches = {one.batch.partition: one.batch for one in portion}
            outputs, large = fitting(outputs, parts, batches, self._options.max_output_bytes)
            letters = sorted(letters + large, key=_place)
            outputs += dead(self._options.dead_letter_topic, letters, self._options.max_letter_bytes)
        return Done(portion, forecasts, parts, letters, outputs, codes)

    def _decode(self, batch: PartitionBatch, hopeless: Collection[tuple[int, int]]) -> Decoded:
        skip = {offset for partition, offset in hopeless if partition == batch.partition} | batch.damaged.keys()
        if not skip or not skip & set(batch.offsets.tolist()):
            return Decoded(batch, *self._decoder.decode(batch))
        return decode_without(self._decoder, batch, skip)


def decode_without(decoder: Decoder, batch: PartitionBatch, skip: Collection[int]) -> Decoded:
    """Decode a batch in which the records at some offsets are dead letters, whatever they hold: those that are damaged,
    and others that failed."""
    kept = [i for i, offset in enumerate(batch.offsets.tolist()) if offset not in skip]
    rest = PartitionBatch(
        batch.topic,
        batch.partition,
        [batch.keys[i] for i in kept],
        [batch.values[i] for i in kept],
        batch.timestamps[kept],
        batch.offsets[kept],
    )
    letters = [_unseen(batch, i) for i, offset in enumerate(batch.offsets.tolist()) if offset in skip]
    observations, unreadable = decoder.decode(rest)
    return Decoded(batch, observations, sorted(letters + unreadable, key=lambda letter: letter.offset))


def _unseen(batch: PartitionBatch, i: int) -> DeadLetter:
    offset = int(batch.offsets[i])
    damage = batch.damaged.get(offset)
    error, reason = ("failed", _FAILED) if damage is None else (damage.error, damage.reason)
    return DeadLetter(batch.topic, batch.partition, offset, batch.keys[i], batch.values[i], error, reason, damage)


def _place(letter: DeadLetter) -> tuple[int, int]:
    """Dead letters stand in the order of their records: any other would show where a portion was cut."""
    return letter.partition, letter.offset
