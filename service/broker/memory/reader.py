"""Partitions read outside any group, from the in-process broker."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from threading import Condition

from eddycast.service.broker.memory.cluster import Cluster
from eddycast.service.broker.memory.log import Log
from eddycast.service.broker.port import Connection
from eddycast.service.errors import BrokerError, OffsetGone, TopicMissing
from eddycast.service.records import PartitionBatch


class MemoryReader(Connection):
    """A `port.Reader`."""

    def __init__(self, cluster: Cluster, topic: str, changed: Condition) -> None:
        self._cluster = cluster
        self._topic = topic
        self._changed = changed
        self._positions: dict[int, int] = {}
        self._turn = 0  # rotates the partition that is read first
        self._closed = False

    def start(self, offsets: Mapping[int, int]) -> None:
        """See `port.Reader`."""
        self._positions |= offsets

    def first(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:  # noqa: ARG002 - at once
        """See `port.Reader`."""
        with self._changed:
            return {partition: self._log(partition).first for partition in partitions}

    def end(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:  # noqa: ARG002 - at once
        """See `port.Reader`."""
        with self._changed:
            return {partition: self._log(partition).end for partition in partitions}

    def since(
        self,
        partitions: Collection[int],
        time_ms: int,
        timeout_s: float = 10.0,  # noqa: ARG002 - at once
    ) -> dict[int, int]:
        """See `port.Reader`."""
        with self._changed:
            return {partition: self._log(partition).since(time_ms) for partition in partitions}

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """See `port.Reader`."""
        if self._closed:
            raise BrokerError("the reader is closed")
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                before = dict(self._positions)
                batches = self._fetch(max_records)
                if (
                    batches
                    or before != self._positions
                    or not self._changed.wait(deadline - time.monotonic())
                ):
                    return batches

    def position(self, partition: int) -> int:
        """See `port.Reader`."""
        return self._positions[partition]

    def stop(self, partitions: Collection[int]) -> None:
        """See `port.Reader`."""
        for partition in partitions:
            self._positions.pop(partition, None)

    def close(self) -> None:
        """See `port.Reader`."""
        self._positions.clear()
        self._closed = True

    def _fetch(self, max_records: int) -> list[PartitionBatch]:
        batches, started = [], sorted(self._positions)
        first = self._turn % len(started) if started else 0
        self._turn += 1
        for partition in started[first:] + started[:first]:
            if max_records == 0:
                break
            log, position = self._log(partition), self._positions[partition]
            if not log.first <= position <= log.end:
                raise OffsetGone(
                    f"{self._topic} partition {partition} holds "
                    f"{log.first} to {log.end}, not {position}"
                )
            batch, self._positions[partition] = log.fetch(position, max_records)
            if batch is not None:
                batches.append(batch)
                max_records -= len(batch)
        return batches

    def _log(self, partition: int) -> Log:
        logs = self._cluster.logs(self._topic)
        if not 0 <= partition < len(logs):
            raise TopicMissing(f"there is no partition {partition} of {self._topic}")
        return logs[partition]
