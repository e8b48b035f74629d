"""Integers of variable length, as Kafka's record batches and Avro have them."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """A zigzag varint of a number within 64 bits."""
    left, out = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])
