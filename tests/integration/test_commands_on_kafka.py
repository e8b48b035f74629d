"""The command lines of docker-compose.yml, started natively against a real Kafka:
the same, without containers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.settings import PREFIX
from tests.deploy.test_compose import command, environment
from tests.support.bundles import Walk, write_bundle

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

HALF_HOUR_MS = 1_800_000
READINGS = 300


class Nothing:
    """A listener that has no state to look after."""

    def assigned(self, partitions: Collection[int]) -> None: ...

    def revoked(self, partitions: Collection[int]) -> None: ...

    def lost(self, partitions: Collection[int]) -> None: ...


class Commands:
    """Starts `eddycast` command lines with variables of their own; ends them all at the end."""

    def __init__(self, directory: Path, variables: dict[str, str]) -> None:
        self._directory = directory
        self._variables = variables
        self.running: list[subprocess.Popen[bytes]] = []

    def start(
        self, name: str, words: list[str], variables: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """The output goes to the file `name`."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        with (self._directory / name).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "eddycast.service", *words],
                env=inherited | variables | self._variables,
                stderr=output,
                stdout=output,
                cwd=Path(__file__).parents[2],
            )
        self.running.append(process)
        return process

    def said(self, name: str) -> list[dict[str, object]]:
        """Its log; every line of it is JSON."""
        return [json.loads(line) for line in (self._directory / name).read_text().splitlines()]


@pytest.fixture
def topics() -> dict[str, str]:
    run = uuid.uuid4().hex[:8]
    return {name: f"{name}-{run}" for name in ("input", "output", "dead_letters")}


@pytest.fixture
def commands(kafka: KafkaServer, topics: dict[str, str], tmp_path: Path) -> Iterator[Commands]:
    write_bundle(tmp_path / "bundle", Walk(interval_ms=HALF_HOUR_MS))
    changed = {
        "BUNDLE__DIRECTORY": str(tmp_path / "bundle"),
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA__GROUP": topics["input"],
        "HTTP__HOST": "127.0.0.1",
        "HTTP__PORT": "0",
        **{f"TOPICS__{name.upper()}": topic for name, topic in topics.items()},
    }
    commands = Commands(tmp_path, {PREFIX + name: value for name, value in changed.items()})
    yield commands
    for process in commands.running:
        process.kill()
        process.wait()


def read(
    kafka: KafkaServer, topic: str, count: int, seconds: float = 60.0
) -> list[dict[str, object]]:
    """The first `count` records of a topic, or as many as there are in time."""
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
    admin, deadline = broker.admin(), time.monotonic() + seconds
    while admin.partitions(topic) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    admin.close()
    consumer = broker.consumer(topic, f"reader-{uuid.uuid4().hex[:8]}", Nothing())
    records: list[dict[str, object]] = []
    while len(records) < count and time.monotonic() < deadline:
        records += [
            json.loads(value or b"") for batch in consumer.poll(0.5, 1000) for value in batch.values
        ]
    consumer.close()
    return records


def test_compose_without_containers(
    kafka: KafkaServer, commands: Commands, topics: dict[str, str]
) -> None:
    sensors = commands.start(
        "simulator",
        [
            *command("simulator"),
            "--speed",
            "0",
            "--limit",
            str(READINGS),
            "--topic",
            topics["input"],
        ],
        environment("simulator"),
    )
    service = commands.start("service", command("service-1"), environment("service-1"))
    forecasts = read(kafka, topics["output"], READINGS)
    assert sensors.wait(30) == 0
    assert len(forecasts) == READINGS
    assert {forecast["interval_ms"] for forecast in forecasts} == {HALF_HOUR_MS}

    (address,) = [str(line["url"]) for line in commands.said("service") if "url" in line]
    with urllib.request.urlopen(address + "/metrics", timeout=5) as answer:
        assert f"eddycast_forecasts_total {READINGS}.0" in answer.read().decode()

    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    assert commands.said("service")[-1]["event"] == "stopped"


def test_doctor_finds_nothing_wrong_once_it_runs(
    kafka: KafkaServer, commands: Commands, topics: dict[str, str], tmp_path: Path
) -> None:
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).admin()
    admin.create_topic(topics["input"], 3)
    admin.close()
    doctor = commands.start("doctor", ["doctor"], {"COLUMNS": "200"})
    assert doctor.wait(60) == 0, (tmp_path / "doctor").read_text()
    found = (tmp_path / "doctor").read_text()
    assert "walk@" in found
    assert f"topic {topics['input']}" in found
    assert f"topic {topics['input']}-changelog" in found and "group " in found
    assert "wrong" not in found


def test_doctor_sees_topics_that_do_not_fit(
    kafka: KafkaServer, commands: Commands, topics: dict[str, str], tmp_path: Path
) -> None:
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).admin()
    admin.create_topic(topics["input"], 3)
    admin.create_topic(topics["output"], 2)
    admin.close()
    doctor = commands.start("doctor", ["doctor", "--topics.create=false"], {"COLUMNS": "200"})
    assert doctor.wait(60) == 1
    found = (tmp_path / "doctor").read_text()
    assert "2 partitions" in found
    assert f"topic {topics['dead_letters']}" in found
    assert "does not exist" in found


@pytest.mark.parametrize("signals", [1, 2])
def test_a_stop_that_cannot_finish_is_cut_short(
    signals: int, commands: Commands, kafka: KafkaServer, topics: dict[str, str]
) -> None:
    commands.start(
        "simulator", [*command("simulator"), "--speed", "3600", "--topic", topics["input"]], {}
    )
    patience = "60" if signals == 2 else "2"
    service = commands.start(
        "service",
        [*command("service-1"), "--shutdown_timeout_s", patience],
        environment("service-1"),
    )
    read(kafka, topics["output"], 1)
    with kafka.pause():
        for _ in range(signals):
            service.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        assert service.wait(15) != 0
    last = commands.said("service")[-1]
    assert last["event"] == "cut short"
    assert "since the last commit" in str(last["consequence"])
