"""`feed kafka` as processes on a real Kafka, killed at chosen places and at any moment."""

from __future__ import annotations

import functools
import json
import random
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import Build, Fleet, Worker, await_true
from tests.support.feeding import raw
from tests.support.processes import Site, said
from tests.support.running import errors

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RECORDS, BAD, KILLS = 60_000, 60, 4
BY_FIELD = {
    "INPUT__STREAM": "{/device}",
    "INPUT__VALUE": "/payload/v",
    "INPUT__TIMESTAMP": "/ts",
}
COMMAND = ("-m", "eddycast.service", "feed", "kafka")
#: An abandoned transaction ends soon.
HURRIED = {
    "KAFKA__TRANSACTION_TIMEOUT_MS": "6000",
    "KAFKA__DELIVERY_TIMEOUT_MS": "5000",
    "KAFKA__REQUEST_TIMEOUT_MS": "4000",
    "KAFKA__MAX_POLL_RECORDS": "100",
    "COMMIT__INTERVAL_MS": "10",
}
LARGE = {"KAFKA__MAX_POLL_RECORDS": "5000"}


def fill(kafka: KafkaServer, topic: str) -> None:
    """RECORDS readings over two partitions, with BAD ones between them that are no JSON."""
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
    with broker.producer() as producer:
        for partition in range(2):
            values: list[bytes | None] = [raw(n) for n in range(partition, RECORDS, 2)]
            for bad in range(partition, BAD, 2):
                values.insert(bad * 7, b"bad %d" % bad)
            producer.produce(topic, partition, [None] * len(values), values)
            producer.flush(60.0)


def is_on(site: Site, before: int, worker: Worker) -> bool:
    """True once the worker reads and more is written than before, or it has ended. The last
    transaction of its predecessor may become visible after it was killed."""
    is_reading = bool(said(worker, "reading"))
    return (is_reading and site.written(site.input) > before) or worker.code is not None


@contextmanager
def feeding(
    site: Site, directory: Path, *words: str, **changes: str
) -> Iterator[Callable[..., Worker]]:
    """`start(**changes)` starts a bridge with the settings of the site."""
    variables = site.variables | BY_FIELD | HURRIED | changes
    logs = directory / f"feed{'-'.join(words)}"
    logs.mkdir()
    with Fleet(variables, logs, Build((*COMMAND, *words))) as fleet:
        yield fleet.start


def check_all_is_there_once(site: Site) -> None:
    """Every reading in the partition of its stream, every bad record as a letter, all once."""
    readings = site.read(site.input)
    assert sorted(json.loads(value or b"")["value"] for _, _, value in readings) == list(
        range(RECORDS)
    )
    assert all(p == zlib.crc32(key or b"") % site.partitions for p, key, _ in readings)
    letters = site._records(f"{site.name}-dead-letters")
    assert sorted(letter.value for letter in letters) == sorted(b"bad %d" % n for n in range(BAD))
    assert {errors(letter.headers)["error"] for letter in letters} == {b"not_json"}


def test_each_record_is_fed_once_by_processes_that_are_killed(
    site: Site, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic, chance = make_topic(2), random.Random(3)
    fill(site.kafka, topic)
    with feeding(site, tmp_path, FEED__TOPIC=topic) as start:
        for place in ("feed.1", "feed.2"):
            for after in ("1", "3"):
                worker = start(FAULTS__KILL_AT=place, FAULTS__KILL_AFTER=after)
                assert worker.wait(120.0) == -signal.SIGKILL, worker.tail()
        for number in (*[signal.SIGKILL] * KILLS, signal.SIGTERM):
            worker, before = start(), site.written(site.input)
            await_true(functools.partial(is_on, site, before, worker), 120.0, "nothing is fed")
            time.sleep(chance.uniform(0, 0.3))
            worker.signal(number)
            assert worker.wait(30.0) == (-number if number == signal.SIGKILL else 0), worker.tail()
    with feeding(site, tmp_path, "--once", FEED__TOPIC=topic, FEED__RATES_S="0.01") as start:
        worker = start(**LARGE)
        assert worker.wait(240.0) == 0, worker.tail()
    check_all_is_there_once(site)
    assert said(worker, "fed")[0]["records"] > 0, "the others were killed too late"
    assert said(worker, "feeding")[-1]["waiting"] == 0


def test_a_topic_of_another_cluster_is_fed_once(site: Site, tmp_path: Path) -> None:
    with KafkaServer(heap="256m") as other:
        broker = KafkaBroker(KafkaSettings(bootstrap_servers=other.bootstrap_servers))
        with broker.admin() as admin:
            admin.create_topic(site.input, 2)  # of the same name as the input
        (tmp_path / "other.toml").write_text(
            f'[kafka]\nbootstrap_servers = "{other.bootstrap_servers}"\n'
        )
        where = {"FEED__TOPIC": site.input, "FEED__CLUSTER": str(tmp_path / "other.toml")}
        with broker.producer() as producer, feeding(site, tmp_path, "--once", **where) as start:
            for numbers in (range(500), range(500, 900)):
                producer.produce(site.input, 1, [None] * len(numbers), [*map(raw, numbers)])
                producer.flush(60.0)
                worker = start()
                assert worker.wait(120.0) == 0, worker.tail()
                assert said(worker, "fed")[0]["records"] == len(numbers)
    values = [json.loads(value or b"")["value"] for _, _, value in site.read(site.input)]
    assert sorted(values) == list(range(900))
