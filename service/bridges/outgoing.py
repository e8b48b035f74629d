"""Readings and dead letters on their way to Kafka, as columns by topic and partition."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from eddycast.service.bridges.target import Target
from eddycast.service.broker.port import Producer
from eddycast.service.dead_letters.headers import dead_letter
from eddycast.service.formats.plain_record import plain_record
from eddycast.service.records import DeadLetter, Headers


@dataclass(slots=True)
class _Columns:
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)


class Outgoing:
    """Records that are written together, in the order in which they are added."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._columns: defaultdict[tuple[str, int], _Columns] = defaultdict(_Columns)
        self.readings = self.letters = self.tombstones = 0

    def add_reading(
        self, stream: bytes, timestamp: int, values: list[float], headers: Headers
    ) -> None:
        """Add a reading with the headers of its record; `timestamp` in ms, NaN = missing."""
        value = plain_record(timestamp, values[0] if len(values) == 1 else values)
        self._add(self._target.topic, self._target.partition(stream), stream, value, headers)
        self.readings += 1

    def add_tombstone(self, stream: bytes, headers: Headers) -> None:
        """Add the request to forget a stream."""
        self._add(self._target.topic, self._target.partition(stream), stream, None, headers)
        self.tombstones += 1

    def add_letter(self, letter: DeadLetter) -> None:
        """Add a dead letter."""
        partition = max(letter.partition, 0) % self._target.letter_partitions
        record = dead_letter(letter, self._target.letter_bytes)
        self._add(self._target.dead_letters, partition, *record)
        self.letters += 1

    def produce(self, producer: Producer) -> None:
        """Give everything to a producer. Raises BrokerError."""
        for (topic, partition), columns in self._columns.items():
            headers = columns.headers if any(columns.headers) else None
            producer.produce(topic, partition, columns.keys, columns.values, headers)

    def _add(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> None:
        columns = self._columns[topic, partition]
        columns.keys.append(key)
        columns.values.append(value)
        columns.headers.append(headers)
