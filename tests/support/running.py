"""A pipeline over the in-process broker, turned by hand or by a thread of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from eddycast.service.broker.memory.log import Record
from eddycast.service.dead_letters.headers import OWN
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.health import Health
from eddycast.service.observability.metric_kinds import METRIC_PREFIX
from eddycast.service.observability.metrics import Metrics
from eddycast.service.pipeline import Pipeline
from eddycast.service.registry.following import Follower
from eddycast.service.registry.registry import Registry
from eddycast.service.registry.starting import Started
from tests.support.faulty_broker import FaultyBroker
from tests.support.tuning import Tuning

INPUT, OUTPUT, DEAD, CHANGELOG = "observations", "forecasts", "dead-letters", "eddycast-changelog"
#: No wait for records, so that a turn by hand returns at once, a commit at the end of each turn
#: that has one, and time enough for all that one poll brings.
AT_ONCE = Tuning()


def memory_broker(partitions: int = 1) -> FaultyBroker:
    """A broker with the four topics."""
    broker = FaultyBroker()
    for topic in (INPUT, OUTPUT, DEAD, CHANGELOG):
        broker.admin().create_topic(topic, partitions)
    return broker


@dataclass
class Worker:
    """One pipeline with what a test looks at."""

    pipeline: Pipeline
    metrics: Metrics
    health: Health
    follower: Follower | None = None

    def look(self) -> None:
        """Look at the registry, as the follower's thread does now and then."""
        assert self.follower is not None
        self.follower.look()

    def turn(self, times: int = 1) -> int:
        """Turn by hand; how many records came. A turn that only brought rows back is followed by
        another at once."""
        return sum(self._turn() for _ in range(times))

    def _turn(self) -> int:
        partitions, taken = self.pipeline._delivery.partitions, 0
        for _ in range(100):
            if self.follower is not None and self.follower._wake.is_set():
                self.follower._wake.clear()
                self.follower.look()
            before = set(partitions.serving)
            taken += self.pipeline.turn()
            if not partitions.pending and set(partitions.serving) <= before:
                break
        return taken

    def finish(self) -> None:
        """Stop at once, as after a signal: commit, leave, close."""
        stop = threading.Event()
        stop.set()
        self.pipeline.run(stop)

    def value(self, name: str, **labels: str) -> float:
        """A sample of the metrics; 0 if it was never counted."""
        return self.metrics.registry.get_sample_value(METRIC_PREFIX + name, labels) or 0.0


def worker(
    broker: FaultyBroker,
    runtime: Runtime,
    options: Tuning = AT_ONCE,
    name: str = "0",
    reached: CrashPoint | None = None,
    registry: Registry | None = None,
) -> Worker:
    """A pipeline that has joined the group but not polled yet.
    Workers of one broker have names of their own. With a registry its champion is served."""
    metrics, health = Metrics(CollectorRegistry()), Health(stalled_after_s=60.0)
    topology = options.topology(broker, INPUT)
    follower = None
    if registry is not None and (change := registry.newest()) is not None:
        runtime = registry.load(change.change.champion)
        started = Started(runtime, change, registry, None)
        follower = Follower(started, lambda _: options.max_streams, metrics, 60.0)
    served = options.settings(name), topology, metrics, health, reached, follower
    pipeline = Pipeline(broker, runtime, *served)
    pipeline.poll_s = options.poll_timeout_s
    return Worker(pipeline, metrics, health, follower)


@contextmanager
def running(subject: Worker) -> Iterator[None]:
    """The worker runs in a thread while the block lasts, and is stopped as by a signal.
    Raises what it raised."""
    stop, raised = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            subject.pipeline.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    if raised:
        raise raised[0]


def send(broker: FaultyBroker, readings: Sequence[tuple[int, bytes, Any]]) -> None:
    """Records for the input topic: partition, key, and the value as JSON (bytes go as they are)."""
    producer = broker.producer()
    for partition, key, value in readings:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        producer.produce(INPUT, partition, [key], [text])
    producer.flush(1.0)


def made(broker: FaultyBroker, topic: str = OUTPUT) -> list[Record]:
    """Records written to the topic."""
    return broker.read(topic)


def errors(headers: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
    """The headers of a dead letter that were added to the record's, without their prefix."""
    return {name.removeprefix(OWN): value for name, value in headers if name.startswith(OWN)}


def documents(broker: FaultyBroker) -> list[dict[str, Any]]:
    """The forecasts, parsed."""
    return [json.loads(record.value or b"null") for record in made(broker)]


def committed(broker: FaultyBroker, group: str = AT_ONCE.group) -> dict[int, int]:
    """The group's next offsets."""
    return dict(broker.group(INPUT, group).committed)
