"""The topic that `feed kafka` reads, without a consumer group: offsets are kept with what is
written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import NamedTuple

from eddycast.service.broker.port import Broker, Reader
from eddycast.service.delivery.connect import reach
from eddycast.service.errors import OffsetGone, TopicMissing
from eddycast.service.observability.log import get_log
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.kafka import KafkaSettings

#: Timeout of a poll, s.
_POLL_S = 0.25


class Found(NamedTuple):
    """A topic as it is now."""

    id: str
    partitions: int


class SourceTopic:
    """A topic and where its reading starts."""

    def __init__(self, broker: Broker, name: str, kafka: KafkaSettings) -> None:
        """`kafka` says where to start without a position, and after records were deleted."""
        self._broker, self.name, self._kafka = broker, name, kafka

    def look_up(self, stop: Event) -> Found | None:
        """The topic once its broker answers; None if stopped before. Raises TopicMissing."""
        admin = reach(self._broker, stop, lambda _: None)
        if admin is None:
            return None
        with admin:
            count = admin.partitions(self.name)
            if count is None:
                raise TopicMissing(f"there is no topic {self.name}", "set feed.topic")
            return Found(admin.topic_id(self.name), count)

    @contextmanager
    def opened(self, found: Found, held: Mapping[int, int]) -> Iterator[Source]:
        """Context with a reader that starts at the positions `held`. Raises OffsetGone."""
        with self._broker.reader(self.name) as reader:
            partitions = range(found.partitions)
            first, end = reader.first(partitions), reader.end(partitions)
            starts = {p: self._start(p, held.get(p), first[p], end[p]) for p in partitions}
            reader.start(starts)
            get_log().info("reading", topic=self.name, topic_id=found.id, offsets=starts)
            yield Source(reader, found, end)

    def _start(self, partition: int, held: int | None, first: int, end: int) -> int:
        if held is None:
            return first if self._kafka.start_at == "earliest" else end
        if first <= held <= end:
            return held
        if self._kafka.when_deleted == "fail":
            raise OffsetGone(
                f"{self.name} partition {partition} has the offsets {first} to {end}, and {held} "
                "comes next",
                "set kafka.when_deleted, and raise the topic's retention.ms",
            )
        start = first if self._kafka.when_deleted == "earliest" else end
        get_log().warning(
            "offsets were deleted before they were read",
            topic=self.name, partition=partition, first=held, next=start,
        )  # fmt: skip
        return start


class Source:
    """A topic that is being read."""

    def __init__(self, reader: Reader, found: Found, end: Mapping[int, int]) -> None:
        """`end` are the high watermarks at the start."""
        self._reader, self.found, self._end = reader, found, dict(end)

    def gather(self, at_most: int, within_s: float) -> list[PartitionBatch]:
        """Wait for records, and then for `within_s` more seconds or until there are `at_most`."""
        batches = self._reader.poll(_POLL_S, at_most)
        deadline, room = time.monotonic() + within_s, at_most - sum(map(len, batches))
        while batches and room > 0 and (left_s := deadline - time.monotonic()) > 0:
            more = self._reader.poll(left_s, room)
            room -= sum(map(len, more))
            batches += more
        return batches

    @property
    def is_at_end(self) -> bool:
        """True if everything was read that was there at the start."""
        return all(self._reader.position(p) >= end for p, end in self._end.items())

    def lag(self) -> int:
        """Records that are still to be read. Raises BrokerUnavailable."""
        ends = self._reader.end(range(self.found.partitions))
        return sum(max(0, end - self._reader.position(p)) for p, end in ends.items())
