"""The archive of a real Kafka, written by processes that are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from deploy.kafka import KafkaServer
from eddycast.service.archive.folder import covered_by
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import await_true

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

START_MS, KILLS, RECORDS, PARTITIONS = 1_700_000_000_000, 8, 120_000, 2


def feed(servers: str, topic: str) -> None:
    """RECORDS observations in each partition, some of them in transactions, which leave offsets
    without a record."""
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=servers))
    values = [
        json.dumps({"timestamp": START_MS + t * 1000, "value": t % 97}).encode()
        for t in range(RECORDS)
    ]
    with broker.producer("feeder") as producer:
        for start in range(0, RECORDS, 10_000):
            part = values[start : start + 10_000]
            producer.begin()
            for partition in range(PARTITIONS):
                producer.produce(topic, partition, [b"s%d" % partition] * len(part), part)
            producer.commit(30.0)


def started(servers: str, topic: str, directory: Path, *words: str) -> subprocess.Popen[bytes]:
    flags = {
        "--kafka.bootstrap_servers": servers,
        "--topics.input": topic,
        "--archive.directory": str(directory),
        "--archive.flush_s": "0.05",
    }
    line = [word for flag in flags.items() for word in flag]
    program = [sys.executable, "-m", "eddycast.service", "archive", *line, *words]
    return subprocess.Popen(program, stderr=subprocess.DEVNULL)


def written(directory: Path) -> int:
    """Records in the files."""
    return sum(covered_by(path).records for path in directory.rglob("[0-9]*.parquet"))


def await_more(directory: Path) -> None:
    """Wait until the files hold more records, or all."""
    before, whole = written(directory), RECORDS * PARTITIONS
    await_true(lambda: written(directory) > before or before == whole, 60.0, "nothing is archived")


def test_every_offset_is_archived_once_by_processes_that_are_killed(
    kafka: KafkaServer, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic, servers, chance = make_topic(PARTITIONS), kafka.bootstrap_servers, random.Random(7)
    feed(servers, topic)
    for _ in range(KILLS):
        process = started(servers, topic, tmp_path)
        await_more(tmp_path)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert started(servers, topic, tmp_path, "--once").wait(120) == 0
    frame = pl.read_parquet([str(path) for path in tmp_path.rglob("[0-9]*.parquet")])
    for partition in range(PARTITIONS):
        found = frame.filter(partition=partition).sort("offset")
        assert found["offset"].is_unique().all()
        assert found["timestamp"].to_physical().to_list() == [
            START_MS + t * 1000 for t in range(RECORDS)
        ]
    assert written(tmp_path) == RECORDS * PARTITIONS
    assert not list(tmp_path.rglob("*.part"))


def test_a_stop_writes_what_was_read(
    kafka: KafkaServer, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic, servers = make_topic(PARTITIONS), kafka.bootstrap_servers
    feed(servers, topic)
    process = started(servers, topic, tmp_path, "--archive.flush_s=3600")
    await_true(lambda: len(list(tmp_path.rglob("[0-9]*.parquet"))) == 2, 60.0, "no block is full")
    full = written(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert full < written(tmp_path) <= RECORDS * PARTITIONS
    assert started(servers, topic, tmp_path, "--once").wait(120) == 0
    assert written(tmp_path) == RECORDS * PARTITIONS
