"""Readings faster than the model, gathered by real processes on a real Kafka, one of which is
killed in the middle of a slot."""

from __future__ import annotations

import json
import signal
from contextlib import closing

import pytest

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import await_true
from tests.support.bundles import START_MS
from tests.support.processes import MINUTE, Site

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
#: Seconds between two readings, and streams.
STEP, STREAMS = 4, 6


def feed(site: Site, seconds: range) -> None:
    settings = KafkaSettings(bootstrap_servers=site.kafka.bootstrap_servers)
    with closing(KafkaBroker(settings).producer()) as producer:
        for t in seconds:
            for s in range(STREAMS):
                if s == STREAMS - 1 and t > 200:
                    continue  # one falls silent: its slot closes by stream time
                value = {"timestamp": START_MS + t * 1000, "value": 0.1 * s + t % 7}
                payload = json.dumps(value).encode()
                producer.produce(site.input, s % site.partitions, [b"s-%d" % s], [payload])
        producer.flush(60.0)


def test_a_process_is_killed_in_the_middle_of_a_slot(site: Site) -> None:
    """The next one has what was gathered before; all of it is as in a run without the kill."""
    gathers = {"TIME__AGGREGATE": "mean", "TIME__CLOSE_AFTER_S": "20"}
    worker = site.serving(**gathers)
    feed(site, range(0, 330, STEP))  # ends in the middle of the sixth minute
    sent = site.written(site.input)
    await_true(lambda: sum(site.offsets().values()) == sent, 60.0, "the readings are not committed")
    assert site.end(worker, signal.SIGKILL) == -signal.SIGKILL
    worker = site.serving(**gathers)
    feed(site, range(332, 662, STEP))
    expected = (STREAMS - 1) * 11 + 4
    site.await_forecasts(expected)
    assert site.end(worker) == 0

    own = {"KAFKA__GROUP": f"{site.name}-2", "TOPICS__OUTPUT": f"{site.name}-2-output"}
    undisturbed = site.serving(**gathers, **own)
    site.await_forecasts(expected, output=f"{site.name}-2-output")
    assert site.end(undisturbed) == 0
    found = site.read(site.output)
    assert found == site.read(f"{site.name}-2-output")
    sixth = [
        one
        for _, _, value in found
        if (one := json.loads(value or b""))["timestamp"] == START_MS + 5 * MINUTE
    ]
    gathered = [t % 7 for t in range(300, 360, STEP)]
    assert [one["stream"] for one in sixth].count("s-0") == 1
    assert sixth[0]["value"] == pytest.approx(sum(gathered) / len(gathered))
