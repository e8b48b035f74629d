"""The Python consumer of docs/output.md, as a program over a real Kafka."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from threading import Timer

import pytest

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.monitor.records import walks
from tests.support.output_page import due_times_of_the_page, encoded, fences

pytestmark = pytest.mark.kafka
PATIENCE_S = 90.0


def test_the_consumer_prints_every_committed_forecast_with_its_due_time(
    kafka: KafkaServer, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic, records = make_topic(), walks(["a", "b"], 5)
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
    with closing(broker.producer()) as producer:
        values = encoded(records)
        producer.produce(topic, 0, [None] * len(values), values)
        producer.flush(PATIENCE_S)
    due_times, consumer = fences("python")
    consumer = consumer.replace("localhost:9092", kafka.bootstrap_servers)
    consumer = consumer.replace('"forecasts"', f'"{topic}"', 1)
    program = tmp_path / "consumer.py"
    program.write_text(due_times + consumer.replace("my-program", f"{topic}-group"))
    expected = [
        f"{record['stream']} {due} {levels[1]}\n"
        for record in records
        for due, levels in zip(due_times_of_the_page()(record), record["multi_step"], strict=True)
    ]
    running = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    limit = Timer(PATIENCE_S, running.kill)
    limit.start()
    try:
        assert running.stdout is not None
        assert list(islice(running.stdout, len(expected))) == expected
    finally:
        limit.cancel()
        running.kill()
        running.communicate()
