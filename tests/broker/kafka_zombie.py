"""A member as a process of its own, to be stopped in the middle of its work:
`python -m tests.broker.kafka_zombie`.

It reads, works for longer than several heartbeats, and commits an output and its offsets in one
transaction. With `live` it asks for its membership when it commits, instead of using what its last
poll captured: the mistake itself.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.broker.kafka.consumer import KafkaConsumer
from eddycast.service.broker.kafka.producer import KafkaProducer
from eddycast.service.errors import BrokerError
from eddycast.service.records import PartitionBatch, next_offset
from eddycast.service.settings.kafka import KafkaSettings
from tests.broker.tools import Listener

#: A session of a second, and work that goes on for three heartbeats after the process was woken.
TIMES: dict[str, Any] = {"heartbeat_interval_ms": 200, "session_timeout_ms": 1_000}
WORK_S = 0.6


def main() -> None:
    """Say `working`, work, and say how the commit ended."""
    address, source, sink, group, membership = sys.argv[1:]
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=address, **TIMES))
    consumer = broker.consumer(source, group, Listener())
    producer = broker.producer(f"{group}-zombie")
    batches: list[PartitionBatch] = []
    while not batches:
        batches = consumer.poll(0.1, 100)
    producer.begin()
    for batch in batches:
        producer.produce(sink, batch.partition, batch.keys, batch.values)
    producer.flush(5.0)
    woken = threading.Event()
    signal.signal(signal.SIGCONT, lambda *_: woken.set())
    print("working", flush=True)
    # the signal may reach another thread, and its handler waits for this one
    while not woken.wait(0.02):
        pass
    time.sleep(WORK_S)
    # until the client has been told
    while membership == "live" and consumer.membership.generation_id >= 0:
        time.sleep(0.02)
        consumer.capture_membership()
    try:
        commit(
            producer, consumer, source, {batch.partition: next_offset(batch) for batch in batches}
        )
        print("committed", flush=True)
    except BrokerError as error:
        print(type(error).__name__, flush=True)


def commit(
    producer: KafkaProducer, consumer: KafkaConsumer, source: str, offsets: dict[int, int]
) -> None:
    """Send the offsets in the membership that the consumer holds, even if it is none,
    and commit."""
    if consumer.membership.generation_id >= 0:
        producer.send_offsets(source, offsets, consumer, 5.0)
    else:  # past the check that stands before it
        assert producer._transactions is not None
        producer._transactions.send_offsets(consumer._for_commit(offsets), consumer.membership, 5.0)
    producer.commit(5.0)


if __name__ == "__main__":
    main()
