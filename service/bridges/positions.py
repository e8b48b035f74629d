"""Offsets of the source up to which `feed kafka` has written everything.

They are records of a compacted topic in the cluster that is written to, and are written in the same
transaction as the readings: so the source may be another cluster, which can take no part in that
transaction. The key is the topic's id and a partition: a topic that was deleted and created again
is read from its start.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import orjson

from eddycast.service.broker.port import Broker, Producer
from eddycast.service.errors import BrokerUnavailable
from eddycast.service.records import PartitionBatch

#: Maximum records of a poll, and its timeout, s.
_RECORDS, _POLL_S = 5_000, 0.25


class Positions:
    """Next offsets of one topic of the source."""

    def __init__(self, broker: Broker, topic: str, source: str, source_id: str) -> None:
        """`topic` has one partition; `source` is the name of the topic that is read."""
        self._broker, self.topic = broker, topic
        self._source, self._source_id = source, source_id

    def read(self, patience_s: float) -> dict[int, int]:
        """Next offsets by partition. Call it after earlier writers were fenced: their transactions
        are decided then. Raises BrokerUnavailable, also if one stays open for `patience_s`."""
        found: dict[int, int] = {}
        for batch in self._batches(patience_s):
            for key, value in zip(batch.keys, batch.values, strict=True):
                place = orjson.loads(key or b"{}")
                if value is not None and place.get("id") == self._source_id:
                    found[place["partition"]] = orjson.loads(value)["next_offset"]
        return found

    def produce(self, producer: Producer, offsets: Mapping[int, int]) -> None:
        """Give next offsets to a producer whose transaction is open. Raises BrokerError."""
        keys: list[bytes | None] = [
            orjson.dumps({"topic": self._source, "id": self._source_id, "partition": partition})
            for partition in offsets
        ]
        values = [orjson.dumps({"next_offset": offset}) for offset in offsets.values()]
        producer.produce(self.topic, 0, keys, values)

    def _batches(self, patience_s: float) -> Iterator[PartitionBatch]:
        with self._broker.reader(self.topic) as reader:
            first, end = reader.first([0])[0], reader.end([0])[0]
            reader.start({0: first})
            deadline = time.monotonic() + patience_s
            while reader.position(0) < end:
                batches = reader.poll(_POLL_S, _RECORDS)
                yield from batches
                if batches:
                    deadline = time.monotonic() + patience_s
                elif time.monotonic() > deadline:
                    what = f"{self.topic} cannot be read to its end: a transaction is open there"
                    raise BrokerUnavailable(what)
