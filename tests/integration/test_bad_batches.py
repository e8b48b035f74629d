"""Record batches of every codec, damaged ones, ones with false sizes, and ones that no reader sees,
on a real Kafka."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from eddycast.service.app import Service
from eddycast.service.errors import StateError
from tests.chaos.fleet import await_true
from tests.support.bundles import START_MS
from tests.support.processes import MINUTE, Site
from tests.support.running import errors
from tests.support.segments import damage, flip_a_bit, with_codec

pytestmark = pytest.mark.kafka
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
BOTH_WAYS = pytest.mark.parametrize("bulk", ["true", "false"])
MB = 1 << 20


def reading(minute: int, value: float = 1.0, filler: str = "") -> bytes:
    return json.dumps(
        {"timestamp": START_MS + minute * MINUTE, "value": value, "x": filler}
    ).encode()


def send(
    site: Site, codec: str, values: list[bytes], key: bytes = b"stream-0", partition: int = 0
) -> None:
    """One batch, as librdkafka writes it."""
    config = {
        "linger.ms": 200,
        "message.max.bytes": 500 * MB,
        "queue.buffering.max.kbytes": 2_000_000,
        "queue.buffering.max.messages": 1_000_000,
    }
    producer = Producer(
        {"bootstrap.servers": site.kafka.bootstrap_servers, "compression.type": codec, **config}
    )
    refused: list[Any] = []
    for value in values:
        producer.produce(
            site.input, value, key, partition=partition, on_delivery=lambda e, _: refused.append(e)
        )
    producer.flush(60)
    assert refused == [None] * len(values)


def letters(site: Site) -> list[dict[str, bytes]]:
    return [errors(record.headers) for record in site._records(f"{site.name}-dead-letters")]


@contextmanager
def served(site: Site, offsets: dict[int, int], *flags: str) -> Iterator[Service]:
    """A service in this process, until so much is committed."""
    service, stop, raised = Service(site.settings(*flags)), threading.Event(), list[Exception]()

    def run() -> None:
        try:
            service.run(stop)
        except Exception as error:  # noqa: BLE001 - raised below, in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while any(site.offsets().get(p, 0) < end for p, end in offsets.items()):
            if raised:
                raise raised[0]
            assert time.monotonic() < deadline, f"only {site.offsets()} of {offsets} is committed"
            time.sleep(0.1)
        yield service
    finally:
        stop.set()
        thread.join(30)


@BOTH_WAYS
def test_all_codecs_are_served(site: Site, bulk: str) -> None:
    """C25: compressed as librdkafka does it, small batches and such of several blocks."""
    for number, codec in enumerate(CODECS):
        send(site, codec, [reading(40 * number + i, i, "filler" * 50) for i in range(20)])
        send(site, codec, [reading(40 * number + 20 + i, i, f"{i:04d}" * 5_000) for i in range(20)])
    with served(site, {0: 200}, "--kafka.bulk", bulk):
        pass
    assert len(site.read(site.output)) == 200 and letters(site) == []


@BOTH_WAYS
def test_a_damaged_batch_is_one_dead_letter_and_its_partition_goes_on(
    site: Site, bulk: str
) -> None:
    """Exactly once: a process dies between the letter and its commit, another one begins again."""
    for minute in range(0, 40, 10):
        send(site, "lz4", [reading(minute + i) for i in range(10)])
    send(site, "none", [reading(i) for i in range(10)], b"stream-1", 1)
    damage(site.kafka, site.input, 0, 10, flip_a_bit)
    damage(site.kafka, site.input, 0, 20, with_codec(6))
    dying = site.start(FAULTS__KILL_AT="commit.5", KAFKA__BULK=bulk)
    await_true(lambda: dying.code is not None, 60.0, "it did not reach the fault")
    site.fleet.remove(dying)
    worker = site.start(KAFKA__BULK=bulk)
    await_true(
        lambda: site.offsets() == {0: 40, 1: 10} or worker.code is not None,
        60.0,
        "it does not go on",
    )
    assert worker.code is None, worker.tail()
    assert site.end(worker) == 0
    assert len(site.read(site.output)) == 30
    found = letters(site)
    assert [(one["offset"], one["last_offset"], one["error"]) for one in found] == [
        (b"10", b"19", b"undecodable"),
        (b"20", b"29", b"undecodable"),
    ]
    assert b"checksum" in found[0]["reason"] and found[0]["codec"] == b"lz4"
    assert b"offsets 20 to 29" in found[1]["reason"] and b"codec 6" in found[1]["reason"]


@BOTH_WAYS
@pytest.mark.slow
def test_memory_is_bounded_whatever_compression_claims(site: Site, bulk: str) -> None:
    """A fetch of one partition with bombs beyond the limit,
    then one full of large records within it."""
    send(site, "none", [reading(0)])
    worker = site.serving(KAFKA__BULK=bulk, KAFKA__UNPACKED_BYTES=str(16 * MB))
    await_true(lambda: site.offsets().get(0) == 1, 90.0, "nothing is served")
    before = psutil.Process(worker._process.pid).memory_info().rss
    for codec in ("gzip", "zstd", "lz4"):
        send(site, codec, [b"z" * (100 * MB)])
        send(site, codec, [b"[" * (100 * MB)])
    for _ in range(40):
        send(site, "zstd", [b"z" * (12 * MB)])
    send(site, "zstd", [b""] * 50_000, b"")
    send(site, "none", [reading(1)])
    peak, end = before, 1 + 6 + 40 + 50_000 + 1

    def done() -> bool:
        nonlocal peak
        with suppress(psutil.Error):
            peak = max(peak, psutil.Process(worker._process.pid).memory_info().rss)
        return worker.code is not None or site.offsets().get(0) == end

    await_true(done, 120.0, "it does not get past them")
    assert worker.code is None, worker.tail()
    assert len(site.read(site.output)) == 2
    written = letters(site)
    kinds = [one["error"] for one in written]
    assert kinds.count(b"too_large") == 46 and kinds.count(b"no_key") == 50_000
    bombs = [one for one in written if "codec" in one]
    assert [one["codec"] for one in bombs] == [b"gzip"] * 2 + [b"zstd"] * 2 + [b"lz4"] * 2
    assert all(b"16777216 bytes" in one["reason"] for one in bombs)
    assert peak - before < 300 * MB, f"{(peak - before) / MB:.0f} MB more than before"


def test_a_changelog_that_cannot_be_read_ends_the_restore(site: Site) -> None:
    """No row is passed over: it would begin anew as if its stream had never been seen."""
    site.feed(range(3))
    with served(site, {0: 6, 1: 6}):
        pass
    damage(site.kafka, site.changelog, 0, 0, flip_a_bit)
    with (
        pytest.raises(StateError, match=r"partition 0.*offsets 0 to .*checksum"),
        served(site, {0: 7}),
    ):
        pass


@BOTH_WAYS
def test_behind_a_transactional_producer_nothing_is_left_to_read(site: Site, bulk: str) -> None:
    """Control records at the end, aborted ones alone in a partition;
    a successor restores what was committed."""
    address = {"bootstrap.servers": site.kafka.bootstrap_servers, "transactional.id": site.name}
    producer = Producer(address)
    producer.init_transactions(30)
    rounds: list[tuple[list[str], dict[int, int]]] = [
        (["commit", "abort"], {0: 4, 1: 2}),
        (["abort", "abort", "commit", "abort"], {0: 12, 1: 8}),
    ]
    for minute, (kinds, end) in enumerate(rounds):
        for kind in kinds:
            producer.begin_transaction()
            for partition in (0, 1) if kind == "abort" else (0,):
                producer.produce(site.input, reading(minute), b"stream-%d" % partition, partition)
            producer.flush(30)
            producer.commit_transaction(30) if kind == "commit" else producer.abort_transaction(30)
        with served(site, end, "--kafka.bulk", bulk) as service:
            await_true(partial(_nothing_left, service), 90.0, "the lag is not 0")
        assert site.offsets() == end
    assert len(site.read(site.output)) == 2


def _nothing_left(service: Service) -> bool:
    value = service.metrics.registry.get_sample_value
    return [value("eddycast_consumer_lag", {"partition": p}) for p in "01"] == [0, 0]
