"""Follows a topic into an archive, without a consumer group: the files hold the positions.

Blocks that are complete are written at once, the open one of each partition every `flush_s`
seconds and at the end. After a crash or an outage reading resumes from the files, so nothing that
was not in a file counts as read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event

import numpy as np

from eddycast.service.archive.block import Block, Covered
from eddycast.service.archive.folder import TopicFolder
from eddycast.service.archive.rows import Reading
from eddycast.service.broker.port import Broker, Reader
from eddycast.service.delivery.connect import reach
from eddycast.service.errors import (
    BrokerUnavailable,
    OffsetGone,
    SchemaRegistryUnavailable,
    TopicMissing,
)
from eddycast.service.observability.log import get_log
from eddycast.service.observability.throttle import Throttle
from eddycast.service.processing.chunks import records_between
from eddycast.service.records import PartitionBatch, next_offset
from eddycast.service.state.stream_time import Clock

#: Records of one poll.
_RECORDS = 50_000
#: Timeout of a poll, pause after an outage, interval of looking the topic up, s.
_POLL_S, _AGAIN_S, _LOOK_UP_S = 0.25, 1.0, 60.0


class Archiver:
    """Writes one topic to `directory`."""

    def __init__(
        self, broker: Broker, topic: str, reading: Reading, directory: Path, flush_s: float
    ) -> None:
        self._broker, self._topic, self._reading = broker, topic, reading
        self._folder = TopicFolder(directory, topic, reading.block)
        self._flush_s = flush_s
        self._topic_id = ""
        self._blocks: dict[int, Block] = {}
        self.records = 0

    def run(self, stop: Event, once: bool = False) -> None:
        """Follow the topic until `stop`, or with `once` up to its present end. Outages are waited
        out. Raises TopicMissing, AccessRefused, BrokerError, DataError."""
        with self._folder.owned():
            while not stop.is_set():
                try:
                    if self._follow(stop, once):
                        return
                except (BrokerUnavailable, OffsetGone, SchemaRegistryUnavailable) as error:
                    get_log().warning("reading the topic again", reason=str(error))
                    stop.wait(_AGAIN_S)

    def _follow(self, stop: Event, once: bool) -> bool:
        """Resume from the files and follow the topic. True if the end was reached, False once the
        topic is another one or has further partitions."""
        found = self._look_up(stop)
        if found is None:
            return True
        self._topic_id, count = found
        flush, look_up = Throttle(self._flush_s), Throttle(_LOOK_UP_S)
        flush.put_off()
        look_up.put_off()
        with self._broker.reader(self._topic) as reader:
            ends, is_current = self._start(reader, count), True
            while is_current and not stop.is_set():
                for batch in reader.poll(_POLL_S, _RECORDS):
                    self._take(batch)
                if once and all(reader.position(p) >= end for p, end in ends.items()):
                    break
                if flush.is_due():
                    self._flush()
                is_current = not look_up.is_due() or self._look_up(stop) in (found, None)
            self._flush()
            return is_current

    def _look_up(self, stop: Event) -> tuple[str, int] | None:
        """The topic's id and number of partitions; None if stopped before."""
        admin = reach(self._broker, stop, lambda _: None)
        if admin is None:
            return None
        with admin:
            count = admin.partitions(self._topic)
            if count is None:
                raise TopicMissing(f"there is no topic {self._topic}", "name another one")
            return admin.topic_id(self._topic), count

    def _start(self, reader: Reader, count: int) -> Mapping[int, int]:
        """Start each partition after the last offset in its files; returns the present ends."""
        self._blocks = self._folder.newest(self._topic_id)
        first, ends = reader.first(range(count)), reader.end(range(count))
        for partition, block in self._blocks.items():
            if (at := block.covered.next_offset) < first[partition]:
                block.skip(first[partition])
                get_log().warning(
                    "offsets were deleted before they were read",
                    topic=self._topic, partition=partition, first=at, next=first[partition],
                    action="run more often, or raise the topic's retention.ms",
                )  # fmt: skip
        held = {p: block.covered.next_offset for p, block in self._blocks.items()}
        starts = first | held
        reader.start(starts)
        get_log().info("archiving", topic=self._topic, topic_id=self._topic_id, offsets=starts)
        return ends

    def _take(self, batch: PartitionBatch) -> None:
        """Add records to the blocks that they belong to."""
        size = self._reading.block
        numbers = batch.offsets // size
        for number in np.unique(numbers).tolist():
            end = min(next_offset(batch), (number + 1) * size)
            part = records_between(batch, number * size, end)
            block = self._block(part, number)
            rows = self._reading.rows(part, block.clock)
            block.add(rows, end)
            self.records += rows.records
            if end == (number + 1) * size:
                self._folder.write(block)

    def _block(self, batch: PartitionBatch, number: int) -> Block:
        """The block of this number, which begins with `batch` if it is new."""
        last, size = self._blocks.get(batch.partition), self._reading.block
        if last is not None and last.covered.first_offset // size == number:
            return last
        if last is not None and last.is_dirty:
            self._folder.write(last)
        clock = last.clock if last is not None else Clock()
        covered = Covered(
            topic=self._topic,
            topic_id=self._topic_id,
            partition=batch.partition,
            first_offset=int(batch.offsets[0]),
            next_offset=int(batch.offsets[0]),
            records=0,
            first_time=int(batch.timestamps[0]),
            record_time=clock.record_time,
            record_offset=clock.record_offset,
        )
        self._blocks[batch.partition] = Block(covered, [self._reading.empty])
        return self._blocks[batch.partition]

    def _flush(self) -> None:
        for block in self._blocks.values():
            if block.is_dirty:
                self._folder.write(block)
