"""Which partition a producer of Kafka's world puts a key into, by the two ways that are in use."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final

from kafka.partitioner import murmur2

#: Java's and kafka-python's default, and librdkafka's (Python's confluent-kafka, Go, C#; `eddycast simulate` too).
PARTITIONERS: Final[Mapping[str, Callable[[bytes], int]]] = {
    "murmur2": lambda key: int(murmur2(key)) & 0x7FFFFFFF,
    "crc32": zlib.crc32,
}
