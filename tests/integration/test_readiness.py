"""/ready is true while a forecast could be committed, and otherwise names what is missing:
processes on a real Kafka."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import Fleet, Worker, await_true
from tests.support.processes import Site, said

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: As short as a broker allows.
SESSION = {
    "KAFKA__SESSION_TIMEOUT_MS": "6000",
    "KAFKA__REQUEST_TIMEOUT_MS": "3000",
    "KAFKA__DELIVERY_TIMEOUT_MS": "4000",
}


@pytest.fixture
def mortal(site: Site, tmp_path: Path) -> Iterator[Site]:
    """The same on a broker of one's own."""
    with KafkaServer(1) as kafka:
        variables = site.variables | {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers} | SESSION
        with closing(
            KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).admin()
        ) as admin:
            admin.create_topic(site.input, site.partitions)
        (tmp_path / "mortal").mkdir()
        with Fleet(variables, tmp_path / "mortal") as fleet:
            yield replace(site, kafka=kafka, fleet=fleet, variables=variables)


def ready(worker: Worker) -> tuple[bool, str]:
    """The answer of /ready, and its reason."""
    urls = said(worker, "metrics are served")
    if not urls:
        return False, "not started"
    try:
        with urllib.request.urlopen(f"{urls[0]['url']}/ready", timeout=5) as answer:
            content: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        content = json.load(error)
    except OSError as error:
        return False, f"no answer: {error}"
    return bool(content["ready"]), str(content.get("reason", ""))


def await_ready(worker: Worker, expected: bool, word: str = "") -> None:
    await_true(
        lambda: ready(worker)[0] is expected and word in ready(worker)[1],
        90.0,
        f"/ready is not {expected}: {word!r}",
    )


@pytest.mark.parametrize("served", [False, True], ids=["idle", "after records"])
def test_a_dead_broker_is_noticed_and_so_is_its_return(mortal: Site, served: bool) -> None:
    worker = mortal.start()
    await_ready(worker, True)
    if served:
        mortal.feed(range(3))
        mortal.await_forecasts(12)
    mortal.kafka.kill()
    await_ready(worker, False, "silent for")
    mortal.kafka.restart()
    await_ready(worker, True)
    mortal.feed(range(3, 5))
    mortal.await_forecasts(20 if served else 8, 60.0)
    assert mortal.end(worker) == 0


def test_a_transactional_id_that_cannot_be_used_is_named_before_there_is_a_record(
    site: Site,
) -> None:
    """The broker allows no transaction of an hour."""
    worker = site.start(KAFKA__TRANSACTION_TIMEOUT_MS="3600000", COMMIT__TIMEOUT_MS="5000")
    await_ready(worker, False, "InvalidTransactionTimeout")
    assert worker.code is None


def test_a_member_without_partitions_is_ready_to_take_some(site: Site) -> None:
    workers = [site.start() for _ in range(3)]
    for worker in workers:
        await_ready(worker, True)
    await_true(
        lambda: sorted(len(worker.holds()) for worker in workers) == [0, 1, 1],
        90.0,
        "two partitions are not spread over two of three",
    )
    for worker in workers:
        await_ready(worker, True)
