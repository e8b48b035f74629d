"""From the engine's columns to what is produced: each partition's share of the forecasts, encoded; dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np

from service.formats.json_codec import Encoder, Headers, dead_letter
from service.processing.alignment import Verdict
from service.processing.engine import Forecasts
from service.records import DeadLetter, Int64, Observations, PartitionBatch


@dataclass(frozen=True, slots=True)
class Output:
    """Encoded records of one partition. `partition` is that of the input as well."""

    topic: str
    partition: int
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """The observations of one partition that have a forecast, at least one."""

    batch: Observations
    here: Int64  # which of the batch's observations
    rows: slice  # which of the forecasts


def shares(decoded: Sequence[Observations], forecasts: Forecasts) -> list[Share]:
    """A share for each partition with a forecast, in the order of `decoded`, which the engine was given."""
    found = []
    for batch, start, end in _spans(decoded):
        first, last = np.searchsorted(forecasts.index, (start, end)).tolist()
        if last > first:
            found.append(Share(batch, forecasts.index[first:last] - start, slice(first, last)))
    return found


def encoded(topic: str, share: Share, forecasts: Forecasts, encoder: Encoder) -> Output:
    """The share's forecasts as records: same key, same partition as the observations."""
    batch, here, rows = share.batch, share.here, share.rows
    everyone = len(here) == len(batch)
    streams = batch.streams if everyone else [batch.streams[i] for i in here.tolist()]
    values = encoder.encode(
        streams,
        batch.timestamps[here],
        batch.values[here],
        forecasts.one_step[rows],
        forecasts.multi_step[rows],
        forecasts.has_multi[rows],
        forecasts.surprise[rows],
        forecasts.anomaly[rows],
        forecasts.warm[rows],
    )
    return Output(topic, batch.partition, streams, values)


def fitting(
    outputs: Sequence[Output], parts: Sequence[Share], batches: Mapping[int, PartitionBatch], limit_bytes: int
) -> tuple[list[Output], list[DeadLetter]]:
    """The outputs without those records whose key and value are larger than `limit_bytes` together, and a dead letter
    for the input of each of these. `outputs` are of the shares `parts`, of the input's `batches` by partition."""
    kept, letters = [], []
    for output, share in zip(outputs, parts, strict=True):
        sizes = [len(key or b"") + len(value or b"") for key, value in zip(output.keys, output.values, strict=True)]
        if max(sizes) <= limit_bytes:
            kept.append(output)
            continue
        large = [i for i, size in enumerate(sizes) if size > limit_bytes]
        batch = batches[output.partition]
        for i, at in zip(large, share.batch.offsets[share.here[large]].tolist(), strict=True):
            record = int(np.searchsorted(batch.offsets, at))
            reason = f"its forecast has {sizes[i]} bytes, {output.topic} takes {limit_bytes}"
            where = batch.topic, batch.partition, at
            letters.append(DeadLetter(*where, batch.keys[record], batch.values[record], "forecast_too_large", reason))
        small = [i for i, size in enumerate(sizes) if size <= limit_bytes]
        if small:
            columns = [output.keys[i] for i in small], [output.values[i] for i in small]
            kept.append(Output(output.topic, output.partition, *columns))
    return kept, letters


def late_letters(
    batches: Sequence[PartitionBatch], decoded: Sequence[Observations], forecasts: Forecasts
) -> list[DeadLetter]:
    """A dead letter for each late reading, its record as it came."""
    letters = []
    for batch, (observations, start, end) in zip(batches, _spans(decoded), strict=True):
        late = observations.offsets[forecasts.verdicts[start:end] == Verdict.LATE]
        letters += letters_at(batch, late, "late", "the reading is older than the last one of its stream")
    return letters


def letters_at(batch: PartitionBatch, offsets: Int64, error: str, reason: str) -> list[DeadLetter]:
    """A dead letter for the record at each of these offsets."""
    return [
        DeadLetter(batch.topic, batch.partition, int(batch.offsets[i]), batch.keys[i], batch.values[i], error, reason)
        for i in np.searchsorted(batch.offsets, offsets).tolist()
    ]


def dead(topic: str, letters: Sequence[DeadLetter], limit_bytes: int) -> list[Output]:
    """The records that tell of dead letters: a column for each partition that they came from. `letters` are in the
    order of their records, partition by partition; `limit_bytes` as `codec.dead_letter` has it."""
    outputs = []
    for partition, own in groupby(letters, key=attrgetter("partition")):
        keys, values, headers = zip(*(dead_letter(letter, limit_bytes) for letter in own), strict=True)
        outputs.append(Output(topic, partition, keys, values, headers))
    return outputs


def _spans(decoded: Sequence[Observations]) -> Iterator[tuple[Observations, int, int]]:
    """Each batch with where it stands when all are laid end to end."""
    start = 0
    for batch in decoded:
        yield batch, start, start + len(batch)
        start += len(batch)
