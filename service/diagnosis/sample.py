"""The latest records of the input topic, as the service would read them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from eddycast.service.broker.port import Broker
from eddycast.service.errors import TopicMissing
from eddycast.service.formats.json_decoder import NEVER, tombstones
from eddycast.service.processing.decoding import RecordDecoder, decode_without
from eddycast.service.records import (
    LAST_TIMESTAMP,
    DeadLetter,
    Float64,
    Int64,
    Observations,
    PartitionBatch,
)

#: Reading ends after this time, s, or so many bytes of values.
_LONGEST_S, _BYTES = 5.0, 64_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Records, and readings of all streams; `stream` indexes `streams`. Those that are refused only
    for a time too far ahead are among the readings as well as the letters."""

    batches: list[PartitionBatch]
    letters: list[DeadLetter]
    filtered: int
    readable: int  # readings that the service would take
    streams: list[str]
    stream: Int64  # of each reading [n], and so on
    partition: Int64
    timestamps: Int64  # ms
    record_times: Int64  # broker time of the record, ms; -1 = none
    values: Float64  # [n, channels]; NaN = missing

    @classmethod
    def of(cls, batches: Sequence[PartitionBatch], decoder: RecordDecoder, channels: int) -> Self:
        """Decode batches of one topic."""
        letters: list[DeadLetter] = []
        observations: list[Observations] = []
        filtered = readable = 0
        for batch in batches:
            removals = tombstones(batch)
            latest = decoder.latest(batch, NEVER)
            found = decode_without(decoder, batch, batch.damaged, latest, removals)
            letters += found.letters
            filtered += len(found.filtered)
            readable += len(found.observations)
            if any(letter.error == "far_future" for letter in found.letters):
                latest = np.full_like(latest, LAST_TIMESTAMP)
                found = decode_without(decoder, batch, batch.damaged, latest, removals)
            observations.append(found.observations)
        index: dict[bytes, int] = {}
        stream = [
            index.setdefault(name, len(index)) for one in observations for name in one.streams
        ]
        return cls(
            list(batches),
            letters,
            filtered,
            readable,
            [name.decode() for name in index],
            np.array(stream, np.int64),
            np.repeat([one.partition for one in observations], [len(one) for one in observations]),
            np.concatenate([np.empty(0, np.int64), *(one.timestamps for one in observations)]),
            np.concatenate([np.empty(0, np.int64), *(one.record_times for one in observations)]),
            np.concatenate([np.empty((0, channels)), *(one.values for one in observations)]),
        )

    @property
    def records(self) -> int:
        """Number of records."""
        return sum(map(len, self.batches))

    def by_stream(self) -> Iterator[tuple[str, Int64]]:
        """Yield each stream with the indexes of its readings, in the order of their offsets."""
        order = np.argsort(self.stream, kind="stable")
        starts = np.searchsorted(self.stream[order], np.arange(len(self.streams)))
        return zip(self.streams, np.split(order, starts[1:]), strict=True)


def latest_batches(broker: Broker, topic: str, each: int) -> list[PartitionBatch]:
    """The last records of a topic, at most `each` of a partition, in the order in which they were
    polled. Raises TopicMissing, BrokerError."""
    with broker.admin() as admin:
        partitions = admin.partitions(topic)
    if partitions is None:
        raise TopicMissing(f"there is no topic {topic}")
    found: list[PartitionBatch] = []
    with broker.reader(topic) as reader:
        every = range(partitions)
        first, end = reader.first(every), reader.end(every)
        reader.start({p: max(first[p], end[p] - each) for p in every})
        deadline, room = time.monotonic() + _LONGEST_S, _BYTES
        while room > 0 and any(reader.position(p) < end[p] for p in every):
            polled = reader.poll(1.0, each * partitions)
            found += polled
            room -= sum(len(value or b"") for batch in polled for value in batch.values)
            if time.monotonic() > deadline:
                break
    return found
