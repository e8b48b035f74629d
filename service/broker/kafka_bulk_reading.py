"""Whole record batches out of kafka-python's consumer: columns without an object a record.

`read_in_columns` gives one consumer's fetcher our own reader of fetched bytes; its `poll` then returns `Columns` in
place of records. All else stays kafka-python's: requests, positions, high watermarks.

It leans on the client's inside, which may change with its minor version (pyproject.toml pins it). The public path does
the same, slower, and tests compare the two; `bulk=False` of `KafkaBroker` chooses it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition, codec
from kafka.errors import CorruptRecordError, UnsupportedCodecError, UnsupportedVersionError
from kafka.net.transport import KafkaTCPTransport
from kafka.record.util import calc_crc32c

from service.broker.record_format import (
    CODEC,
    CONTROL,
    CRC_FROM,
    HEAD,
    LENGTH_FROM,
    LOG_TIME,
    TRANSACTIONAL,
    VERSION,
    Columns,
    MalformedBatch,
    decode,
)

_CODECS: dict[int, tuple[str, Callable[[], bool], Callable[[bytes], bytes]]] = {
    1: ("gzip", codec.has_gzip, codec.gzip_decode),
    2: ("snappy", codec.has_snappy, codec.snappy_decode),
    3: ("lz4", codec.has_lz4, codec.lz4_decode),
    4: ("zstd", codec.has_zstd, codec.zstd_decode),
}
#: Bytes taken from a socket by one call; the client by itself takes 4 KB.
_RECEIVE = 1 << 18
_RECEIVE_BY_ITSELF = KafkaTCPTransport._sock_recv
_VERSION_AT = 16
_ABORT = 0


def read_in_columns(client: KafkaConsumer) -> None:
    """From now on this consumer's `poll` returns lists of `Columns`, in offset order, in place of records."""
    client._fetcher.PartitionRecords = _Fetched
    KafkaTCPTransport._sock_recv = _receive


def _receive(transport: KafkaTCPTransport) -> tuple[bytes, Any]:
    """Much at once: after each call the client's thread waits for the one that decodes, and with 4 KB a call reading a
    log takes a third longer. For every connection of this process; with TLS the client has a way of its own, which
    is left alone. Whatever is not plain data the client finds itself."""
    try:
        data = transport._sock.recv(_RECEIVE)
    except OSError:
        data = b""
    return (data, None) if data else _RECEIVE_BY_ITSELF(transport)


class _Taken:
    """What the fetcher counts by its length and hands on by iteration: records by number, columns as things."""

    def __init__(self, columns: list[Columns], records: int) -> None:
        self._columns, self._records = columns, records

    def __len__(self) -> int:
        return self._records

    def __iter__(self) -> Iterator[Columns]:
        return iter(self._columns)


class _Fetched:
    """What one fetch brought of one partition; stands in for the client's `Fetcher.PartitionRecords`.

    A batch is decoded when its first record is taken. Nothing advances over a batch that cannot be decoded: whoever
    takes again meets its error again.
    """

    def __init__(
        self,
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
        self._data: bytes = bytes(records._buffer)
        self._at = 0
        self._check_crcs = check_crcs
        self._committed_only = bool(isolation_level)
        self._aborts = deque(sorted(aborted_transactions or [], key=lambda begun: begun.first_offset))
        self._aborted: set[int] = set()  # producers within a transaction that was thrown away
        self._columns: Columns | None = None
        self._taken = 0  # of _columns
        self._behind = fetch_offset  # the offset behind the batch of _columns
        self._on_drain = on_drain
        self._drained = False

    def __bool__(self) -> bool:
        return not self._drained

    def drain(self) -> None:
        """Nothing more is wanted of this fetch."""
        if not self._drained:
            self._drained, self._columns, self._data = True, None, b""
            self._on_drain(self)

    def take(self, most: int | None = None) -> _Taken:
        """The next records, at most `most`. Raises what is wrong with the batch that comes first."""
        found: list[Columns] = []
        room = most or 1 << 62
        while room:
            try:
                columns = self._current()
            except (CorruptRecordError, UnsupportedCodecError, UnsupportedVersionError):
                if found:
                    break
                raise
            if columns is None:
                self.drain()
                break
            part = columns.part(self._taken, self._taken + room)
            self._taken += len(part)
            room -= len(part)
            self.next_fetch_offset = self._behind if self._taken == len(columns) else int(part.offsets[-1]) + 1
            found.append(part)
        return _Taken(found, sum(map(len, found)))

    def _current(self) -> Columns | None:
        """The columns with something left to take; None at the end of the fetch."""
        while self._columns is None or self._taken == len(self._columns):
            if not self._open_next():
                return None
        return self._columns

    def _open_next(self) -> bool:
        """Step over one batch, and decode it if its records are for us. False when no whole batch is left."""
        begin = self._at
        if len(self._data) - begin < HEAD.size:
            return False
        if self._data[begin + _VERSION_AT] != VERSION:
            raise UnsupportedVersionError("records older than version 2 of the format: read them with bulk off")
        (first, length, epoch, _, crc, attributes, last_delta, first_time, last_time, producer, _, _, count) = (
            HEAD.unpack_from(self._data, begin)
        )
        end = begin + LENGTH_FROM + length
        if end > len(self._data):
            return False
        if self._check_crcs and calc_crc32c(memoryview(self._data)[begin + CRC_FROM : end]) != crc:
            raise CorruptRecordError(f"the batch of {self.topic_partition} at offset {first} fails its crc check")
        columns = None
        if not self._is_aborted(producer, attributes, first + last_delta):
            data = _plain(self._data[begin + HEAD.size : end], attributes & CODEC)
            columns = self._decode(data, count, first, first_time)
            if attributes & LOG_TIME:
                columns.timestamps.fill(last_time)
        if columns is not None and attributes & CONTROL:
            self._end_of_transaction(producer, columns)
            columns = None
        if columns is not None:  # a fetch from within a batch brings the whole batch
            columns = columns.part(int(np.searchsorted(columns.offsets, self.fetch_offset)), count)
        self._at, self._columns, self._taken = end, columns, 0
        self._behind, self.leader_epoch = first + last_delta + 1, epoch
        self.bytes_read += end - begin
        if not columns:
            self.next_fetch_offset = self._behind
        return True

    def _decode(self, data: bytes, count: int, first: int, first_time: int) -> Columns:
        try:
            return decode(data, count, first, first_time)
        except MalformedBatch as error:
            raise CorruptRecordError(f"the batch of {self.topic_partition} at offset {first}: {error}") from error

    def _is_aborted(self, producer: int, attributes: int, last: int) -> bool:
        """Whether the batch holds records of a transaction that was thrown away, and nobody is to see."""
        if not self._committed_only or producer < 0:
            return False
        while self._aborts and self._aborts[0].first_offset <= last:
            self._aborted.add(self._aborts.popleft().producer_id)
        return attributes & (TRANSACTIONAL | CONTROL) == TRANSACTIONAL and producer in self._aborted

    def _end_of_transaction(self, producer: int, columns: Columns) -> None:
        """A control record's key is its version and its kind."""
        if struct.unpack_from(">hh", columns.keys[0] or b"")[1] == _ABORT:
            self._aborted.discard(producer)


def _plain(data: bytes, kind: int) -> bytes:
    """Undo compression."""
    if not kind:
        return data
    name, there, undo = _CODECS.get(kind, (f"codec {kind}", lambda: False, bytes))
    if not there():
        raise UnsupportedCodecError(f"no library for {name}")
    return bytes(undo(data))
