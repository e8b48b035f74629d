"""The service itself, as `eddycast serve` assembles it, on `records` observations."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.app import Service
from service.broker.port import Consumer, RebalanceListener
from service.connect import kafka_broker
from service.log import configure_log
from service.metrics import PREFIX, STAGES
from service.settings import Settings
from tests.bench.clock import Clock


class _Clocked:
    """A consumer that notes when its first records came and when the last of `records` was committed."""

    def __init__(self, consumer: Consumer, records: int, finished: threading.Event) -> None:
        self._consumer, self._records, self._finished = consumer, records, finished
        self._offsets: dict[int, int] = {}
        self.clock, self.done = Clock(), 0

    def poll(self, timeout_s: float, max_records: int) -> Any:
        batches = self._consumer.poll(timeout_s, max_records)
        if batches:
            self.clock.start()
        return batches

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._consumer.commit(offsets)
        self._offsets.update(offsets)
        if not self._finished.is_set():
            self.clock.stop()
            self.done = sum(self._offsets.values())
            if self.done >= self._records:
                self._finished.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


class _Broker:
    """Real Kafka, its consumer clocked."""

    def __init__(self, broker: Any, records: int, finished: threading.Event) -> None:
        self._broker, self._records, self._finished = broker, records, finished
        self.consumer_: _Clocked | None = None

    def consumer(self, topic: str, group: str, listener: RebalanceListener, start_at: str = "earliest") -> Any:
        self.consumer_ = _Clocked(
            self._broker.consumer(topic, group, listener, start_at), self._records, self._finished
        )
        return self.consumer_

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


def service(
    address: str, source: str, sink: str, bundle: Path, records: int
) -> tuple[dict[str, float], dict[str, float]]:
    """`Clock.report` from the first records polled to the commit of the last; microseconds a record in each stage."""
    settings = Settings.model_validate(
        {
            "bundle": {"directory": bundle},
            "kafka": {"bootstrap_servers": address, "group": f"bench-{uuid.uuid4().hex}"},
            "topics": {"input": source, "output": sink, "dead_letters": f"{sink}-dead"},
            "http": {"port": 0},
        }
    )
    configure_log("json", "error")
    finished = threading.Event()
    broker = _Broker(kafka_broker(settings.kafka), records, finished)
    served = Service(settings, broker)
    served.run(finished)
    consumer = broker.consumer_
    if consumer is None:
        raise RuntimeError("the service joined no group")
    value = served.metrics.registry.get_sample_value
    taken = value(PREFIX + "records_total") or 1.0
    stages = {s: (value(f"{PREFIX}stage_seconds_sum", {"stage": s}) or 0.0) / taken * 1e6 for s in STAGES}
    return consumer.clock.report(consumer.done), stages
