"""Records that no sensor should send, in numbers that no service should mind. They stand in the
input for the undisturbed run as well, so that what they lead to is compared like everything else.

    garbage      two thousand records that cannot be read, in one partition
    gaps         a stream with a gap before every reading:
                 each asks for many calls of the graph with one row
    packed       batches of every codec, and one that unpacks to more than a worker takes
    year_9999    readings stamped at the end of all years, without a time of the broker
"""

from __future__ import annotations

import random
from collections.abc import Callable

from kafka import KafkaProducer

from tests.chaos.shapes import Shape
from tests.support.bundles import START_MS

_MINUTE_MS = 60_000
_GARBAGE, _GAPS, _PACKED = 2_000, 1_500, 300
#: As long as the bundle of a chaos run bridges.
_LONGEST_GAP = 8
#: 9999-12-31, ms.
_END_OF_YEARS = 253_402_214_400_000

Flood = Callable[[str, str, int, random.Random, Shape], None]


def _garbage(servers: str, topic: str, partition: int, draw: random.Random, shape: Shape) -> None:
    values = (
        b"",
        b"{",
        b'{"time":1,"val":2}',
        b"[1, 2]",
        draw.randbytes(200),
        b'{"timestamp":"soon","value":1}',
    )
    with KafkaProducer(bootstrap_servers=servers, linger_ms=50) as producer:
        for i in range(_GARBAGE):
            key, value = shape.one(b"garbage-%d" % (i % 50), draw.choice(values))
            producer.send(topic, value, key, partition=partition)
        producer.flush()


def _gaps(servers: str, topic: str, partition: int, draw: random.Random, shape: Shape) -> None:
    """Readings with gaps, stamped before all others, so that they evict no other stream."""
    name = b"gaps-%d" % draw.randrange(1 << 32)
    first = START_MS - _GAPS * _LONGEST_GAP * _MINUTE_MS
    with KafkaProducer(bootstrap_servers=servers, linger_ms=50) as producer:
        for i in range(_GAPS):
            value = b'{"timestamp":%d,"value":%d}' % (first + i * _LONGEST_GAP * _MINUTE_MS, i % 7)
            key, value = shape.one(name, value)
            producer.send(topic, value, key, partition=partition)
        producer.flush()


def _packed(servers: str, topic: str, partition: int, draw: random.Random, shape: Shape) -> None:
    """Readings in batches of every codec, and a record beyond `kafka.unpacked_bytes`."""
    name = b"packed-%d" % draw.randrange(1 << 32)
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        packing = {"compression_type": codec, "batch_size": 1 << 20, "max_request_size": 1 << 26}
        with KafkaProducer(bootstrap_servers=servers, linger_ms=200, **packing) as producer:
            for i in range(_PACKED):
                value = b'{"timestamp":%d,"value":%d}' % (START_MS + i * 1_000, i % 7)
                key, value = shape.one(b"%b-%d" % (name, i % 30), value)
                producer.send(topic, value, key, partition=partition)
            producer.flush()
            if codec == "zstd":
                producer.send(topic, b"z" * (40 << 20), b"large", partition=partition)
                producer.flush()


def _year_9999(servers: str, topic: str, partition: int, draw: random.Random, shape: Shape) -> None:
    with KafkaProducer(bootstrap_servers=servers, enable_idempotence=False, acks=1) as producer:
        for i in range(3):
            value = b'{"timestamp":%d,"value":%d}' % (_END_OF_YEARS + i * _MINUTE_MS, i)
            key, value = shape.one(b"late-%d" % draw.randrange(100), value)
            producer.send(topic, value, key, partition=partition, timestamp_ms=-1)
        producer.flush()


FLOODS: dict[str, Flood] = {
    "garbage": _garbage,
    "gaps": _gaps,
    "packed": _packed,
    "year_9999": _year_9999,
}
