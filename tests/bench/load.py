"""Fill a topic: every stream has a reading once a minute, in turn."""

from __future__ import annotations

import numpy as np

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings

START_MS = 1_700_000_000_000 // 60_000 * 60_000
PARTITIONS = 4
_CHUNK = 10_000


def fill(
    bootstrap_servers: str, topic: str, records: int, streams: int, field: bytes = b"value"
) -> None:
    """Create `topic` and put `records` observations of `streams` streams into it; a stream keeps to
    one partition. With another `field` than "value" none of them is one."""
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=bootstrap_servers))
    admin = broker.admin()
    admin.create_topic(topic, PARTITIONS)
    admin.close()
    values = np.random.default_rng(3).normal(20.0, 2.0, records).round(3)
    producer = broker.producer()
    for start in range(0, records, _CHUNK):
        numbers = range(start, min(start + _CHUNK, records))
        for partition in range(PARTITIONS):
            mine = [number for number in numbers if number % streams % PARTITIONS == partition]
            keys = [b"sensor-%05d" % (number % streams) for number in mine]
            stamps = (START_MS + number // streams * 60_000 for number in mine)
            rows = zip(stamps, values[mine], strict=True)
            producer.produce(
                topic,
                partition,
                keys,
                [b'{"timestamp":%d,"%b":%.3f}' % (stamp, field, value) for stamp, value in rows],
            )
        producer.flush(60.0)
    producer.close(10.0)
