"""The service itself, as `eddycast serve` assembles it, on `records` observations: with either
delivery, and, for this benchmark alone, without durable rows."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from eddycast.service.app import Service
from eddycast.service.delivery.connect import kafka_broker
from eddycast.service.observability.log import configure_log
from eddycast.service.observability.metric_kinds import METRIC_PREFIX
from eddycast.service.observability.metric_list import STAGES
from eddycast.service.settings.settings import Settings
from eddycast.service.state.changelog import MARKER_KEY
from eddycast.service.state.store import Changes, Store
from tests.bench.clock import Clock
from tests.bench.schema_registry import schema_registry


class _Broker:
    """Real Kafka, noting when the first records came and when the last of `records` was
    committed."""

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
        return self._clocked(self._broker.producer(*args, **named))

    def _clocked(self, producer: Any) -> Any:
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


class _Offsets:
    """Stand-in for the transactional producer: rows are discarded, and the consumer commits
    offsets."""

    def produce(self, *_: Any) -> None:
        """No changelog."""

    def send_offsets(self, topic: str, offsets: Mapping[int, int], consumer: Any, *_: Any) -> None:
        consumer.commit(offsets)

    def commit(self, *_: Any) -> None:
        """The offsets are."""

    begin = flush = abort = close = probe = commit


class _Forgetful(Store):
    """Rows in memory alone, without a way back: nothing is copied when it is touched."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.journal.touch = lambda *_: None  # type: ignore[method-assign]

    def changes(self, partition: int, next_offset: int) -> Changes:
        return Changes([MARKER_KEY], [None], 0)


class _WithoutChangelog(_Broker):
    """Outputs as they are, no transactions."""

    def producer(self, transactional_id: str | None = None, *rest: Any, **named: Any) -> Any:
        return (
            self._clocked(_Offsets()) if transactional_id else self._broker.producer(*rest, **named)
        )


Answer = tuple[dict[str, float], dict[str, float]]


def service(address: str, source: str, sink: str, bundle: Path, records: int) -> Answer:
    """Measure the service at least once: `Clock.report` from the first records polled to the commit
    of the last, and microseconds a record in each stage."""
    return _serve(_Broker, "at_least_once", address, source, sink, bundle, records)


def exactly_once(
    address: str,
    source: str,
    sink: str,
    bundle: Path,
    records: int,
    output: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """As `service`, as it is by default but for the settings of `output`."""
    place = (address, source, sink, bundle, records)
    with schema_registry() if output.get("format") == "avro" else nullcontext() as url:
        return _serve(_Broker, "exactly_once", *place, output=output, registry=url)


def garbage(address: str, source: str, sink: str, bundle: Path, records: int) -> Answer:
    """Measure `exactly_once` on a source in which every record is a dead letter."""
    return _serve(
        _Broker, "exactly_once", address, source, sink, bundle, records, "dead_letters_total"
    )


def without_changelog(address: str, source: str, sink: str, bundle: Path, records: int) -> Answer:
    """Measure `service` without a changelog: the baseline for the cost of durable rows."""
    with patch("eddycast.service.pipeline.Store", _Forgetful):
        return _serve(_WithoutChangelog, "at_least_once", address, source, sink, bundle, records)


def _serve(
    kind: type[_Broker],
    delivery: str,
    address: str,
    source: str,
    sink: str,
    bundle: Path,
    records: int,
    answers: str = "forecasts_total",
    output: Mapping[str, str] = MappingProxyType({}),
    registry: str | None = None,
) -> Answer:
    """`answers`: the metric that must count one for each record."""
    settings = Settings.model_validate(
        {
            "bundle": {"directory": bundle},
            "kafka": {"bootstrap_servers": address, "group": f"bench-{uuid.uuid4().hex}"},
            "topics": {"input": source, "output": sink, "dead_letters": f"{sink}-dead"},
            "http": {"port": 0},
            "commit": {"delivery": delivery, "interval_ms": 100},
            "output": dict(output),
            "schema_registry": {"url": registry},
        }
    )
    configure_log("json", "error")
    finished = threading.Event()
    client = kafka_broker(settings.kafka, settings.output.compression)
    broker = kind(client, records, finished)
    served = Service(settings, broker)
    served.run(finished)
    value = served.metrics.registry.get_sample_value
    taken, answered = _sum(served, "records_total"), _sum(served, answers)
    if not taken or answered < taken:
        raise RuntimeError(
            f"{answered:,.0f} {answers} of {taken:,.0f} records: the bundle does not fit the load"
        )
    stages = {
        s: (value(f"{METRIC_PREFIX}stage_seconds_sum", {"stage": s}) or 0.0) / taken * 1e6
        for s in STAGES
    }
    return broker.clock.report(broker.done), stages


def _sum(served: Service, name: str) -> float:
    """A metric over all its labels."""
    samples = (
        s
        for family in served.metrics.registry.collect()
        for s in family.samples
        if s.name == METRIC_PREFIX + name
    )
    return sum(sample.value for sample in samples)
