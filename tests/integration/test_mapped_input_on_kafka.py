"""Records of several shapes through a whole service, on a real Kafka."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eddycast.service.__main__ import run
from eddycast.service.app import Service
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.support.bundles import START_MS
from tests.support.processes import MINUTE, Site
from tests.support.running import errors

pytestmark = pytest.mark.kafka
BOTH_WAYS = pytest.mark.parametrize("bulk", ["true", "false"])
PATIENCE_S = 90.0


@contextmanager
def served(site: Site, offsets: dict[int, int], *flags: str) -> Iterator[Service]:
    """A service in this process, once so much is committed; then it is stopped."""
    service, stop = Service(site.settings(*flags)), threading.Event()
    thread = threading.Thread(target=service.run, args=(stop,))
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while any(site.offsets().get(p, 0) < end for p, end in offsets.items()):
            assert thread.is_alive() and time.monotonic() < deadline, "it does not get on"
            time.sleep(0.1)
        yield service
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def metric(minute: int, host: str) -> dict[str, object]:
    stamp = (START_MS + minute * MINUTE) // 1000
    fields = {"usage": 10.0 + minute, "idle": 5, "note": "x"}
    return {"fields": fields, "name": "cpu", "tags": {"host": host}, "timestamp": stamp}


def send(site: Site) -> None:
    """Telegraf's records, one by one and in batches, with headers; two that are wrong, and a
    tombstone."""
    producer = KafkaBroker(KafkaSettings(bootstrap_servers=site.kafka.bootstrap_servers)).producer()
    for minute in range(6):
        trace = [("traceparent", b"00-%d" % minute), ("unit", "°C".encode())]
        batch = {"metrics": [metric(2 * minute, "b"), metric(2 * minute + 1, "b")]}
        wrong = {"metrics": [metric(20 + minute, "c"), {"name": "cpu", "tags": {"host": "c"}}]}
        for partition, document in ((0, metric(minute, "a")), (1, batch), (1, wrong)):
            value = json.dumps(document).encode()
            producer.produce(site.input, partition, [None], [value], [trace])
    producer.produce(site.input, 0, [b"k"], [b"{"], [[("traceparent", b"bad")]])
    producer.produce(site.input, 0, [b"a/cpu/usage"], [None])
    producer.flush(PATIENCE_S)
    producer.close(1.0)


@BOTH_WAYS
def test_a_mapped_input(site: Site, bulk: str, capsys: pytest.CaptureFixture[str]) -> None:
    send(site)
    flags = ["--input.preset", "telegraf", "--input.where", "header.unit", "--kafka.bulk", bulk]
    flags += ["--output.headers", "traceparent,ce_id", "--output.tombstones", "true"]
    with served(site, {0: 8, 1: 12}, *flags) as service:
        pass
    *records, gone = [r for r in site._records(site.output) if r.partition == 0]
    assert (gone.key, gone.value, list(gone.headers)) == (b"a/cpu/usage", None, [])
    assert [list(record.headers) for record in records] == [
        [("traceparent", b"00-%d" % minute)] for minute in range(6) for _ in range(2)
    ]
    written = [value for _, _, value in site.read(site.output) if value is not None]
    forecasts = [json.loads(value) for value in written]
    names = {f"{host}/cpu/{field}" for host in "abc" for field in ("usage", "idle")}
    assert {forecast["stream"] for forecast in forecasts} == names
    assert len(forecasts) == 2 * (6 + 12 + 6)
    letters = site._records(f"{site.name}-dead-letters")
    own = [dict(letter.headers)["traceparent"] for letter in letters]
    assert sorted(own) == sorted([b"bad", *(b"00-%d" % minute for minute in range(6))])
    found = [errors(letter.headers) for letter in letters]
    assert {letter["error"] for letter in found} == {b"not_json", b"no_value"}
    assert {letter.get("reading") for letter in found} == {None, b"/metrics/1"}
    connect = [dict(letter.headers)["__connect.errors.topic"] for letter in letters]
    assert connect == [site.input.encode()] * 7
    assert all(int(letter["timestamp"]) > 0 for letter in found)
    sample = service.metrics.registry.get_sample_value
    assert sample("eddycast_filtered_total") == 6 + 12 + 6, "the notes"
    server = ["--kafka.bootstrap_servers", site.kafka.bootstrap_servers]
    assert run(["input", "guess", "--topic", site.input, "--limit", "30", *server]) == 0
    assert 'preset = "telegraf"' in capsys.readouterr().out
