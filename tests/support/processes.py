"""The service as it runs in earnest: real processes on a real Kafka,
with topics and a bundle of their own."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.structs import OffsetAndMetadata

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import PREFIX, Settings
from tests.chaos.fleet import Fleet, Worker, await_true
from tests.support.bundles import START_MS, write_bundle

MINUTE = 60_000
#: Rebalances within a second; sessions as short as the broker lets them be.
QUICK = {"KAFKA__HEARTBEAT_INTERVAL_MS": "200", "KAFKA__SESSION_TIMEOUT_MS": "6000"}


@dataclass
class Site:
    """One group: its topics, its bundle, and the processes that were started for it."""

    kafka: KafkaServer
    directory: Path
    fleet: Fleet
    variables: dict[str, str]
    name: str
    partitions: int = 2

    @property
    def input(self) -> str:
        return f"{self.name}-input"

    @property
    def output(self) -> str:
        return f"{self.name}-output"

    @property
    def changelog(self) -> str:
        return f"{self.name}-changelog"

    def settings(self, *flags: str) -> Settings:
        """Settings of the processes, for a service inside this one."""
        return load_settings(
            flags, {PREFIX + name: value for name, value in self.variables.items()}
        )

    def start(self, **changes: str) -> Worker:
        """A process that serves, or soon will. `changes` are variables without their prefix."""
        return self.fleet.start(**changes)

    def serving(self, **changes: str) -> Worker:
        """A process that has its share of the partitions."""
        worker = self.start(**changes)
        await_true(
            lambda: worker.holds() or worker.code is not None, 30.0, f"{worker.name} serves nothing"
        )
        assert worker.code is None, worker.tail()
        return worker

    def feed(self, minutes: range, streams: int = 4) -> None:
        """A reading a minute of each stream; stream n is in partition n modulo the partitions."""
        producer = KafkaBroker(
            KafkaSettings(bootstrap_servers=self.kafka.bootstrap_servers)
        ).producer()
        for t in minutes:
            for s in range(streams):
                value = {"timestamp": START_MS + t * MINUTE, "value": 10.0 * s + t % 7}
                producer.produce(
                    self.input,
                    s % self.partitions,
                    [b"stream-%d" % s],
                    [json.dumps(value).encode()],
                )
        producer.flush(60.0)
        producer.close(1.0)

    def spoil(self) -> None:
        """A record that becomes a dead letter."""
        settings = KafkaSettings(bootstrap_servers=self.kafka.bootstrap_servers)
        with closing(KafkaBroker(settings).producer()) as producer:
            producer.produce(self.input, 0, [b"stream-0"], [b"no JSON"])
            producer.flush(60.0)

    def read(self, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
        """Every committed record of a topic: partition, key and value, by partition and offset."""
        return [(record.partition, record.key, record.value) for record in self._records(topic)]

    def stamps(self, topic: str) -> list[int]:
        """Times at which they were written by their writer's clock, ms, in the same order."""
        return [record.timestamp for record in self._records(topic)]

    def await_forecasts(self, count: int, seconds: float = 120.0, output: str = "") -> None:
        """Wait until exactly `count` forecasts are committed."""
        with closing(self._reader(output or self.output)) as client:
            seen = 0

            def enough() -> bool:
                nonlocal seen
                seen += sum(map(len, client.poll(100).values()))
                return seen >= count

            await_true(enough, seconds, f"fewer than {count} forecasts")
        assert len(self.read(output or self.output)) == count

    def _records(self, topic: str) -> list[Any]:
        found: list[Any] = []
        with closing(self._reader(topic)) as client:
            ends = client.end_offsets(list(client.assignment()))
            while any(client.position(place) < end for place, end in ends.items()):
                found += [record for batch in client.poll(200).values() for record in batch]
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def _reader(self, topic: str) -> KafkaConsumer:
        """A client of committed records, at the beginning of a topic."""
        servers = self.kafka.bootstrap_servers
        client = KafkaConsumer(
            bootstrap_servers=servers, isolation_level="read_committed", group_id=None
        )
        client.assign([TopicPartition(topic, p) for p in client.partitions_for_topic(topic) or ()])
        client.seek_to_beginning()
        return client

    def written(self, topic: str) -> int:
        """Records of a topic, committed or not, as far as offsets tell."""
        with closing(
            KafkaConsumer(bootstrap_servers=self.kafka.bootstrap_servers, group_id=None)
        ) as client:
            places = [TopicPartition(topic, p) for p in client.partitions_for_topic(topic) or ()]
            return sum(client.end_offsets(places).values())

    def offsets(self) -> dict[int, int]:
        """Committed offsets of the group."""
        settings = KafkaSettings(bootstrap_servers=self.kafka.bootstrap_servers)
        with KafkaBroker(settings).admin() as admin:
            return admin.group_offsets(self.name, self.input)

    def set_offsets(self, offsets: dict[int, int]) -> None:
        """Change the group's offsets as Kafka's own tools do; no member may be active."""
        places = {
            TopicPartition(self.input, p): OffsetAndMetadata(offset, "", -1)
            for p, offset in offsets.items()
        }
        self._ask(lambda admin: admin.alter_group_offsets(self.name, places))

    def delete_topic(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""
        self._ask(lambda admin: admin.delete_topics([topic]))
        admin = KafkaBroker(KafkaSettings(bootstrap_servers=self.kafka.bootstrap_servers)).admin()
        await_true(lambda: admin.partitions(topic) is None, 60.0, f"{topic} is still there")
        admin.close()

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete records as retention does. The policy changes for the moment,
        because a compacted topic refuses that."""
        for policy in ("delete", "compact"):
            change = ConfigResource(
                ConfigResourceType.TOPIC, topic, configs={"cleanup.policy": policy}
            )
            self._ask(lambda admin, change=change: admin.alter_configs([change]))
            if policy == "delete":
                self._ask(
                    lambda admin: admin.delete_records({TopicPartition(topic, partition): before})
                )

    def end(
        self, worker: Worker, number: signal.Signals = signal.SIGTERM, within_s: float = 120.0
    ) -> int:
        """Stop a worker and return its exit code."""
        self.fleet.remove(worker)
        worker.signal(number)
        return worker.wait(within_s)

    def _ask(self, question: Any) -> Any:
        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        try:
            return question(admin)
        finally:
            admin.close()


def said(worker: Worker, event: str = "") -> list[dict[str, Any]]:
    """Lines of a worker's log, those of one event if it is named.
    What is not JSON comes as `text`."""
    lines = worker.log.read_text(errors="replace").splitlines()
    parsed = [json.loads(line) if line.startswith("{") else {"text": line} for line in lines]
    return [line for line in parsed if not event or line.get("event") == event]


@pytest.fixture
def site(kafka: KafkaServer, tmp_path: Path) -> Iterator[Site]:
    """A group with an input of two partitions. What still runs at the end is killed."""
    write_bundle(tmp_path / "bundle")
    name = f"days-{uuid.uuid4().hex[:8]}"
    variables = QUICK | {
        "BUNDLE__DIRECTORY": str(tmp_path / "bundle"),
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA__GROUP": name,
        "TOPICS__INPUT": f"{name}-input",
        "TOPICS__OUTPUT": f"{name}-output",
        "TOPICS__DEAD_LETTERS": f"{name}-dead-letters",
        "TOPICS__PARTITIONS": "2",
        "HTTP__PORT": "0",
        "LOG__FORMAT": "json",
    }
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).admin()
    admin.create_topic(variables["TOPICS__INPUT"], 2)
    admin.close()
    with Fleet(variables, tmp_path) as fleet:
        yield Site(kafka, tmp_path, fleet, variables, name)
