"""Alternatives to Eddycast as one would write them.
Each reads `records` observations, at least once, and gives `Clock.report`.

All commit about every `COMMIT_S`, after every output before it is acknowledged, as the service
does; the clock runs from the first records polled to the commit of the last.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
from kafka import KafkaConsumer, KafkaProducer

from eddycast.service.bundle import FORECAST, STEP, Manifest
from eddycast.service.model.manifest_file import read_manifest
from tests.bench.clock import Clock

COMMIT_S = 0.1
State = dict[str, Any]


class Model:
    """The same two graphs, one row at a time."""

    def __init__(self, bundle: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.manifest: Manifest = read_manifest(bundle)
        self._step = onnxruntime.InferenceSession(str(bundle / STEP), options)
        self._forecast = onnxruntime.InferenceSession(str(bundle / FORECAST), options)
        self._names = [spec.name for spec in self.manifest.state]
        self._outputs = ["one_step", "surprise", *(f"next.{name}" for name in self._names)]
        self._read = [
            value.name for value in self._forecast.get_inputs() if value.name != "timestamp"
        ]
        self._zeros = {
            spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in self.manifest.state
        }

    def __call__(
        self, stream: bytes, observation: dict[str, Any], state: State | None
    ) -> tuple[dict[str, Any], State]:
        """The forecast record of one observation, and the stream's next state."""
        before = self._zeros if state is None else state
        timestamp = np.array([observation["timestamp"]], np.int64)
        feeds = {f"state.{name}": before[name] for name in self._names}
        feeds |= {"value": np.array([[observation["value"]]], np.float64), "timestamp": timestamp}
        one_step, surprise, *rows = self._step.run(self._outputs, feeds)
        after = dict(zip(self._names, rows, strict=True))
        future = {
            "timestamp": timestamp,
            **{name: after[name.removeprefix("state.")] for name in self._read},
        }
        (multi_step,) = self._forecast.run(["multi_step"], future)
        record = {
            "stream": stream.decode(),
            **observation,
            "model": self.manifest.label,
            "interval_ms": self.manifest.interval_ms,
            "quantiles": self.manifest.quantiles,
            "one_step": one_step[0, 0].tolist(),
            "multi_step": multi_step[0, :, 0].tolist(),
            "surprise": float(surprise[0]),
            "warm": True,
        }
        return record, after


def per_record_loop(
    address: str, source: str, sink: str, bundle: Path, records: int
) -> dict[str, float]:
    """A plain loop over kafka-python's records, state in a dict."""
    model, states = Model(bundle), dict[bytes, State]()

    def forecast(record: Any) -> bytes:
        answer, states[record.key] = model(
            record.key, orjson.loads(record.value), states.get(record.key)
        )
        return orjson.dumps(answer)

    return _loop(address, source, sink, records, forecast)


def pass_through(
    address: str, source: str, sink: str, bundle: Path, records: int
) -> dict[str, float]:
    """kafka-python alone: what comes in goes out."""
    return _loop(address, source, sink, records, lambda record: bytes(record.value))


def librdkafka(
    address: str, source: str, sink: str, bundle: Path, records: int
) -> dict[str, float]:
    """The C client alone, exactly once: what comes in goes out, in transactions."""
    from confluent_kafka import Consumer, Producer

    own = f"bench-{uuid.uuid4().hex}"
    producer = Producer(
        {
            "bootstrap.servers": address,
            "transactional.id": own,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    producer.init_transactions()
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": own,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([source])
    clock, done = Clock(), 0
    while done < records:
        messages = consumer.consume(5000, 0.5)
        if not messages:
            continue
        clock.start()
        producer.begin_transaction()
        until = time.perf_counter() + COMMIT_S
        while messages:
            for message in messages:
                producer.produce(sink, message.value(), message.key(), message.partition())
            done += len(messages)
            producer.poll(0)
            late = done >= records or time.perf_counter() > until
            messages = [] if late else consumer.consume(5000, 0.01)
        group = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), group)
        producer.commit_transaction()
        clock.stop()
    consumer.close()
    return clock.report(done)


def _loop(
    address: str, source: str, sink: str, records: int, answer: Callable[[Any], bytes]
) -> dict[str, float]:
    producer = KafkaProducer(
        bootstrap_servers=address, linger_ms=5, batch_size=512 * 1024, metrics_enabled=False
    )
    consumer = KafkaConsumer(
        source,
        bootstrap_servers=address,
        group_id=f"bench-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_poll_records=5000,
        metrics_enabled=False,
    )
    clock, send, done, committed = Clock(), producer.send, 0, 0.0
    futures: list[Any] = []
    while done < records:
        polled = consumer.poll(500)
        if polled:
            clock.start()
        for place, batch in polled.items():
            futures += [
                send(sink, answer(record), record.key, partition=place.partition)
                for record in batch
            ]
            done += len(batch)
        if time.perf_counter() - committed > COMMIT_S or done >= records:
            producer.flush()
            if not all(future.succeeded() for future in futures):
                raise RuntimeError("a record was not acknowledged")
            futures.clear()
            consumer.commit()
            clock.stop()
            committed = time.perf_counter()
    consumer.close()
    producer.close()
    return clock.report(done)


def quix(address: str, source: str, sink: str, bundle: Path, records: int) -> dict[str, float]:
    """Quix Streams with state in its store (RocksDB). Its changelog is off, because the service's
    rows are not durable in this mode either; it commits once a second, because each of its commits
    costs more; its clock stops at the last record processed, a little before the commit.
    """
    from quixstreams import Application

    model, clock = Model(bundle), Clock()
    layout = [
        (spec.name, np.dtype(spec.dtype), (1, *spec.shape), spec.row_bytes)
        for spec in model.manifest.state
    ]

    def unpack(row: bytes) -> State:
        state, at = {}, 0
        for name, dtype, shape, size in layout:
            state[name] = np.frombuffer(
                row, dtype, offset=at, count=size // dtype.itemsize
            ).reshape(shape)
            at += size
        return state

    def forecast(
        value: dict[str, Any], key: bytes, _timestamp: int, _headers: Any, state: Any
    ) -> bytes:
        clock.start()
        row = state.get_bytes("row")
        record, after = model(key, value, None if row is None else unpack(row))
        state.set_bytes("row", b"".join(after[name].tobytes() for name, *_ in layout))
        clock.stop()
        return orjson.dumps(record)

    with tempfile.TemporaryDirectory() as directory:
        app = Application(
            broker_address=address,
            consumer_group=f"bench-{uuid.uuid4().hex}",
            auto_offset_reset="earliest",
            processing_guarantee="at-least-once",
            commit_interval=1.0,
            state_dir=directory,
            use_changelog_topics=False,
            producer_extra_config={"linger.ms": 5},
            loglevel="ERROR",
        )
        incoming = app.topic(source, value_deserializer="json", key_deserializer="bytes")
        outgoing = app.topic(sink, value_serializer="bytes", key_serializer="bytes")
        app.dataframe(incoming).apply(forecast, stateful=True, metadata=True).to_topic(outgoing)
        app.run(count=records, collect=False)
    return clock.report(records)
