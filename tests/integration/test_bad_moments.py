"""Bad moments of real processes on a real Kafka:
signals while rows come back or a commit is under way, and clocks."""

from __future__ import annotations

import signal
import time

import pytest

from eddycast.service.app import CUT_SHORT
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import Worker, await_true
from tests.support.processes import Site, said

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def forecasts(site: Site) -> list[tuple[int, bytes | None, bytes | None]]:
    return site.read(site.output)


def undisturbed(site: Site, count: int) -> list[tuple[int, bytes | None, bytes | None]]:
    """`count` forecasts of another group for the same input, without faults."""
    group = f"{site.name}-calm"
    other = {
        "KAFKA__GROUP": group,
        "TOPICS__OUTPUT": f"{group}-output",
        "TOPICS__DEAD_LETTERS": f"{group}-dead",
    }
    worker = site.serving(**other)
    site.await_forecasts(count, output=f"{group}-output")
    assert site.end(worker) == 0
    return site.read(f"{group}-output")


def in_a_commit(site: Site, **changes: str) -> Worker:
    """A worker that waits between steps 4 and 5 of its first commit:
    everything is written, nothing is committed."""
    worker = site.serving(FAULTS__KILL_AT="commit.4", FAULTS__PAUSE_S="4", **changes)
    site.feed(range(3))
    await_true(lambda: site.written(site.output), 60.0, "nothing is written")
    time.sleep(0.2)
    assert forecasts(site) == [] and worker.code is None
    return worker


def test_sigterm_while_rows_come_back_ends_it_at_once_and_changes_nothing(site: Site) -> None:
    first = site.serving()
    site.feed(range(3))
    site.await_forecasts(12)
    assert site.end(first) == 0
    before = forecasts(site), site.read(site.changelog), site.offsets()
    hanging = KafkaBroker(KafkaSettings(bootstrap_servers=site.kafka.bootstrap_servers)).producer(
        f"{site.name}-hanging"
    )
    hanging.begin()
    hanging.produce(site.changelog, 0, [b"stream-0"], [b"never committed"])
    hanging.flush(10.0)
    second = site.start()
    await_true(lambda: second.holds() == {1}, 60.0, "the other partition is not back")
    assert site.end(second, within_s=30.0) == 0, "it waits for the open transaction"
    hanging.abort()
    hanging.close(1.0)
    assert (forecasts(site), site.read(site.changelog), site.offsets()) == before
    third = site.start()
    await_true(lambda: third.holds() == {0, 1}, 60.0, "not all rows came back")
    site.feed(range(3, 4))
    site.await_forecasts(16)
    assert forecasts(site) == undisturbed(site, 16)


def test_sigterm_during_a_commit_lets_it_finish(site: Site) -> None:
    worker = in_a_commit(site)
    assert site.end(worker) == 0
    assert said(worker)[-1]["event"] == "stopped"
    done = forecasts(site)
    assert done and sum(site.offsets().values()) == len(done), (
        "what was under way is committed, all of it"
    )
    site.serving()
    site.await_forecasts(12)
    assert forecasts(site) == undisturbed(site, 12)


def test_ctrl_c_twice_ends_it_now_and_costs_nothing(site: Site) -> None:
    worker = in_a_commit(site, SHUTDOWN_TIMEOUT_S="60")
    worker.signal(signal.SIGINT)
    time.sleep(0.3)
    assert worker.code is None, "one lets it finish"
    assert site.end(worker, signal.SIGINT) == CUT_SHORT
    assert said(worker)[-1]["event"] == "cut short" and said(worker)[-1]["why"] == "a second signal"
    assert forecasts(site) == [] and site.offsets() == {}
    site.serving()
    site.await_forecasts(12, 40.0)
    assert forecasts(site) == undisturbed(site, 12)


def test_a_clock_that_jumps_back_an_hour_changes_no_forecast_and_stops_nothing(site: Site) -> None:
    site.fleet._command = ("-m", "tests.support.wrong_clock", "serve")
    worker = site.serving()
    site.feed(range(3))
    site.await_forecasts(12)
    worker.signal(signal.SIGUSR1)
    site.feed(range(3, 6))
    site.await_forecasts(24)
    other = site.serving()
    await_true(
        lambda: len(worker.holds()) == len(other.holds()) == 1,
        90.0,
        "partitions are not handed over",
    )
    site.feed(range(6, 8))
    site.await_forecasts(32)
    assert site.end(worker) == 0
    stamps = site.stamps(site.output)
    assert max(stamps) - min(stamps) > 3_500_000, "the clock has not jumped"
    assert forecasts(site) == undisturbed(site, 32)
