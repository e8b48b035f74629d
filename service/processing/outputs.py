"""Records to produce: encoded forecasts by partition, and dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from eddycast.service.dead_letters.headers import LETTER_BYTES, dead_letter
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.processing.alignment import Verdict
from eddycast.service.processing.encoding import ForecastEncoder
from eddycast.service.processing.engine import Forecasts
from eddycast.service.records import (
    DeadLetter,
    Float64,
    Headers,
    Int64,
    Observations,
    PartitionBatch,
    headers_bytes,
)


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """Maximum size in bytes of a forecast's key and value together,
    and of a dead letter's key, value or own headers."""

    output_bytes: int
    letter_bytes: int = LETTER_BYTES


@dataclass(frozen=True, slots=True)
class Output:
    """Encoded records of one partition; output and input use the same partition number."""

    topic: str
    partition: int
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] | None = None
    offsets: Int64 | None = None  # of the readings of forecasts


@dataclass(frozen=True, slots=True)
class PartitionForecasts:
    """The observations of one partition that have a forecast, at least one."""

    batch: Observations
    here: Int64  # indexes of those observations in `batch`
    rows: slice  # their rows in the engine's `Forecasts`


def forecasts_by_partition(
    decoded: Sequence[Observations], forecasts: Forecasts
) -> list[PartitionForecasts]:
    """Group the engine's forecasts by partition, in the order of `decoded`, the engine's input."""
    found = []
    for batch, start, end in _spans(decoded):
        first, last = np.searchsorted(forecasts.index, (start, end)).tolist()
        if last > first:
            found.append(
                PartitionForecasts(batch, forecasts.index[first:last] - start, slice(first, last))
            )
    return found


def encode_forecasts(
    topic: str, part: PartitionForecasts, forecasts: Forecasts, encoder: ForecastEncoder
) -> Output:
    """Encode a partition's forecasts as records with the key and partition of their
    observations."""
    batch, here, rows = part.batch, part.here, part.rows
    everyone = len(here) == len(batch)
    streams = batch.streams if everyone else [batch.streams[i] for i in here.tolist()]
    columns = forecast_columns(streams, batch.timestamps[here], batch.values[here], forecasts, rows)
    offsets = batch.offsets if everyone else batch.offsets[here]
    return Output(topic, batch.partition, streams, encoder.encode(columns), offsets=offsets)


def forecast_columns(
    streams: Sequence[bytes],
    timestamps: Int64,
    values: Float64,
    forecasts: Forecasts,
    rows: slice = slice(None),
) -> ForecastColumns:
    """Join readings (streams, timestamps and values, [n] each) with `rows` of the forecasts that
    were made at them."""
    return ForecastColumns(
        streams,
        timestamps,
        values,
        forecasts.one_step[rows],
        forecasts.multi_step[rows],
        forecasts.has_multi[rows],
        forecasts.expected[rows],
        forecasts.error[rows],
        forecasts.surprise[rows],
        forecasts.anomaly[rows],
        forecasts.warm[rows],
    )


def split_oversized(
    outputs: Sequence[Output],
    parts: Sequence[PartitionForecasts],
    batches: Mapping[int, PartitionBatch],
    limit_bytes: int,
) -> tuple[list[Output], list[DeadLetter]]:
    """Replace records larger than `limit_bytes` (key, value and headers) by dead letters for their
    input records.

    `outputs` correspond to `parts`; `batches` are the input by partition.
    Returns the remaining outputs and the dead letters.
    """
    kept, letters = [], []
    for output, part in zip(outputs, parts, strict=True):
        sizes = _sizes(output)
        if max(sizes) <= limit_bytes:
            kept.append(output)
            continue
        large = [i for i, size in enumerate(sizes) if size > limit_bytes]
        batch = batches[output.partition]
        for i, at in zip(large, part.batch.offsets[part.here[large]].tolist(), strict=True):
            record = int(np.searchsorted(batch.offsets, at))
            reason = f"the forecast has {sizes[i]} bytes; {output.topic} accepts {limit_bytes}"
            place = _place(part.batch, int(part.here[i]))
            letters.append(DeadLetter.of(batch, record, "forecast_too_large", reason, place))
        small = [i for i, size in enumerate(sizes) if size <= limit_bytes]
        if small:
            kept.append(_taken(output, small))
    return kept, letters


def _sizes(output: Output) -> list[int]:
    sizes = [
        len(key or b"") + len(value or b"")
        for key, value in zip(output.keys, output.values, strict=True)
    ]
    if output.headers is None:
        return sizes
    return [size + headers_bytes(own) for size, own in zip(sizes, output.headers, strict=True)]


def _taken(output: Output, which: Sequence[int]) -> Output:
    """The records with these indexes."""
    headers, offsets = output.headers, output.offsets
    return Output(
        output.topic,
        output.partition,
        [output.keys[i] for i in which],
        [output.values[i] for i in which],
        None if headers is None else [headers[i] for i in which],
        None if offsets is None else offsets[which],
    )


def late_letters(
    batches: Sequence[PartitionBatch], decoded: Sequence[Observations], verdicts: NDArray[np.int8]
) -> list[DeadLetter]:
    """Return a dead letter for each late reading; `verdicts` [n] are those of all of them."""
    letters = []
    for batch, (observations, start, end) in zip(batches, _spans(decoded), strict=True):
        late = np.flatnonzero(verdicts[start:end] == Verdict.LATE)
        letters += letters_for(
            batch,
            observations,
            late,
            "late",
            "the reading is older than the last one of the stream",
        )
    return letters


def letters_for(
    batch: PartitionBatch, observations: Observations, which: Int64, error: str, reason: str
) -> list[DeadLetter]:
    """Return a dead letter for each of the observations at the indexes `which`."""
    rows = np.searchsorted(batch.offsets, observations.offsets[which]).tolist()
    return [
        DeadLetter.of(batch, row, error, reason, _place(observations, i))
        for row, i in zip(rows, which.tolist(), strict=True)
    ]


def merged_letters(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Return the letters in the order of their records; those of one record with the same error
    become one, so that a record with many bad readings is not written many times."""
    found: dict[tuple[int, int, str], list[DeadLetter]] = {}
    for letter in letters:
        found.setdefault((letter.partition, letter.offset, letter.error), []).append(letter)
    merged = [
        own[0]
        if len(own) == 1
        else replace(own[0], places=tuple(place for letter in own for place in letter.places))
        for own in found.values()
    ]
    return sorted(merged, key=attrgetter("partition", "offset"))


def _place(observations: Observations, index: int) -> str:
    return "" if observations.places is None else observations.places[index]


def encode_dead_letters(
    topic: str, letters: Sequence[DeadLetter], limit_bytes: int
) -> list[Output]:
    """Encode dead letters, one `Output` per partition of the input.

    `letters` are sorted by partition and offset; `limit_bytes` as in `dead_letters.dead_letter`.
    """
    outputs = []
    for partition, own in groupby(letters, key=attrgetter("partition")):
        keys, values, headers = zip(
            *(dead_letter(letter, limit_bytes) for letter in own), strict=True
        )
        outputs.append(Output(topic, partition, keys, values, headers))
    return outputs


def _spans(decoded: Sequence[Observations]) -> Iterator[tuple[Observations, int, int]]:
    """Yield each batch with its start and end in the concatenation of all."""
    start = 0
    for batch in decoded:
        yield batch, start, start + len(batch)
        start += len(batch)
