"""Batches in the files of a real broker: what a bad disk does to them, done by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from kafka.record.util import calc_crc32c

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.batch_header import CRC_AT, CRC_FROM

_ATTRIBUTES_AT = 21


def damage(
    server: KafkaServer, topic: str, partition: int, offset: int, how: Callable[[bytearray], None]
) -> None:
    """Change the batch that begins at `offset`.
    The broker hands out what its file holds and looks no further."""
    folder = server.log_files()[0].parent
    (segment,) = folder.glob(f"**/{topic}-{partition}/*.log")
    data = segment.read_bytes()
    begin, end = _find(data, offset, segment)
    batch = bytearray(data[begin:end])
    how(batch)
    with segment.open("r+b") as file:
        file.seek(begin)
        file.write(batch)


def flip_a_bit(batch: bytearray) -> None:
    """Its checksum is wrong."""
    batch[-3] ^= 1


def with_codec(number: int) -> Callable[[bytearray], None]:
    """It claims another codec than its records have, its checksum is right."""

    def change(batch: bytearray) -> None:
        (attributes,) = struct.unpack_from(">h", batch, _ATTRIBUTES_AT)
        struct.pack_into(">h", batch, _ATTRIBUTES_AT, attributes & ~7 | number)
        struct.pack_into(">I", batch, CRC_AT, calc_crc32c(memoryview(batch)[CRC_FROM:]))

    return change


def _find(data: bytes, offset: int, segment: Path) -> tuple[int, int]:
    at = 0
    while at < len(data):
        first, length = struct.unpack_from(">qi", data, at)
        if first == offset:
            return at, at + 12 + length
        at += 12 + length
    raise LookupError(f"no batch begins at offset {offset} in {segment}")
