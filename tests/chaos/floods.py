"""What a sender may do to a service: garbage in quantity, and batches of every codec."""

from __future__ import annotations

import random
import time

from kafka import KafkaProducer

from tests.chaos.scene import Scene, patient
from tests.support.bundles import START_MS

_GARBAGE = (b"", b"{", b"[1]", b'{"temperature":1}', b'{"timestamp":1,"value":"warm"}', b"\xff\xfe")


def send_garbage(scene: Scene, draw: random.Random) -> float:
    """To every partition; when it began, `time.monotonic()`."""
    began, count = time.monotonic(), draw.choice((500, 5_000))
    producer = patient(scene.site.servers).producer()
    for partition in scene.progress.ends():
        keys = [b"stream-%d" % n for n in range(count)]
        producer.produce(scene.topics.input, partition, keys, [draw.choice(_GARBAGE) for _ in range(count)])
    producer.flush(40.0)
    producer.close(5.0)
    return began


def send_packed(scene: Scene, draw: random.Random) -> float:
    """Readings in batches of every codec, then a record beyond `kafka.unpacked_bytes`; when it began."""
    began, partition = time.monotonic(), draw.choice(list(scene.progress.ends()))
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        client = KafkaProducer(
            bootstrap_servers=scene.site.servers.split(","),
            compression_type=codec,
            linger_ms=50,
            batch_size=1 << 20,
            max_request_size=1 << 26,
        )
        for n in range(100):
            stamp = START_MS + draw.randrange(60) * 60_000
            value = b'{"timestamp":%d,"value":%d}' % (stamp, n)
            client.send(scene.topics.input, value, codec.encode(), None, partition)
        client.flush(40)
        if codec == "zstd":
            client.send(scene.topics.input, b"z" * (40 << 20), b"large", None, partition)
        client.flush(40)
        client.close(5)
    return began
