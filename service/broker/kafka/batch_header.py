"""Header of a batch in Kafka's record format, version 2.

    batch = header (61 bytes), then its records, compressed together or not

The records are read by `record_decoder.py` and written by `record_encoder.py`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

#: offset, length, leader epoch, version, crc, attributes, last offset delta, first and last time,
#: producer id and epoch, first sequence number, records
HEAD = struct.Struct(">qiibIhiqqqhii")
#: Position of the crc in the header, and of the first byte that it covers.
CRC_AT, CRC_FROM = 17, 21
#: Position of the first byte that the length counts.
LENGTH_FROM = 12
VERSION = 2
CODEC, LOG_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20


class Head(NamedTuple):
    """Header of a batch, with the fields of HEAD in their order."""

    first: int  # offset
    length: int
    epoch: int  # of the leader
    version: int
    crc: int
    attributes: int
    last_delta: int
    first_time: int  # ms
    last_time: int  # ms
    producer: int
    producer_epoch: int
    sequence: int
    records: int

    @property
    def last(self) -> int:
        """Last offset of the batch."""
        return self.first + self.last_delta

    @property
    def codec(self) -> int:
        """Number of the compression codec; 0 = none."""
        return self.attributes & CODEC


def head(
    body_bytes: int, count: int, time_ms: int, attributes: int, producer: tuple[int, int, int]
) -> bytes:
    """Header of a batch, with crc 0; the broker fills in the leader epoch. `producer` holds the
    producer's id and epoch and the first sequence number."""
    length = HEAD.size - LENGTH_FROM + body_bytes
    return HEAD.pack(
        0, length, 0, VERSION, 0, attributes, count - 1, time_ms, time_ms, *producer, count
    )
