"""The two hash functions by which Kafka producers choose the partition of a key."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final

from kafka.partitioner import murmur2

#: Default of Java and kafka-python; default of librdkafka (confluent-kafka, Go, C#) and of
#: `eddycast simulate`.
PARTITIONERS: Final[Mapping[str, Callable[[bytes], int]]] = {
    "murmur2": lambda key: int(murmur2(key)) & 0x7FFFFFFF,
    "crc32": zlib.crc32,
}
