"""Checks of a sample: readable records, places of streams, numbers that look like codes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from eddycast.service.dead_letters.codes import CODES
from eddycast.service.diagnosis.finding import Finding
from eddycast.service.diagnosis.sample import Sample
from eddycast.service.formats.guessing import guess
from eddycast.service.formats.mapped_decoder import record_at
from eddycast.service.history.code_detection import find_codes
from eddycast.service.humanize import many
from eddycast.service.records import LAST_TIMESTAMP
from eddycast.service.settings.input import InputSettings

#: Streams that a finding names, and records of which the shape is guessed.
_NAMED, _GUESSED = 3, 20


def named(streams: Sequence[str]) -> str:
    """The first of some streams."""
    return ", ".join(streams[:_NAMED]) + (", …" if len(streams) > _NAMED else "")


def readable(sample: Sample) -> Finding:
    """The check that records become readings."""
    what = "records"
    if not sample.records:
        return Finding(what, "there are none yet")
    streams = many(len(sample.streams), "stream")
    found = f"the latest {sample.records:,}: {many(sample.readable, 'reading')} of {streams}"
    found += f", {sample.filtered:,} filtered"
    if not sample.letters:
        everything = sample.filtered and not sample.readable
        action = "correct input.where and input.streams" if everything else ""
        return Finding(what, found, action)
    errors = Counter(letter.error for letter in sample.letters)
    counts = ", ".join(f"{count:,} {error}" for error, count in errors.most_common())
    most = errors.most_common(1)[0][0]
    example = next(letter for letter in sample.letters if letter.error == most)
    share = len(sample.letters) / (len(sample.letters) + sample.readable)
    found += (
        f"; {share:.1%} would be dead letters: {counts}; "
        f"{example.partition}:{example.offset}: {example.reason}"
    )
    return Finding(what, found, _proposal(sample) or CODES[most].action, sample.readable > 0)


def _proposal(sample: Sample) -> str:
    """Settings for the shape of the records, if none of them can be read."""
    if sample.readable:
        return ""
    records = [
        record_at(batch, row, LAST_TIMESTAMP)
        for batch in sample.batches
        for row in range(max(0, len(batch) - _GUESSED), len(batch))
    ]
    settings = guess(records)
    if not settings:
        return ""
    listed = ", ".join(f"input.{name} = {value}" for name, value in settings.items())
    return f"they look like {listed}: see `eddycast input guess`"


def placed(sample: Sample) -> Finding:
    """The check that each stream is in one partition."""
    where = {
        stream: np.unique(sample.partition[rows]).tolist() for stream, rows in sample.by_stream()
    }
    several = [stream for stream, partitions in where.items() if len(partitions) > 1]
    if not several:
        return Finding("partitions", "each stream is in one")
    found = (
        f"{many(len(several), 'stream')} in more than one: {several[0]} in {where[several[0]]}"
        f"; {named(several)}"
    )
    action = (
        "key the records by what input.stream is made of, and use one partitioner in all producers "
        "(librdkafka: partitioner=murmur2_random): each partition has a state of its own"
    )
    return Finding("partitions", found, action)


def coded(sample: Sample, known: Sequence[tuple[float, ...]], settings: InputSettings) -> Finding:
    """The check for numbers that stand for a missing value; `known` are those of each channel that
    the service reads as missing."""
    counts: Counter[float] = Counter()
    streams: defaultdict[float, list[str]] = defaultdict(list)
    for stream, rows in sample.by_stream():
        for channel, codes in enumerate(known):
            values = sample.values[rows, channel]
            values = np.where(np.isin(values, codes), np.nan, values)
            for code, count in find_codes(values).items():
                counts[code] += count
                streams[code].append(stream)
    if not counts:
        return Finding("codes", "no number looks like a missing value")
    found = "; ".join(
        f"{_number(code)} looks like a missing value, {many(count, 'time')}: {named(streams[code])}"
        for code, count in counts.most_common()
    )
    further = ",".join(map(_number, sorted(counts)))
    return Finding("codes", found, f"set input.codes = {settings.codes},{further}")


def _number(code: float) -> str:
    return f"{code:g}" if float(f"{code:g}") == code else repr(code)
