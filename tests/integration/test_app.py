"""A whole service inside the process: from settings to forecasts,
and every way in which a start can go wrong."""

from __future__ import annotations

import gc
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eddycast.service.app import Service
from eddycast.service.broker.memory.admin import MemoryAdmin
from eddycast.service.errors import (
    AddressInUse,
    BrokerUnavailable,
    BundleError,
    EddycastError,
    TopicMissing,
)
from eddycast.service.observability.metric_list import STAGES
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings
from tests.support.bundles import START_MS, write_bundle
from tests.support.faulty_broker import FaultyBroker

MINUTE = 60_000


class Running:
    """A service on a thread of its own."""

    def __init__(self, settings: Settings, broker: FaultyBroker) -> None:
        self.service = Service(settings, broker)
        self.stop = threading.Event()
        self.error: EddycastError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.service.run(self.stop)
        except EddycastError as error:
            self.error = error

    def end(self) -> None:
        self.stop.set()
        self._thread.join(15)
        assert not self._thread.is_alive(), "the service did not stop"
        if self.error:
            raise self.error

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self.service.url}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def broker() -> FaultyBroker:
    return FaultyBroker()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    topics = ["--topics.partitions=2", "--topics.create_input=true"]
    return load_settings(
        [f"--bundle.directory={tmp_path / 'bundle'}", "--http.port=0", *topics], {}
    )


@pytest.fixture
def start(broker: FaultyBroker) -> Iterator[Callable[[Settings], Running]]:
    started: list[Running] = []

    def begin(settings: Settings) -> Running:
        started.append(Running(settings, broker))
        return started[-1]

    yield begin
    for running in started:
        running.stop.set()


def observe(broker: FaultyBroker, values: list[float | None], first: int = 0) -> None:
    producer = broker.producer()
    records: list[bytes | None] = [
        json.dumps({"timestamp": START_MS + (first + i) * MINUTE, "value": value}).encode()
        for i, value in enumerate(values)
    ]
    producer.produce("observations", 1, [b"boiler"] * len(records), records)
    producer.flush(5)


def test_observations_become_forecasts_and_a_stop_commits_them(
    settings: Settings, tmp_path: Path, broker: FaultyBroker, start: Callable[[Settings], Running]
) -> None:
    label = write_bundle(tmp_path / "bundle").label
    running = start(settings)
    until(lambda: running.service.url is not None and running.get("/ready")[0] == 200)
    observe(broker, [1.0, 2.0, None, 4.0])
    until(lambda: len(broker.read("forecasts")) == 4)
    metrics = running.get("/metrics")[1]
    assert f'eddycast_model_info{{family="naive",model="{label}"' in metrics
    assert "eddycast_ready 1.0" in metrics
    counts = [f'eddycast_stage_seconds_count{{stage="{stage}"}}' for stage in STAGES]
    until(lambda: all(count in running.get("/metrics")[1] for count in counts))
    assert running.get("/live")[0] == 200
    running.end()

    forecasts = [json.loads(record.value or b"") for record in broker.read("forecasts")]
    assert [forecast["value"] for forecast in forecasts] == [1.0, 2.0, None, 4.0]
    assert {forecast["model"] for forecast in forecasts} == {label}

    again = start(settings)  # what was done is not done again
    until(lambda: again.service.url is not None and again.get("/ready")[0] == 200)
    observe(broker, [5.0], 4)
    until(lambda: len(broker.read("forecasts")) >= 5)
    again.end()
    assert len(broker.read("forecasts")) == 5
    assert json.loads(broker.read("forecasts")[-1].value or b"")["warm"] is True, (
        "its state has survived"
    )


def test_the_garbage_collector_is_as_before_when_a_service_has_ended(
    settings: Settings, tmp_path: Path, start: Callable[[Settings], Running]
) -> None:
    """Objects that stay frozen are never freed by a process that goes on."""
    write_bundle(tmp_path / "bundle")
    before = gc.get_threshold()
    running = start(settings)
    until(lambda: running.service.url is not None and running.get("/ready")[0] == 200)
    assert gc.get_freeze_count() > 0 and gc.get_threshold() != before
    running.end()
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)


def test_a_bundle_may_come_later(
    settings: Settings, tmp_path: Path, start: Callable[[Settings], Running]
) -> None:
    patient = settings.model_copy(
        update={"bundle": settings.bundle.model_copy(update={"wait_s": 30.0})}
    )
    running = start(patient)
    until(lambda: running.service.url is not None and "bundle" in running.get("/ready")[1])
    assert running.get("/ready")[0] == 503
    assert running.get("/live")[0] == 200
    write_bundle(tmp_path / "bundle")
    until(lambda: running.get("/ready")[0] == 200)
    running.end()


def test_a_service_that_waits_for_a_bundle_can_be_stopped(
    settings: Settings, start: Callable[[Settings], Running]
) -> None:
    patient = settings.model_copy(
        update={"bundle": settings.bundle.model_copy(update={"wait_s": 600.0})}
    )
    running = start(patient)
    until(lambda: running.service.url is not None)
    running.end()


def test_a_missing_bundle_is_an_error(settings: Settings, broker: FaultyBroker) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Service(settings, broker).run(threading.Event())


def test_a_broker_that_does_not_answer_is_waited_for(
    settings: Settings,
    tmp_path: Path,
    broker: FaultyBroker,
    start: Callable[[Settings], Running],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_bundle(tmp_path / "bundle")
    answers = threading.Event()

    def admin() -> MemoryAdmin:
        if not answers.is_set():
            raise BrokerUnavailable("nobody answers")
        return MemoryAdmin(broker)

    monkeypatch.setattr(broker, "admin", admin)
    running = start(settings)
    until(lambda: running.service.url is not None and "the broker" in running.get("/ready")[1])
    answers.set()
    until(lambda: running.get("/ready")[0] == 200)
    running.end()


def test_a_missing_topic_ends_the_start(
    settings: Settings, tmp_path: Path, broker: FaultyBroker
) -> None:
    write_bundle(tmp_path / "bundle")
    strict = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"create": False})}
    )
    with pytest.raises(TopicMissing, match="observations"):
        Service(strict, broker).run(threading.Event())


def test_a_taken_port_ends_the_start_and_an_ended_one_is_free(
    settings: Settings, tmp_path: Path, broker: FaultyBroker, start: Callable[[Settings], Running]
) -> None:
    write_bundle(tmp_path / "bundle")
    first = start(settings)
    until(lambda: first.service.url is not None)
    port = int(str(first.service.url).rsplit(":", 1)[1])
    same = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    with pytest.raises(AddressInUse, match=r"http\.port"):
        Service(same, broker).run(threading.Event())
    first.end()
    second = start(same)
    until(lambda: second.service.url is not None)
    second.end()
