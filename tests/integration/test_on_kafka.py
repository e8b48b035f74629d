"""A whole service inside this process, on a real Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from eddycast.service.app import Service
from eddycast.service.broker.kafka import consumer as kafka_consumer
from eddycast.service.broker.kafka import producer as kafka_producer
from eddycast.service.broker.kafka import reader as kafka_reader
from tests.support.processes import Site

pytestmark = pytest.mark.kafka


def refuse(*_: Any) -> Any:
    raise AssertionError("the client's inside is not to be used")


@pytest.fixture
def serve(site: Site) -> Callable[..., None]:
    """Serve with these flags until so many forecasts are there, then stop."""

    def until(forecasts: int, *flags: str) -> None:
        service, stop = Service(site.settings(*flags)), threading.Event()
        thread = threading.Thread(target=service.run, args=(stop,))
        thread.start()
        try:
            deadline = time.monotonic() + 30
            while (
                int(service.metrics.registry.get_sample_value("eddycast_forecasts_total") or 0)
                < forecasts
            ):
                assert thread.is_alive() and time.monotonic() < deadline, (
                    "the forecasts did not come"
                )
                time.sleep(0.05)
        finally:
            stop.set()
            thread.join(20)

    return until


def test_whole_batches_and_the_clients_public_calls_do_the_same(
    site: Site, serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.feed(range(3))
    serve(12)
    site.feed(range(3, 4))
    another = ["--kafka.group", f"{site.name}-2", "--topics.output", f"{site.name}-2-output"]
    with monkeypatch.context() as patched:
        for module in (kafka_consumer, kafka_reader):
            patched.setattr(module, "read_in_columns", refuse)
        patched.setattr(kafka_producer, "append", refuse)
        serve(16, *another, "--kafka.bulk=false")
        serve(4, "--kafka.bulk=false")  # by rows that the other way wrote
    site.feed(range(4, 5))
    serve(4)
    bulk, public = site.read(site.output), site.read(f"{site.name}-2-output")
    assert len(bulk) == 20 and len(public) == 16
    assert [record for p in (0, 1) for record in [r for r in bulk if r[0] == p][:8]] == public
