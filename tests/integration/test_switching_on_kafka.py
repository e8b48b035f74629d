"""Promotion and rollback on a real Kafka, with two processes and records that keep coming."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import pytest

from eddycast.service.__main__ import run
from tests.chaos.fleet import Worker, await_true
from tests.support.bundles import Walk, listed, write_bundle
from tests.support.processes import Site, said

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

STREAMS, PATIENCE_S = 4, 90.0
OLD = listed(Walk(hidden=4))
NEW = listed(Walk(hidden=4, spread=2.0), latent="beef" * 4)


class Life:
    """A registry beside a site, and what is forecast while it changes."""

    def __init__(self, site: Site) -> None:
        self.site, self.url = site, str(site.directory / "registry")
        self.fed = 0
        self.old, self.new = (self.publish(n, w) for n, w in (("old", OLD), ("new", NEW)))

    def models(self, *words: str) -> None:
        """Run `eddycast models`."""
        assert run(["models", *words, "--registry.url", self.url, "--registry.model", "walk"]) == 0

    def publish(self, name: str, walk: Walk) -> str:
        """Publish a bundle; returns its version."""
        manifest = write_bundle(self.site.directory / name, walk)
        self.models("publish", str(self.site.directory / name))
        return manifest.version

    def serving(self, **changes: str) -> Worker:
        """A process that serves the champion."""
        registry = {"URL": self.url, "MODEL": "walk", "POLL_S": "0.3"}
        variables = {f"REGISTRY__{name}": value for name, value in registry.items()}
        worker = self.site.start(**variables, **changes)
        await_true(
            lambda: worker.holds() or worker.code is not None, PATIENCE_S, "it serves nothing"
        )
        assert worker.code is None, worker.tail()
        return worker

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """A minute of readings after the other while the block lasts."""
        stop = threading.Event()

        def feed() -> None:
            while not stop.is_set():
                self.site.feed(range(self.fed, self.fed + 1), STREAMS)
                self.fed += 1
                stop.wait(0.05)

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def forecasts(self) -> dict[str, list[dict[str, Any]]]:
        """The committed forecasts of each stream, in order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for _, key, value in self.site.read(self.site.output):
            found.setdefault((key or b"").decode(), []).append(json.loads(value or b""))
        return found

    def versions(self) -> list[list[str]]:
        """For each stream the models that have answered, in order, without repetitions."""
        return [
            [model for model, _ in groupby(document["model"][-6:] for document in documents)]
            for documents in self.forecasts().values()
        ]

    def await_versions(self, *versions: str) -> None:
        """Wait until each stream was answered by these models, one after the other."""
        wanted = [[version[:6] for version in versions]] * STREAMS
        await_true(
            lambda: self.versions() == wanted, PATIENCE_S, f"no {versions[-1][:6]} everywhere"
        )


@pytest.mark.parametrize("place", [None, "switch.3"], ids=["undisturbed", "one dies"])
def test_a_promotion_and_a_rollback_amid_records_lose_double_and_forget_nothing(
    site: Site, place: str | None
) -> None:
    life = Life(site)
    life.models("promote", life.old)
    first = life.serving(**({} if place is None else {"FAULTS__KILL_AT": place}))
    second = life.serving()
    await_true(
        lambda: len(first.holds()) == len(second.holds()) == 1, PATIENCE_S, "nothing is shared"
    )
    assigned = [len(said(worker, "partitions assigned")) for worker in (first, second)]
    with life.feeding():
        life.await_versions(life.old)
        life.models("promote", life.new, "--why", "better")
        if place is not None:
            first.wait(PATIENCE_S)
            site.fleet.remove(first)
            assert first.was_to_die
        life.await_versions(life.old, life.new)
        life.models("rollback", "--why", "worse")
        life.await_versions(life.old, life.new, life.old)
    site.await_forecasts(STREAMS * life.fed, PATIENCE_S)
    for documents in life.forecasts().values():
        assert [d["timestamp"] for d in documents] == sorted({d["timestamp"] for d in documents})
        warm = [document["warm"] for document in documents]
        assert warm == sorted(warm) and warm[-1], "once warm, always warm"
    if place is None:
        again = [len(said(worker, "partitions assigned")) for worker in (first, second)]
        assert again == assigned, "the group was not disturbed"
        assert site.end(first) == 0
    assert site.end(second) == 0
