"""Whole record batches for kafka-python's producer:
encoded per column, without one call per record.

`append` puts batches into the producer's accumulator, as `send` does with records. Sequence
numbers, transactions, requests, retries and time-outs remain kafka-python's.

This relies on internals of the client, which may change with its minor version (pyproject.toml pins
it). The public path does the same more slowly, and tests compare the two; `bulk=False` selects it.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import IllegalStateError
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.util import calc_crc32c

from eddycast.service.broker.kafka.batch_header import CRC_AT, CRC_FROM, HEAD, TRANSACTIONAL, head
from eddycast.service.broker.kafka.compression import packed
from eddycast.service.broker.kafka.record_encoder import encode
from eddycast.service.records import Headers


class _Sent:
    """Result of one batch; a `sending.Result`."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch
        self.place: tuple[str, int] = tuple(batch.topic_partition)

    @property
    def is_done(self) -> bool:
        return self._batch.settled()

    @property
    def exception(self) -> BaseException | None:
        return self._batch.failure()


def append(
    client: KafkaProducer,
    topic: str,
    partition: int,
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Headers] | None,
    limit: int,
) -> list[_Sent]:
    """Queue a column as batches of at most `limit` bytes before compression, stamped with the
    wall clock, and wake the sender, which compresses them.

    Raises what the client's `send` does: ValueError if there is no such partition, KafkaError.
    """
    if partition not in client.partitions_for(topic):
        raise ValueError(f"topic {topic} has no partition {partition}")
    where, accumulator, manager = (
        TopicPartition(topic, partition),
        client._accumulator,
        client._transaction_manager,
    )
    if manager is not None and manager.is_transactional():
        manager.maybe_add_partition_to_transaction(where)
    now_ms, sent = int(time.time() * 1000), list[_Sent]()
    codec: int = client.config["compression_attrs"]
    for body, count in encode(keys, values, headers, limit):
        batch = _Batch(where, _Encoded(body, count, now_ms, codec))
        with accumulator._tp_lock(where):
            if accumulator._closed:
                raise IllegalStateError("the producer is closed")
            accumulator._batches[where].append(batch)
            accumulator._incomplete.add(batch)
        sent.append(_Sent(batch))
    client._sender.wakeup()
    return sent


class _Encoded:
    """Records that are encoded already; replaces the client's `MemoryRecordsBuilder`."""

    def __init__(self, body: bytes, count: int, time_ms: int, codec: int) -> None:
        self._body, self._count, self._time_ms, self._codec = body, count, time_ms, codec
        self._unpacked_bytes = len(body)
        self.producer_id, self.producer_epoch, self.base_sequence, self._attributes = -1, -1, -1, 0
        self._whole: bytearray | None = None

    def append(self, *_: Any) -> None:
        """Add nothing: the batch is complete."""

    def set_producer_state(
        self, producer_id: int, epoch: int, base_sequence: int, transactional: bool
    ) -> None:
        self.producer_id, self.producer_epoch, self.base_sequence = (
            producer_id,
            epoch,
            base_sequence,
        )
        self._attributes = TRANSACTIONAL if transactional else 0

    def close(self) -> None:
        """Compress the records, unless that makes them larger, and prepend the batch header once
        producer id and sequence number are known."""
        if self._whole is None:
            if self._codec and len(smaller := packed(self._codec, self._body)) < len(self._body):
                self._body = smaller
                self._attributes |= self._codec
            producer = (self.producer_id, self.producer_epoch, self.base_sequence)
            whole = bytearray(
                head(len(self._body), self._count, self._time_ms, self._attributes, producer)
            )
            whole += self._body
            struct.pack_into(">I", whole, CRC_AT, calc_crc32c(memoryview(whole)[CRC_FROM:]))
            self._whole = whole

    def buffer(self) -> bytearray | None:
        return self._whole

    def size_in_bytes(self) -> int:
        return HEAD.size + len(self._body)

    def next_offset(self) -> int:
        return self._count

    def is_full(self) -> bool:
        return True

    def compression_rate(self) -> float:
        return len(self._body) / self._unpacked_bytes


class _Batch(ProducerBatch):  # type: ignore[misc]
    """A batch with one result for all its records. If the client splits it because the topic allows
    only smaller batches, each record has a result, as if it had been sent by itself."""

    def __init__(self, where: TopicPartition, records: _Encoded) -> None:
        self._split: list[FutureRecordMetadata] | None = None
        super().__init__(where, records)

    @property
    def _record_futures(self) -> list[FutureRecordMetadata]:
        """One per record; used only by `RecordAccumulator.split_and_reenqueue`,
        which binds each to its new batch."""
        if self._split is None:
            whole, count = self.produce_future, self.record_count
            self._split = [
                FutureRecordMetadata(whole, row, -1, None, -1, -1, -1) for row in range(count)
            ]
        return self._split

    @_record_futures.setter
    def _record_futures(self, _: list[FutureRecordMetadata]) -> None:
        """Ignore the empty list that the client starts with."""

    def settled(self) -> bool:
        if self._split is not None:
            return all(future.is_done for future in self._split)
        return bool(self.produce_future.is_done)

    def failure(self) -> BaseException | None:
        if self._split is not None:
            return next(
                (future.exception for future in self._split if future.exception is not None), None
            )
        if not self.produce_future.is_done:
            return None
        _, _, exceptions = self.produce_future.value
        return None if exceptions is None else exceptions(0)
