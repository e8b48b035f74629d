"""A mapping that is wrong, its dead letters, and their replay once it is right, on a real Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from eddycast.service.__main__ import run
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.integration.test_mapped_input_on_kafka import served
from tests.support.bundles import START_MS
from tests.support.processes import MINUTE, Site

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[2]
MENDED = ("--input.value", "/celsius", "--input.timestamp", "/ts")
#: `eddycast` in small transactions, which kills itself when it commits the third of them.
DYING = """
import os, signal, sys
from eddycast.service.__main__ import main
from eddycast.service.broker.kafka.producer import KafkaProducer
from eddycast.service.redrive import replay

commit, commits = KafkaProducer.commit, 0

def dying(producer, timeout_s=10.0):
    global commits
    commits += 1
    if commits == 3:
        producer.flush(timeout_s)
        os.kill(os.getpid(), signal.SIGKILL)
    commit(producer, timeout_s)

replay._RECORDS = 3
KafkaProducer.commit = dying
main()
"""


def send(site: Site) -> Counter[tuple[int, bytes, bytes]]:
    """Twelve records of a shape of their own, with a header each; partition, key and value."""
    producer = KafkaBroker(KafkaSettings(bootstrap_servers=site.kafka.bootstrap_servers)).producer()
    sent: Counter[tuple[int, bytes, bytes]] = Counter()
    for minute in range(6):
        for p in range(2):
            reading = {"ts": START_MS + minute * MINUTE, "celsius": 20.0 + minute}
            key, value = b"s%d" % p, json.dumps(reading).encode()
            producer.produce(site.input, p, [key], [value], [[("unit", "°C".encode())]])
            sent[p, key, value] += 1
    producer.flush(60.0)
    producer.close(1.0)
    return sent


def test_letters_of_a_wrong_mapping_become_forecasts(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = send(site)
    with served(site, {0: 6, 1: 6}):
        pass
    for name, value in site.variables.items():
        monkeypatch.setenv(f"EDDYCAST_{name}", value)
    assert run(["dead-letters", "show"]) == 0
    assert "12 letters, 0 replayed" in capsys.readouterr().out
    words = [sys.executable, "-c", DYING, "dead-letters", "replay", "--code", "no_value"]
    died = subprocess.run(words, cwd=ROOT, env=os.environ, capture_output=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    again = ["dead-letters", "replay"]
    assert run(again) == run(again) == 0
    out = capsys.readouterr().out
    assert "6 records replayed" in out and "12 letters replayed before" in out
    records = Counter(site.read(site.input))
    assert records == Counter({record: 2 * count for record, count in sent.items()})
    with served(site, {}, *MENDED):
        site.await_forecasts(12)
    found = [json.loads(value or b"") for _, _, value in site.read(site.output)]
    assert sorted((one["stream"], one["value"]) for one in found) == [
        (f"s{p}", 20.0 + minute) for p in range(2) for minute in range(6)
    ]
    assert all(dict(one.headers)["unit"] == "°C".encode() for one in site._records(site.input))
