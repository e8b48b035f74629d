"""The service itself, as `eddycast serve` assembles it, on `records` observations."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.app import Service
from service.connect import kafka_broker
from service.log import configure_log
from service.metrics import PREFIX, STAGES
from service.settings import Settings
from tests.bench.clock import Clock


class _Broker:
    """Real Kafka, noting when the first records came and when the last of `records` was committed."""

    def __init__(self, broker: Any, records: int, finished: threading.Event) -> None:
        self._broker, self._records, self._finished = broker, records, finished
        self._sent: dict[int, int] = {}
        self._offsets: dict[int, int] = {}
        self.clock, self.done = Clock(), 0

    def consumer(self, *args: Any, **named: Any) -> Any:
        consumer = self._broker.consumer(*args, **named)
        poll = consumer.poll

        def clocked(timeout_s: float, max_records: int) -> Any:
            batches = poll(timeout_s, max_records)
            if batches:
                self.clock.start()
            return batches

        consumer.poll = clocked
        return consumer

    def producer(self, *args: Any, **named: Any) -> Any:
        producer = self._broker.producer(*args, **named)
        send_offsets, commit = producer.send_offsets, producer.commit

        def sent(topic: str, offsets: Mapping[int, int], *rest: Any, **more: Any) -> None:
            self._sent = dict(offsets)
            send_offsets(topic, offsets, *rest, **more)

        def committed(*rest: Any, **more: Any) -> None:
            commit(*rest, **more)
            self._offsets.update(self._sent)
            if not self._finished.is_set():
                self.clock.stop()
                self.done = sum(self._offsets.values())
                if self.done >= self._records:
                    self._finished.set()

        producer.send_offsets, producer.commit = sent, committed
        return producer

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
            "commit": {"delivery": "at_least_once"},
        }
    )
    configure_log("json", "error")
    finished = threading.Event()
    broker = _Broker(kafka_broker(settings.kafka), records, finished)
    served = Service(settings, broker)
    served.run(finished)
    value = served.metrics.registry.get_sample_value
    taken = value(PREFIX + "records_total") or 1.0
    stages = {s: (value(f"{PREFIX}stage_seconds_sum", {"stage": s}) or 0.0) / taken * 1e6 for s in STAGES}
    return broker.clock.report(broker.done), stages
