"""kafka-python's reading of fetched batches, record by record,
with the limits and placeholders of `fetched.py`.

Without them an error inside a batch ends the client's iterator,
and its poll (kafka-python 3.0) loops forever.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch

from eddycast.service.broker.kafka.batch_header import HEAD, VERSION, Head
from eddycast.service.broker.kafka.compression import Corrupt, TooLarge
from eddycast.service.broker.kafka.fetched import DamagedValue, Screen, Taken
from eddycast.service.broker.kafka.record_decoder import weight


def read_screened(client: KafkaConsumer, screen: Screen) -> None:
    """Make this consumer return an unreadable batch as a record whose value is a DamagedValue."""
    client._fetcher.PartitionRecords = partial(_Fetched, screen)


class _Fetched(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Records of one partition from one fetch."""

    def __init__(
        self,
        screen: Screen,
        fetch_offset: int,
        tp: TopicPartition,
        records: MemoryRecords,
        **rest: Any,
    ):
        super().__init__(fetch_offset, tp, _Batches(records, screen, tp), **rest)

    def take(self, n: int | None = None) -> Taken[Any]:
        """The next records: as many as weigh `n`, at least one. After an error the rest of the
        fetch is discarded: the client would call an exhausted iterator again and again."""
        found: list[Any] = []
        room = n = n or 1 << 62
        try:
            while room > 0 and self.record_iterator is not None:
                for record in self.record_iterator:
                    found.append(record)
                    room -= weight(len(record.key or b"") + len(record.value or b""), 1)
                    if room <= 0:
                        break
        except Exception:
            self.drain()
            if not found:
                raise
        return Taken(found, min(n, n - room))


class _Batches:
    """Replaces the client's `MemoryRecords`."""

    def __init__(self, records: MemoryRecords, screen: Screen, where: TopicPartition) -> None:
        self._records, self._screen, self._where = records, screen, where

    def next_batch(self) -> Any:
        """The next batch; None at the end, and before a batch that must be fetched again."""
        batch = self._records.next_batch()
        if batch is None or batch.magic != VERSION:
            return batch
        batch = _Batch(bytes(batch._buffer), self._screen)
        return (
            None
            if batch.is_damaged and not self._screen.is_suspect(self._where, batch.base_offset)
            else batch
        )


class _Batch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch decompressed within the limit; one record at its end replaces all that cannot be
    read."""

    _decompressed: bool

    def __init__(self, batch: bytes, screen: Screen) -> None:
        super().__init__(batch)
        self._batch, self._screen = batch, screen
        self.is_damaged = not super().validate_crc()

    def validate_crc(self) -> bool:
        return True  # `is_damaged` holds the answer

    def has_producer_id(self) -> bool:
        return not self.is_damaged and bool(super().has_producer_id())

    @property
    def is_control_batch(self) -> bool:
        return not self.is_damaged and bool(super().is_control_batch)

    def __iter__(self) -> Iterator[Any]:
        first = self.base_offset
        try:
            if self.is_damaged:
                raise Corrupt("its checksum is wrong")
            self._maybe_uncompress()
            while (record := next(self, None)) is not None:
                first = record.offset + 1
                yield record
        except (Corrupt, TooLarge, CorruptRecordError) as why:
            if first <= self.last_offset:  # otherwise only bytes after the last record are wrong
                yield self._stand_in(first, why)

    def _maybe_uncompress(self) -> None:
        if not self._decompressed and self.compression_type:
            self._buffer = bytearray(self._screen.unpacked(self._head, self._batch))
            self._pos = 0
        self._decompressed = True

    @property
    def _head(self) -> Head:
        return Head._make(HEAD.unpack_from(self._batch))

    def _stand_in(self, first: int, why: Exception) -> Any:
        """The placeholder, at the last offset, so that the client continues after the batch."""
        damage = self._screen.damage(self._head, len(self._batch), why, first)
        return SimpleNamespace(
            offset=self.last_offset,
            timestamp=self.max_timestamp,
            timestamp_type=self.timestamp_type,
            key=None,
            value=DamagedValue.of(damage, self._batch),
            headers=[],
            checksum=None,
            size_in_bytes=len(self._batch),
            validate_crc=lambda: True,
        )
