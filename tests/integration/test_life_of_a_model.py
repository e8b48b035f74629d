"""docs/lifecycle.md from the first history to a rollback, on a real Kafka, by the commands of the
page."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import pytest
import yaml

from eddycast.service.__main__ import run
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import Worker, await_true
from tests.support.bundles import START_MS
from tests.support.processes import Site
from tests.unit.test_lifecycle_page import PAGE

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.trains]

DAY, HOUR_MS, STREAMS, PATIENCE_S = 24, 3_600_000, 2, 120.0
#: Days after which the noise persists, so that what was learned before is no longer the best.
CHANGE = 30
#: Words beside those of the page: a small model and a short history.
SMALL = ["--window", "30d", "--families", "ar", "--horizon", "12"]


def fences(language: str) -> list[str]:
    """The blocks of the page in a language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    return [text for found, text in blocks if found == language]


def readings(days: int) -> Iterator[tuple[int, int, float]]:
    """Hour, stream and value."""
    random, noise = np.random.default_rng(0), np.zeros(STREAMS)
    for hour in range(days * DAY):
        persistence = 0.1 if hour < CHANGE * DAY else 0.95
        noise = persistence * noise + random.normal(0, 1, STREAMS)
        for stream in range(STREAMS):
            yield hour, stream, 20 + 5 * np.sin(2 * np.pi * hour / DAY + stream) + noise[stream]


class Life:
    """The commands of the page, at a site."""

    def __init__(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        self.site, self._capsys, self.days = site, capsys, 0
        self.archive = str(site.directory / "archive")
        self._all = list(readings(110))
        self._models = {
            "--registry.url": str(site.directory / "registry"),
            "--registry.model": "load",
        }

    def line(self, command: str) -> list[str]:
        """The words of the page's `eddycast COMMAND`, at this site."""
        (line,) = [
            line for block in fences("") for line in block.splitlines()
            if line.startswith(f"eddycast {command} ")
        ]  # fmt: skip
        here = line.replace("/srv/archive", self.archive)
        words = here.replace("HOST:9092", self.site.kafka.bootstrap_servers)
        return [*shlex.split(words)[1:], "--topics.input", self.site.input]

    def feed(self, until: int) -> None:
        """The hours from the last day that was fed until this one."""
        servers = KafkaSettings(bootstrap_servers=self.site.kafka.bootstrap_servers)
        with KafkaBroker(servers).producer() as producer:
            for stream in range(STREAMS):
                sent = [
                    json.dumps({"timestamp": START_MS + hour * HOUR_MS, "value": value}).encode()
                    for hour, own, value in self._all
                    if own == stream and self.days * DAY <= hour < until * DAY
                ]
                producer.produce(self.site.input, stream, [b"s%d" % stream] * len(sent), sent)
            producer.flush(60.0)
        self.days = until

    def archived(self) -> None:
        """Archive what is in the topic."""
        assert run([*self.line("archive"), "--once"]) == 0

    def retrained(self) -> dict[str, Any]:
        """Run the nightly job; its line of JSON."""
        registry = [word for pair in self._models.items() for word in pair]
        self._capsys.readouterr()
        assert run([*self.line("retrain"), *SMALL, *registry]) == 0
        found: dict[str, Any] = json.loads(self._capsys.readouterr().out.splitlines()[-1])
        return found

    def models(self, *words: str) -> None:
        """Run `eddycast models`."""
        registry = [word for pair in self._models.items() for word in pair]
        assert run(["models", *words, *registry]) == 0

    def serving(self) -> Worker:
        """A process that follows the champion."""
        return self.site.serving(
            REGISTRY__URL=self._models["--registry.url"],
            REGISTRY__MODEL="load",
            REGISTRY__POLL_S="0.3",
        )

    def forecasts(self, output: str) -> dict[str, list[bytes]]:
        """The committed forecasts of each stream, in order."""
        found: dict[str, list[bytes]] = {}
        for _, key, value in self.site.read(output):
            found.setdefault((key or b"").decode(), []).append(value or b"")
        return found

    def await_all(self, output: str) -> None:
        """Wait until each reading is answered once."""
        self.site.await_forecasts(self.days * DAY * STREAMS, PATIENCE_S, output)


def test_from_history_to_rollback(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    life = Life(site, capsys)
    life.feed(CHANGE)
    life.archived()
    first = life.retrained()["published"]["version"]
    worker = life.serving()
    life.await_all(site.output)

    life.feed(60)
    life.archived()
    second = life.retrained()["published"]["version"]
    assert second != first
    life.await_all(site.output)
    assert worker.generation() == 0, "a candidate is not switched to"

    life.feed(95)
    life.await_all(site.output)
    life.archived()
    report = life.retrained()
    assert report["promoted"] == [second]
    assert report["judged"][0]["evidence"]["horizon"][2] < 0
    await_true(lambda: worker.generation() == 2, PATIENCE_S, "the promotion is not followed")

    life.feed(100)
    life.await_all(site.output)
    life.models("rollback", "--why", "alarms")
    await_true(lambda: worker.generation() == 3, PATIENCE_S, "the rollback is not followed")
    life.feed(102)
    life.await_all(site.output)
    assert site.end(worker) == 0

    name = f"{site.name}-first"
    alone = site.serving(
        BUNDLE__DIRECTORY=str(site.directory / "registry/models/load/versions" / first),
        KAFKA__GROUP=name, TOPICS__OUTPUT=name, TOPICS__DEAD_LETTERS=f"{name}-dead-letters",
    )  # fmt: skip
    life.await_all(name)
    assert site.end(alone) == 0
    undisturbed = life.forecasts(name)
    for stream, documents in life.forecasts(site.output).items():
        parsed = [json.loads(document) for document in documents]
        hours = [(one["timestamp"] - START_MS) // HOUR_MS for one in parsed]
        assert hours == list(range(102 * DAY)), "each reading once, in order"
        models = [
            (model, len(list(run))) for model, run in groupby(one["model"][-6:] for one in parsed)
        ]
        assert models == [
            (first[:6], 95 * DAY), (second[:6], 5 * DAY), (first[:6], 2 * DAY),
        ]  # fmt: skip
        assert documents[: 95 * DAY] == undisturbed[stream][: 95 * DAY]
        assert all(one["warm"] for one in parsed[95 * DAY :]), "no stream forgets"

    (query,) = fences("sql")
    query = query.replace("/srv/archive/observations", f"{life.archive}/{site.input}")
    life.archived()
    stored = duckdb.connect().execute(query).fetchall()
    expected = [value for _, stream, value in life._all if stream == 0][: 102 * DAY]
    found = sorted((stamp, value) for name, stamp, value in stored if name == "s0")
    assert [value for _, value in found] == expected


def test_the_jobs_of_the_page_run_commands_that_exist() -> None:
    (manifest,) = (yaml.safe_load(block) for block in fences("yaml"))
    assert manifest["kind"] == "CronJob" and manifest["spec"]["concurrencyPolicy"] == "Forbid"
    (container,) = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    (cron,) = [line for block in fences("") for line in block.splitlines() if "flock" in line]
    (dag,) = (ast.parse(block) for block in fences("python"))
    (scheduled,) = [
        word.value.value
        for word in ast.walk(dag)
        if isinstance(word, ast.keyword)
        and word.arg == "bash_command"
        and isinstance(word.value, ast.Constant)
    ]
    for words in (container["args"], shlex.split(cron)[8:], shlex.split(str(scheduled))):
        assert words[:2] == ["eddycast", "retrain"]
        assert run([*words[1:], "--help"]) == 0
