"""Whole record batches read from kafka-python's consumer: columns, without one object per record.

`read_in_columns` replaces the reader of fetched bytes in one consumer's fetcher; its `poll` then
returns `Columns` in place of records. Requests, positions and high watermarks remain
kafka-python's. A batch that cannot be read becomes one entry (`fetched.py`).

This relies on internals of the client, which may change with its minor version (pyproject.toml pins
it). The public path does the same more slowly, and tests compare the two; `bulk=False` selects it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, UnsupportedVersionError
from kafka.net.transport import KafkaTCPTransport
from kafka.record.util import calc_crc32c

from eddycast.service.broker.kafka.batch_header import (
    CONTROL,
    CRC_FROM,
    HEAD,
    LENGTH_FROM,
    LOG_TIME,
    TRANSACTIONAL,
    VERSION,
    Head,
)
from eddycast.service.broker.kafka.compression import Corrupt, TooLarge
from eddycast.service.broker.kafka.fetched import Screen, Taken, stand_in
from eddycast.service.broker.kafka.record_decoder import Columns, MalformedBatch, decode

#: Bytes received from a socket per call; the client receives 4 KB.
_RECEIVE = 1 << 18
_RECEIVE_BY_ITSELF = KafkaTCPTransport._sock_recv
_NOTHING: Iterator[Columns] = iter(())


def read_in_columns(client: KafkaConsumer, screen: Screen) -> None:
    """Make this consumer's `poll` return lists of `Columns`, in offset order,
    in place of records."""
    client._fetcher.PartitionRecords = partial(_Fetched, screen)
    KafkaTCPTransport._sock_recv = _receive


def _receive(transport: KafkaTCPTransport) -> tuple[bytes, Any]:
    """Receive many bytes at once: after each call the client's thread waits for the decoding one,
    and with 4 KB per call reading a log takes a third longer. Applies to every connection of this
    process without TLS, which the client receives differently. Anything but plain data is left to
    the client."""
    try:
        data = transport._sock.recv(_RECEIVE)
    except OSError:
        data = b""
    return (data, None) if data else _RECEIVE_BY_ITSELF(transport)


class _Fetched:
    """Records of one partition from one fetch; replaces the client's `Fetcher.PartitionRecords`.

    A batch is decoded when its first record is taken, part by part.
    """

    def __init__(
        self,
        screen: Screen,
        fetch_offset: int,
        tp: TopicPartition,
        records: Any,
        check_crcs: bool = True,
        isolation_level: int = 0,
        aborted_transactions: Sequence[Any] | None = None,
        on_drain: Callable[[Any], None] = lambda _: None,
        **_: Any,
    ) -> None:
        self.fetch_offset = self.next_fetch_offset = fetch_offset
        self.topic_partition = tp
        self.leader_epoch = -1
        self.bytes_read = 0
        self._screen = screen
        self._data: bytes = bytes(records._buffer)
        self._at = 0
        self._check_crcs = check_crcs
        self._committed_only = bool(isolation_level)
        self._aborts = deque(
            sorted(aborted_transactions or [], key=lambda begun: begun.first_offset)
        )
        self._aborted: set[int] = set()  # producers with an aborted transaction in progress
        self._parts = _NOTHING  # of the batch that is open
        self._columns: Columns | None = None
        self._taken = 0  # of _columns
        self._behind = fetch_offset  # the offset behind the open batch
        self._on_drain = on_drain
        self._drained = False

    def __bool__(self) -> bool:
        return not self._drained

    def drain(self) -> None:
        """Discard the rest of this fetch."""
        if not self._drained:
            self._drained, self._columns, self._parts, self._data = True, None, _NOTHING, b""
            self._on_drain(self)

    def take(self, most: int | None = None) -> Taken[Columns]:
        """The next records: as many as weigh `most`, at least one. Raises CorruptRecordError where
        the next batch cannot be found, UnsupportedVersionError."""
        found: list[Columns] = []
        room = most = most or 1 << 62
        while room > 0:
            try:
                columns = self._current()
            except (CorruptRecordError, UnsupportedVersionError):
                if found:
                    break
                raise
            if columns is None:
                self.drain()
                break
            if found and columns.weight > room:
                room = 0
                break
            found.append(self._take(columns, max(1, room // columns.weight)))
            room -= len(found[-1]) * columns.weight
        return Taken(found, min(most, most - room))

    def _take(self, columns: Columns, most: int) -> Columns:
        part = columns.part(self._taken, self._taken + most)
        self._taken += len(part)
        self.next_fetch_offset = int(part.offsets[-1]) + 1
        if self._taken == len(columns):
            self._columns, self._taken = next(self._parts, None), 0
            if self._columns is None:
                self.next_fetch_offset = self._behind
        return part

    def _current(self) -> Columns | None:
        """Columns with records left to take; None at the end of the fetch."""
        while self._columns is None:
            if not self._open_next():
                return None
            self._columns, self._taken = next(self._parts, None), 0
            if self._columns is None:
                self.next_fetch_offset = self._behind
        return self._columns

    def _open_next(self) -> bool:
        """Advance by one batch; `_parts` yields its records if they are visible. False when no
        whole batch is left, or when the next one must be fetched again."""
        begin = self._at
        if len(self._data) - begin < HEAD.size:
            return False
        head = Head._make(HEAD.unpack_from(self._data, begin))
        self._check_format(head)
        end = begin + LENGTH_FROM + head.length
        if end > len(self._data):
            return False
        is_new = head.last >= self.fetch_offset
        sound = (
            not self._check_crcs
            or calc_crc32c(memoryview(self._data)[begin + CRC_FROM : end]) == head.crc
        )
        damaged = is_new and not sound
        if damaged and not self._screen.is_suspect(self.topic_partition, head.first):
            return False
        self._at, self._behind, self.leader_epoch = end, head.last + 1, head.epoch
        self.bytes_read += end - begin
        batch = self._data[begin:end]
        if damaged:
            self._parts = iter([self._stand_in(head, batch, Corrupt("its checksum is wrong"))])
        elif self._is_visible(head) and is_new:
            self._parts = self._decoded(head, batch)
        return True

    def _check_format(self, head: Head) -> None:
        if head.version != VERSION:
            what = (
                f"{_place(self.topic_partition)} offset "
                f"{self.next_fetch_offset}: a record format older than version 2"
            )
            raise UnsupportedVersionError(f"{what}: set kafka.bulk to false to read it")
        if head.length < HEAD.size - LENGTH_FROM:
            what = (
                f"{_place(self.topic_partition)} offset "
                f"{self.next_fetch_offset}: a batch of {head.length} bytes"
            )
            raise CorruptRecordError(f"{what}, too short to find the next one")

    def _decoded(self, head: Head, batch: bytes) -> Iterator[Columns]:
        """Records from `fetch_offset` on: a fetch that starts inside a batch returns the whole
        batch."""
        first = head.first
        try:
            for columns in decode(
                self._screen.unpacked(head, batch), head.records, head.first, head.first_time
            ):
                first = int(columns.offsets[-1]) + 1
                if head.attributes & LOG_TIME:
                    columns.timestamps.fill(head.last_time)
                wanted = columns.part(
                    int(np.searchsorted(columns.offsets, self.fetch_offset)), len(columns)
                )
                if len(wanted):
                    yield wanted
        except (Corrupt, TooLarge, MalformedBatch) as why:
            yield self._stand_in(head, batch, why, first)

    def _stand_in(
        self, head: Head, batch: bytes, why: Exception, first: int | None = None
    ) -> Columns:
        return stand_in(self._screen.damage(head, len(batch), why, first), head, batch)

    def _is_visible(self, head: Head) -> bool:
        """True for a batch of records, except those of an aborted transaction when only committed
        ones are read."""
        if self._committed_only and head.producer >= 0:
            while self._aborts and self._aborts[0].first_offset <= head.last:
                self._aborted.add(self._aborts.popleft().producer_id)
        if head.attributes & CONTROL:  # ends its producer's transaction, by commit or abort
            self._aborted.discard(head.producer)
            return False
        return not (head.attributes & TRANSACTIONAL and head.producer in self._aborted)


def _place(where: TopicPartition) -> str:
    return f"{where.topic} partition {where.partition}"
