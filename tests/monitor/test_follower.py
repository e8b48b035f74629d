"""Reading the topic: from some records back, through outages, retention and new partitions."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from eddycast.service.monitor import follower as module
from eddycast.service.monitor.board import Board
from eddycast.service.monitor.decode import Decoder, Series, by_position
from eddycast.service.monitor.follower import Follower, Progress
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.monitor import MonitorSettings
from tests.monitor.records import MINUTE, START, forecast
from tests.support.faulty_broker import FaultyBroker

TOPIC = "forecasts"
PATIENCE_S = 90.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.01)
    monkeypatch.setattr(module, "_POLL_S", 0.01)


def send(broker: FaultyBroker, records: list[dict[str, Any]], partition: int = 0) -> None:
    producer = broker.producer()
    values: list[bytes | None] = [json.dumps(record).encode() for record in records]
    producer.produce(TOPIC, partition, [None] * len(values), values)
    producer.flush(5.0)
    producer.close()


def some(stream: str, first: int, last: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [forecast(stream, step, 1.0, rng) for step in range(first, last)]


class Following(NamedTuple):
    follower: Follower
    board: Board
    polls: list[int]  # records of each poll; the last one may not be on the board yet

    @property
    def progress(self) -> Progress:
        return self.follower.progress


@contextmanager
def following(broker: FaultyBroker, **options: Any) -> Iterator[Following]:
    board = Board(MonitorSettings(max_streams=10))
    decoder = Decoder(by_position)
    polls: list[int] = []

    def take(batches: list[PartitionBatch]) -> None:
        polls.append(sum(map(len, batches)))
        decoded = decoder.decode(batches)
        with board.lock:
            board.add(decoded)

    follower = Follower(broker, TOPIC, take, **{"read_back": 1_000} | options)
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        yield Following(follower, board, polls)
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def readings(follower: Following, stream: str) -> int:
    board = follower.board
    with board.lock:
        place = board.place(Series(stream, ""))
        return 0 if place is None else int(place.panel.ring.counts[place.row])


def last_step(follower: Following) -> int:
    board = follower.board
    with board.lock:
        place = board.place(Series("a", ""))
        assert place is not None
        return (int(place.panel.last_stamps(np.array([place.row]))[0]) - START) // MINUTE


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def broker_with(records: list[dict[str, Any]], partitions: int = 1, **options: Any) -> FaultyBroker:
    broker = FaultyBroker(**options)
    broker.admin().create_topic(TOPIC, partitions)
    if records:
        send(broker, records)
    return broker


def test_it_reads_some_records_back_and_follows() -> None:
    broker = broker_with(some("a", 0, 50))
    with following(broker, read_back=20) as follower:
        wait_until(lambda: follower.progress.caught_up)
        assert readings(follower, "a") == 20
        send(broker, some("a", 50, 60))
        wait_until(lambda: readings(follower, "a") == 30)
    assert follower.progress.lag == 0


def test_it_waits_for_the_topic() -> None:
    broker = FaultyBroker()
    with following(broker) as follower:
        wait_until(lambda: TOPIC in follower.progress.trouble)
        broker.admin().create_topic(TOPIC, 1)
        send(broker, some("a", 0, 5))
        wait_until(lambda: readings(follower, "a") == 5)
    assert follower.progress.trouble == ""


@pytest.mark.parametrize("what", ["read", "end"])
def test_an_outage_costs_and_repeats_nothing(what: str) -> None:
    broker = broker_with(some("a", 0, 50))
    with following(broker) as follower:
        wait_until(lambda: readings(follower, "a") == 50)
        broker.fail_next(what, 3)
        send(broker, some("a", 50, 60))
        wait_until(lambda: readings(follower, "a") == 60)
        assert follower.board.repeats == 0


def test_records_that_retention_has_deleted_are_passed_over() -> None:
    broker = broker_with(some("a", 0, 50))
    with following(broker) as follower:
        wait_until(lambda: readings(follower, "a") == 50)
        with follower.board.lock:
            send(broker, some("a", 50, 51))
            wait_until(lambda: sum(follower.polls) == 51)  # it waits for the lock now
            send(broker, some("a", 51, 80))
            broker.delete_records(TOPIC, 0, 70)
        send(broker, some("a", 80, 90))
        wait_until(lambda: last_step(follower) == 89)
        assert readings(follower, "a") == 51 + 20


def test_partitions_that_are_added_are_read() -> None:
    broker = broker_with(some("a", 0, 5))
    with following(broker, partitions_every_s=0.05) as follower:
        wait_until(lambda: readings(follower, "a") == 5)
        broker.grow(TOPIC, 2)
        send(broker, some("b", 0, 7), partition=1)
        wait_until(lambda: readings(follower, "b") == 7)
        assert readings(follower, "a") == 5 and follower.board.repeats == 0
