"""Partitions read outside any group: by a client of committed records,
and a second one that sees all records.

The second one only looks up where partitions begin and end. For the first one the end lies at the
first open transaction; a read up to there misses a commit whose markers have reached the offsets
but not yet this topic.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any

from kafka import KafkaConsumer as Client
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from eddycast.service.broker.kafka.bulk_reading import read_in_columns
from eddycast.service.broker.kafka.columns import batches
from eddycast.service.broker.kafka.errors import translated
from eddycast.service.broker.kafka.fetched import Screen
from eddycast.service.broker.kafka.public_reading import read_screened
from eddycast.service.broker.port import Connection
from eddycast.service.errors import TopicMissing
from eddycast.service.records import PartitionBatch

#: Interval at which a poll without records checks whether a position has passed control or aborted
#: records, ms.
_LOOK_MS = 10
#: Time for the known leaders to answer before the leaders are looked up again, ms.
_KNOWN_MS = 500


class KafkaReader(Connection):
    """A `port.Reader` on kafka-python."""

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        timeout_ms: int,
        bulk: bool,
        unpacked_bytes: int,
    ) -> None:
        self._topic = topic
        self._timeout_ms = timeout_ms
        self._positions: dict[int, int] = {}
        config = {**config, "group_id": None, "auto_offset_reset": "none"}
        with translated(f"cannot reach Kafka at {config['bootstrap_servers']}"):
            self._committed = Client(**config)
            try:
                self._all = Client(**{**config, "isolation_level": "read_uncommitted"})
            except BaseException:
                self._committed.close(autocommit=False)
                raise
        (read_in_columns if bulk else read_screened)(self._committed, Screen(unpacked_bytes))

    def start(self, offsets: Mapping[int, int]) -> None:
        """See `port.Reader`."""
        self._positions |= offsets
        with translated(f"cannot read {self._topic}"):
            self._committed.assign([self._at(p) for p in self._positions])
            for partition, offset in offsets.items():
                self._committed.seek(self._at(partition), offset)

    def first(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:
        """See `port.Reader`."""
        return self._ask(self._all.beginning_offsets, partitions, timeout_s)

    def end(self, partitions: Collection[int], timeout_s: float = 10.0) -> dict[int, int]:
        """See `port.Reader`."""
        return self._ask(self._all.end_offsets, partitions, timeout_s)

    def since(
        self, partitions: Collection[int], time_ms: int, timeout_s: float = 10.0
    ) -> dict[int, int]:
        """See `port.Reader`."""
        ends = self.end(partitions, timeout_s)

        def first_since(places: list[TopicPartition], timeout_ms: int) -> dict[Any, int]:
            asked = dict.fromkeys(places, time_ms)
            found = self._all.offsets_for_times(asked, timeout_ms=timeout_ms)
            return {
                place: ends[place.partition] if one is None else one.offset
                for place, one in found.items()
            }

        return self._ask(first_since, partitions, timeout_s)

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """See `port.Reader`."""
        deadline = time.monotonic() + timeout_s
        while True:
            remaining_ms = max(0, int((deadline - time.monotonic()) * 1000))
            with translated(f"cannot read {self._topic}"):
                polled = self._committed.poll(
                    timeout_ms=min(remaining_ms, _LOOK_MS), max_records=max_records
                )
                moved = self._look()
            if polled or moved or not remaining_ms:
                return batches(polled)

    def position(self, partition: int) -> int:
        """See `port.Reader`."""
        return self._positions[partition]

    def stop(self, partitions: Collection[int]) -> None:
        """See `port.Reader`."""
        if started := self._positions.keys() & set(partitions):
            self._positions = {p: at for p, at in self._positions.items() if p not in started}
            self._committed.assign([self._at(p) for p in self._positions])

    def close(self) -> None:
        """See `port.Reader`."""
        self._positions.clear()
        with translated(f"cannot stop reading {self._topic}"), ExitStack() as both:
            for client in (self._committed, self._all):
                both.callback(client.close, autocommit=False, timeout_ms=self._timeout_ms)

    def _look(self) -> bool:
        """Update the positions from the client; returns True if one has advanced."""
        moved = False
        for partition, before in self._positions.items():
            try:  # needs no request, except while a change of leader is being checked
                now = self._committed.position(self._at(partition), timeout_ms=0)
            except KafkaTimeoutError:
                continue
            if now is not None and now != before:
                self._positions[partition], moved = now, True
        return moved

    def _ask(self, question: Any, partitions: Collection[int], timeout_s: float) -> dict[int, int]:
        """One request per leader of some of these partitions."""
        with translated(f"cannot look up the offsets of {self._topic}"):
            if missing := set(partitions) - set(self._all.partitions_for_topic(self._topic) or ()):
                raise TopicMissing(f"there is no partition {min(missing)} of {self._topic}")
            found = self._of_leaders(
                question, [self._at(p) for p in partitions], int(timeout_s * 1000)
            )
            return {where.partition: offset for where, offset in found.items()}

    def _of_leaders(self, question: Any, places: list[TopicPartition], timeout_ms: int) -> Any:
        """Look up offsets, with a metadata update in between: the client repeats a request to a
        node that no longer leads the partition and never looks up the new leader (kafka-python 3.0,
        `Fetcher._fetch_offsets_by_times_async`) unless the connection is lost."""
        known_ms = min(timeout_ms // 2, _KNOWN_MS)
        try:
            return question(places, timeout_ms=known_ms)
        except KafkaTimeoutError:
            self._all._cluster.request_update()
            return question(places, timeout_ms=timeout_ms - known_ms)

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)
