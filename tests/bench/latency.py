"""Time from sending a reading to reading its forecast, under a steady load: real processes, the C
client on both sides, one clock."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.bench.load import PARTITIONS, START_MS
from tests.bench.plan import Plan
from tests.bench.report import Result, show
from tests.chaos.fleet import Fleet, Worker, await_true

RATE, STREAMS = 5_000, 10_000  # readings a second, of so many streams in turn
_TICK_S = 0.002
_WARM_S, _WITHIN_S = 3.0, 60.0
Reading = tuple[str, int]  # stream and timestamp


def latency(plan: Plan, bundle: Path) -> list[Result]:
    """Median and 99th percentile of both deliveries, in milliseconds."""
    found = {}
    with KafkaServer(heap="1g") as server, tempfile.TemporaryDirectory() as logs:
        address = server.bootstrap_servers
        admin = KafkaBroker(KafkaSettings(bootstrap_servers=address)).admin()
        for delivery in ("at_least_once", "exactly_once"):
            source, sink = f"readings-{delivery}", f"forecasts-{delivery}"
            for topic in (source, sink):
                admin.create_topic(topic, PARTITIONS)
            settings = {
                "BUNDLE__DIRECTORY": str(bundle.resolve()),
                "KAFKA__BOOTSTRAP_SERVERS": address,
                "KAFKA__GROUP": delivery,
                "TOPICS__INPUT": source,
                "TOPICS__OUTPUT": sink,
                "COMMIT__DELIVERY": delivery,
                "HTTP__PORT": "0",
                "LOG__FORMAT": "json",
            }
            with Fleet(settings, Path(logs)) as fleet:
                worker = fleet.start()
                what = "the worker does not serve all partitions"
                await_true(partial(_serves_all, worker), _WITHIN_S, what)
                found[delivery] = _measure(address, source, sink, plan.latency_s)
                fleet.stop()
                if fleet.failed:
                    raise SystemExit("\n".join(fleet.failed))
        admin.close()
    show(
        f"Latency: {RATE:,} readings/s of {STREAMS:,} streams, GRU-64, from sending a reading to "
        "reading its forecast",
        ["delivery", "forecasts", "median, ms", "p99, ms", "worst, ms"],
        [
            [
                delivery.replace("_", " "),
                f"{len(took):,}",
                *(f"{value:.1f}" for value in np.quantile(took, (0.5, 0.99, 1.0))),
            ]
            for delivery, took in found.items()
        ],
        "exactly once commits every 100 ms, and a reader sees what is committed",
    )
    return [
        Result(f"latency_{delivery}_p{level}", float(np.percentile(took, level)), "ms")
        for delivery, took in found.items()
        for level in (50, 99)
    ]


def _serves_all(worker: Worker) -> bool:
    return len(worker.holds()) == PARTITIONS


def _measure(address: str, source: str, sink: str, seconds: float) -> list[float]:
    """Milliseconds of each forecast of `seconds` under load, after a while that is not counted."""
    from confluent_kafka import Consumer

    reader = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    reader.subscribe([sink])
    sent: dict[Reading, float] = {}
    stop = threading.Event()
    place = (address, source, sent, stop)
    feed = threading.Thread(target=_send, args=place, name="feed", daemon=True)
    feed.start()
    took: list[float] = []
    begin = time.perf_counter() + _WARM_S
    until = begin + seconds
    while time.perf_counter() < until + _WITHIN_S and (sent or not stop.is_set()):
        if time.perf_counter() > until:
            stop.set()
        for message in reader.consume(5000, 0.01):
            now = time.perf_counter()
            record: dict[str, Any] = orjson.loads(message.value())
            at = sent.pop((record["stream"], record["timestamp"]))
            if at >= begin:
                took.append((now - at) * 1000)
    feed.join()
    reader.close()
    if sent:
        raise SystemExit(f"{len(sent):,} readings have no forecast")
    return took


def _send(address: str, topic: str, sent: dict[Reading, float], stop: threading.Event) -> None:
    """Send `RATE` readings a second, in small portions, and note when."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": address, "linger.ms": 0})
    begin, numbers = time.perf_counter(), count()
    while not stop.wait(_TICK_S):
        due = int((time.perf_counter() - begin) * RATE)
        for number in numbers:
            stream, at = number % STREAMS, START_MS + number // STREAMS * 60_000
            name = f"sensor-{stream:05d}"
            sent[name, at] = time.perf_counter()
            value = b'{"timestamp":%d,"value":20.0}' % at
            producer.produce(topic, value, name.encode(), stream % PARTITIONS)
            if number >= due:
                break
        producer.poll(0)
    producer.flush(10.0)
