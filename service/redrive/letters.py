"""The letters of the topic of dead letters, up to its end at one moment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from eddycast.service.broker.port import Broker, Reader
from eddycast.service.dead_letters.letter import Letter, identities_in, is_mark
from eddycast.service.errors import BrokerUnavailable, TopicMissing
from eddycast.service.mapping.conditions import StreamFilter
from eddycast.service.records import PartitionBatch

#: Maximum records of a poll, and its timeout, s.
_RECORDS, _POLL_S = 5_000, 0.5


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; by default all."""

    codes: frozenset[str] = frozenset()  # empty = every error
    streams: tuple[str, ...] = ()  # globs of the record's key
    since_ms: int = -1  # time of the letter; -1 = also those without a time

    def chosen(self, letters: Iterable[Letter]) -> Iterator[Letter]:
        """Yield those that are meant."""
        is_served = StreamFilter(self.streams)
        for letter in letters:
            if (
                letter.written >= self.since_ms
                and (not self.codes or letter.error in self.codes)
                and (not self.streams or is_served((letter.key or b"").decode(errors="replace")))
            ):
                yield letter


class LetterTopic:
    """The topic of dead letters between two offsets of each partition. It may be read repeatedly,
    with the same result."""

    def __init__(
        self, broker: Broker, topic: str, patience_s: float, last: int | None = None
    ) -> None:
        """`last` limits the topic to the last offsets of each partition. `patience_s` is the
        longest wait for an open transaction. Raises TopicMissing, BrokerError."""
        self._broker, self.name, self._patience_s = broker, topic, patience_s
        with broker.admin() as admin:
            count = admin.partitions(topic)
        if count is None:
            raise TopicMissing(f"there is no topic {topic}", "set topics.dead_letters")
        with broker.reader(topic) as reader:
            self._end: Mapping[int, int] = reader.end(range(count))
            first = reader.first(range(count))
        self._start = {
            p: at if last is None else max(at, self._end[p] - last) for p, at in first.items()
        }
        #: Identities of the records that were replayed.
        self.replayed = self._marked()

    def letters(self) -> Iterator[Letter]:
        """Yield the letters in the order of their offsets within each partition. Raises
        BrokerUnavailable if an open transaction does not end."""
        for batch in self._batches():
            for row in range(len(batch)):
                if (letter := Letter.of(batch, row)) is not None:
                    yield letter

    def _marked(self) -> set[str]:
        """Identities of letters that are marked as replayed; a mark follows its letters in the same
        partition."""
        return {
            identity
            for batch in self._batches()
            if batch.headers is not None
            for headers, value in zip(batch.headers, batch.values, strict=True)
            if is_mark(headers)
            for identity in identities_in(value)
        }

    def _batches(self) -> Iterator[PartitionBatch]:
        left = {p for p, at in self._start.items() if at < self._end[p]}
        with self._broker.reader(self.name) as reader:
            reader.start({p: self._start[p] for p in left})
            deadline = time.monotonic() + self._patience_s
            while left:
                batches = reader.poll(_POLL_S, _RECORDS)
                yield from (found for one in batches if (found := self._before_end(one)))
                done = {p for p in left if reader.position(p) >= self._end[p]}
                if batches or done:
                    deadline = time.monotonic() + self._patience_s
                elif time.monotonic() > deadline:
                    raise self._stuck(reader, min(left))
                reader.stop(done)
                left -= done

    def _before_end(self, batch: PartitionBatch) -> PartitionBatch | None:
        """The records of a batch before the end, None if there are none."""
        kept = int(np.searchsorted(batch.offsets, self._end[batch.partition]))
        if kept == len(batch):
            return batch
        if not kept:
            return None
        return replace(
            batch,
            keys=batch.keys[:kept],
            values=batch.values[:kept],
            timestamps=batch.timestamps[:kept],
            offsets=batch.offsets[:kept],
            headers=None if batch.headers is None else batch.headers[:kept],
        )

    def _stuck(self, reader: Reader, partition: int) -> BrokerUnavailable:
        what = (
            f"{self.name} partition {partition} cannot be read past offset "
            f"{reader.position(partition)}: a transaction is open there"
        )
        return BrokerUnavailable(what, "retry once the broker has aborted it after its timeout")
