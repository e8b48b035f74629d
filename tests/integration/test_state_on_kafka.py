"""`eddycast state` on a real Kafka: when the input grows every row moves to where its stream is;
a new group is seeded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
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


def readings(minutes: range) -> list[tuple[bytes, int, float]]:
    """A reading a minute of each stream: name, stamp and value."""
    return [
        (name, START_MS + t * MINUTE + s * 1000, 10.0 * s + (t * 7 + s) % 11)
        for t in minutes
        for s, name in enumerate(NAMES)
    ]


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
        self.bundle = directory / "bundle"
        write_bundle(self.bundle, RECURRENT)
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
        for name, stamp, number in readings(minutes):
            value = json.dumps({"timestamp": stamp, "value": number}).encode()
            home = PARTITIONERS["murmur2"](name) % partitions
            producer.produce(self.input, home, [name], [value])
        producer.flush(20)
        producer.close(1)

    def grow(self, partitions: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self._kafka.bootstrap_servers)
        admin.create_partitions(dict.fromkeys((self.input, self.output, self.letters), partitions))
        admin.close()

    def forecasts(self) -> list[dict[str, Any]]:
        """All committed forecasts."""
        return [json.loads(value or b"") for _, value in self.outputs()]

    def outputs(self) -> list[tuple[bytes | None, bytes | None]]:
        """Keys and values of all committed forecasts."""
        admin = self.broker.admin()
        partitions = admin.partitions(self.output) or 0
        admin.close()
        reader = self.broker.reader(self.output)
        found = list[tuple[bytes | None, bytes | None]]()
        ends = reader.end(range(partitions))
        reader.start(reader.first(range(partitions)))
        while any(reader.position(p) < end for p, end in ends.items()):
            for batch in reader.poll(0.5, 5000):
                found += zip(batch.keys, batch.values, strict=True)
        reader.close()
        return found


@pytest.fixture
def make_plant(kafka: KafkaServer, tmp_path: Path) -> Iterator[Callable[[], Plant]]:
    plants = list[Plant]()

    def make() -> Plant:
        plant = Plant(kafka, tmp_path / f"{len(plants)}")
        plants.append(plant)
        with plant.broker.admin() as admin:
            admin.create_topic(plant.input, 2)
        return plant

    yield make
    for process in [process for plant in plants for process in plant.running]:
        process.kill()
        process.wait()


@pytest.fixture
def plant(make_plant: Callable[[], Plant]) -> Plant:
    return make_plant()


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


def test_the_first_forecasts_of_a_seeded_group_are_those_of_one_that_has_read_everything(
    make_plant: Callable[[], Plant],
) -> None:
    """Its history begins in a file, and goes on in its input."""
    old, young = make_plant(), make_plant()
    old.feed(range(12), 2)
    old.serve(old.group, until=12 * len(NAMES))

    file = young.directory / "history.csv"
    rows = [f"{name.decode()},{stamp},{number}" for name, stamp, number in readings(range(10))]
    file.write_text("\n".join(["stream,timestamp,value", *rows]))
    young.feed(range(8, 12), 2)
    command = "state", "seed", str(young.bundle), str(file), "--from-topic"
    said = young.run(*command, "--kafka.group", young.group)
    assert f"{len(NAMES)} rows in 2 partitions" in said
    assert f"{10 * len(NAMES)} readings of files and {4 * len(NAMES)} of" in said
    assert f"{2 * len(NAMES)} of them in both" in said
    assert not young.forecasts()
    refused = young.run(*command, "--kafka.group", young.group, fails=True)
    assert "has offsets" in refused and "--replace" in refused

    for one in (old, young):
        one.feed(range(12, 15), 2)
    young.serve(young.group, until=3 * len(NAMES))
    old.serve(old.group, until=15 * len(NAMES))
    new = START_MS + 12 * MINUTE
    later = [value for value in old.outputs() if json.loads(value[1] or b"")["timestamp"] >= new]
    assert sorted(young.outputs()) == sorted(later)
    assert all(one["warm"] for one in young.forecasts())
