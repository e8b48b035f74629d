"""The input grows under a service with state: `eddycast state` moves every row to where its stream
is now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.broker.kafka.partitioning import PARTITIONERS
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.settings import PREFIX
from tests.support.bundles import RECURRENT, START_MS, write_bundle

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

MINUTE = 60_000
NAMES = [b"pump-%d" % n for n in range(9)]
ROOT = Path(__file__).parents[2]


class Plant:
    """Topics of one test, and command lines that know them."""

    def __init__(self, kafka: KafkaServer, directory: Path) -> None:
        run = uuid.uuid4().hex[:8]
        self.broker = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
        self.input, self.output, self.letters = (
            f"{name}-{run}" for name in ("input", "output", "letters")
        )
        self.group, self.directory, self._kafka = f"group-{run}", directory, kafka
        self.running: list[subprocess.Popen[bytes]] = []
        write_bundle(directory / "bundle", RECURRENT)
        changed = {
            "BUNDLE__DIRECTORY": str(directory / "bundle"),
            "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "HTTP__PORT": "0",
            "TOPICS__INPUT": self.input,
            "TOPICS__OUTPUT": self.output,
            "TOPICS__DEAD_LETTERS": self.letters,
            "TOPICS__PARTITIONS": "2",
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        self._environment = (
            inherited
            | {PREFIX + name: value for name, value in changed.items()}
            | {"COLUMNS": "200"}
        )

    def run(self, *words: str, fails: bool = False) -> str:
        """Output of a command line."""
        command = [sys.executable, "-m", "eddycast.service", *words]
        done = subprocess.run(
            command, env=self._environment, cwd=ROOT, capture_output=True, timeout=300
        )
        assert (done.returncode != 0) == fails, done.stderr.decode()
        return (done.stderr if fails else done.stdout).decode()

    def serve(self, group: str, until: int) -> None:
        """A service until there are so many forecasts in all, then SIGTERM."""
        with (self.directory / group).open("wb") as log:
            command = [sys.executable, "-m", "eddycast.service", "serve", "--kafka.group", group]
            service = subprocess.Popen(
                command, env=self._environment, cwd=ROOT, stdout=log, stderr=log
            )
        self.running.append(service)
        deadline = time.monotonic() + 60
        while len(self.forecasts()) < until:
            assert service.poll() is None and time.monotonic() < deadline, (
                self.directory / group
            ).read_text()
            time.sleep(0.2)
        service.send_signal(signal.SIGTERM)
        assert service.wait(90) == 0

    def feed(self, minutes: range, partitions: int) -> None:
        """A reading a minute of each stream, where Kafka's own producers put it."""
        producer = self.broker.producer()
        for t in minutes:
            for s, name in enumerate(NAMES):
                value = {
                    "timestamp": START_MS + t * MINUTE + s * 1000,
                    "value": 10.0 * s + (t * 7 + s) % 11,
                }
                home = PARTITIONERS["murmur2"](name) % partitions
                producer.produce(self.input, home, [name], [json.dumps(value).encode()])
        producer.flush(20)
        producer.close(1)

    def grow(self, partitions: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self._kafka.bootstrap_servers)
        admin.create_partitions(dict.fromkeys((self.input, self.output, self.letters), partitions))
        admin.close()

    def forecasts(self) -> list[dict[str, Any]]:
        """Every committed one."""
        admin = self.broker.admin()
        partitions = admin.partitions(self.output) or 0
        admin.close()
        reader, found = self.broker.reader(self.output), list[dict[str, Any]]()
        ends = reader.end(range(partitions))
        reader.start(reader.first(range(partitions)))
        while any(reader.position(p) < end for p, end in ends.items()):
            found += [
                json.loads(value or b"")
                for batch in reader.poll(0.5, 5000)
                for value in batch.values
            ]
        reader.close()
        return found


@pytest.fixture
def plant(kafka: KafkaServer, tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(kafka, tmp_path)
    admin = plant.broker.admin()
    admin.create_topic(plant.input, 2)
    admin.close()
    yield plant
    for process in plant.running:
        process.kill()
        process.wait()


def test_a_service_grows_and_forgets_nothing(plant: Plant) -> None:
    old, new, rows = f"{plant.group}-2", f"{plant.group}-3", str(plant.directory / "rows.parquet")
    plant.feed(range(6), 2)
    plant.serve(old, until=6 * len(NAMES))

    shown = json.loads(plant.run("state", "show", "pump-4", "--json", "--kafka.group", old))
    assert (shown["partition"], shown["observations"]) == (
        PARTITIONERS["murmur2"](b"pump-4") % 2,
        6,
    )
    assert "state.hidden" in plant.run("state", "show", "pump-4", "--kafka.group", old)
    assert "did you mean" in plant.run("state", "show", "pump4", "--kafka.group", old, fails=True)

    said = plant.run("state", "export", rows, "--kafka.group", old)
    assert f"{len(NAMES)} rows of 2 partitions" in said and "all of" in said
    plant.grow(3)
    refused = plant.run("serve", "--kafka.group", old, fails=True)
    assert "eddycast state import" in refused
    assert "has offsets" in plant.run("state", "import", rows, "--kafka.group", old, fails=True)
    assert "by murmur2, from 2" in plant.run("state", "import", rows, "--kafka.group", new)
    assert "has offsets" in plant.run("state", "import", rows, "--kafka.group", new, fails=True)

    plant.feed(range(6, 12), 3)
    plant.serve(new, until=12 * len(NAMES))
    grown = plant.forecasts()
    assert (
        len({(made["stream"], made["timestamp"]) for made in grown})
        == len(grown)
        == 12 * len(NAMES)
    )
    again = json.loads(plant.run("state", "show", "pump-4", "--json", "--kafka.group", new))
    assert (again["partition"], again["observations"]) == (
        PARTITIONERS["murmur2"](b"pump-4") % 3,
        12,
    )
