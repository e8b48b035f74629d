"""A changelog that was tampered with, on a real Kafka:
nothing is forecast from it, and the error names the fault."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from eddycast.service.app import Service
from eddycast.service.commands.doctor import look_at_rows
from eddycast.service.delivery.connect import kafka_broker
from eddycast.service.errors import ProduceFailed, StateError
from tests.support.bundles import Walk, write_bundle
from tests.support.processes import Site

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


class Running:
    """A service on a thread of its own."""

    def __init__(self, site: Site, *flags: str) -> None:
        self.service = Service(site.settings(*flags))
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.service.run(self._stop)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    @property
    def forecasts(self) -> int:
        return int(self.service.metrics.registry.get_sample_value("eddycast_forecasts_total") or 0)

    def until(self, holds: Callable[[], bool], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "waited in vain"
            assert self._thread.is_alive() or holds(), self.error
            time.sleep(0.05)

    def ends(self, seconds: float = 90.0) -> Exception | None:
        """The error with which it ended by itself."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "it goes on"
        return self.error

    def stop(self) -> None:
        self._stop.set()
        assert self.ends() is None


@pytest.fixture
def served(site: Site) -> Site:
    """A group that has processed three readings of each stream and has stopped."""
    site.feed(range(3))
    running = Running(site)
    running.until(lambda: running.forecasts == 12)
    running.stop()
    return site


def refused(site: Site) -> str:
    """Message of the StateError with which a start ends, without writing anything."""
    before = site.read(site.output), site.offsets()
    error = Running(site).ends()
    assert isinstance(error, StateError) and error.action
    assert (site.read(site.output), site.offsets()) == before
    return error.what


def test_a_changelog_that_disagrees_with_the_offsets_is_refused_until_they_are_put_right(
    served: Site,
) -> None:
    right = served.offsets()
    served.set_offsets({0: right[0] - 2})
    what = refused(served)
    assert re.search(
        rf"partition 0: .*offset {right[0] - 2}\b.*marker for offset {right[0]}\b", what
    )
    served.set_offsets(right)
    served.feed(range(3, 4))
    running = Running(served)
    running.until(lambda: running.forecasts == 4)
    running.stop()


def test_a_changelog_cut_in_the_middle_is_refused(served: Site) -> None:
    # so that partition 0 has a newer marker, and rows of one stream alone
    served.feed(range(3, 4), streams=1)
    running = Running(served)
    running.until(lambda: running.forecasts == 1)
    running.stop()
    last = max(
        r.offset
        for r in served._records(served.changelog)
        if (r.partition, r.key) == (0, b"stream-2")
    )
    served.delete_records(served.changelog, 0, last + 1)
    assert re.search(r"partition 0: .*\b1 streams.*marker.*\b2\b", refused(served))


def test_a_changelog_that_was_deleted_is_refused(served: Site) -> None:
    served.delete_topic(served.changelog)
    assert re.search(r"partition \d: .*offset \d+.*no marker", refused(served))


def test_a_changelog_deleted_under_a_running_service_ends_it_in_time_and_commits_nothing(
    served: Site,
) -> None:
    hasty = (
        "--commit.give_up_s=4",
        "--kafka.request_timeout_ms=1000",
        "--kafka.delivery_timeout_ms=1500",
    )
    running = Running(served, *hasty, "--topics.create=false")
    served.feed(range(3, 4))
    running.until(lambda: running.forecasts == 4)
    served.await_forecasts(16)
    before = served.offsets()
    served.delete_topic(served.changelog)
    served.feed(range(4, 5))
    error = running.ends()
    assert (
        isinstance(error, ProduceFailed) and "4 s" in error.what and served.changelog in error.what
    )
    assert served.offsets() == before and len(served.read(served.output)) == 16


@pytest.mark.parametrize("change", ["interval", "kind", "memory"])
def test_a_bundle_of_the_same_shapes_that_means_something_else_is_refused_by_serve_and_doctor(
    served: Site, change: str, tmp_path: Path
) -> None:
    walks = {
        "interval": Walk(interval_ms=900_000),
        "kind": Walk(fields={"kind": "counter"}),
        "memory": Walk(spread=5.0),
    }
    other = write_bundle(tmp_path, walks[change])
    flag = f"--bundle.directory={tmp_path}"
    before = served.read(served.output), served.offsets(), served.read(served.changelog)
    error = Running(served, flag).ends()
    assert isinstance(error, StateError) and error.exit_code == 6
    assert other.label in error.what
    assert (served.read(served.output), served.offsets(), served.read(served.changelog)) == before
    broker = kafka_broker(served.settings().kafka)
    (found,) = look_at_rows(broker, served.settings(), other, served.partitions)
    assert not found.well and other.label in found.found
