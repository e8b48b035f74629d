"""Ready follows from what the broker last answered,
and costs a request only where nothing else was asked."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from eddycast.service.delivery.readiness import Readiness
from eddycast.service.errors import AccessRefused, TransactionFailed
from eddycast.service.model.loading import load_runtime
from tests.support.bundles import START_MS, write_bundle
from tests.support.running import AT_ONCE, OUTPUT, Worker, made, memory_broker, send, worker


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker that serves, whose evidence is always too old and whose errors always last."""
    monkeypatch.setattr("eddycast.service.delivery.outages.PATIENCE_S", 0.0)
    write_bundle(tmp_path)
    found = worker(memory_broker(2), load_runtime(tmp_path))
    pipeline = found.pipeline
    later = iter(range(0, 10**9, 100))
    pipeline._delivery.readiness = Readiness(
        pipeline._delivery.connections.consumer,
        pipeline._delivery.checkpoint,
        pipeline._delivery.partitions,
        pipeline._delivery.assignment,
        pipeline._delivery.outages,
        AT_ONCE.settings(),
        lambda: float(next(later)),
    )
    return found


def test_an_idle_service_is_ready_once_it_has_committed_nothing(subject: Worker) -> None:
    subject.turn()
    assert subject.health.ready_answer() == (False, "a first transaction to be committed")
    subject.turn()
    assert subject.health.ready_answer() == (True, "")
    assert made(subject.pipeline._delivery.connections._broker) == []  # type: ignore[arg-type]


def test_transactions_that_fail_are_said_until_one_does_not(subject: Worker) -> None:
    broker = subject.pipeline._delivery.connections._broker
    subject.turn(2)
    broker.fail_next("probe", 3, TransactionFailed("the id is of no use"))  # type: ignore[attr-defined]
    subject.turn(2)
    is_ready, why = subject.health.ready_answer()
    assert not is_ready and "the id is of no use" in why
    subject.turn(4)
    assert subject.health.ready_answer() == (True, "")


def test_an_error_without_a_message_is_named_too(
    subject: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject.turn(2)
    monkeypatch.setattr(
        "eddycast.service.processing.engine.Engine.run", Mock(side_effect=MemoryError)
    )
    broker = subject.pipeline._delivery.connections._broker
    send(broker, [(0, b"s", {"timestamp": START_MS, "value": 1})])  # type: ignore[arg-type]
    subject.turn(2)
    is_ready, why = subject.health.ready_answer()
    assert not is_ready and "MemoryError" in why


def test_commits_that_fail_are_said_and_a_commit_is_evidence(subject: Worker) -> None:
    broker = subject.pipeline._delivery.connections._broker
    subject.turn(2)
    send(broker, [(0, b"s", {"timestamp": START_MS, "value": 1.0})])  # type: ignore[arg-type]
    broker.fail_next("transaction", 2)  # type: ignore[attr-defined]
    subject.turn(2)
    assert "commits to succeed" in subject.health.ready_answer()[1]
    subject.turn(3)
    assert subject.health.ready_answer() == (True, "") and len(made(broker, OUTPUT)) == 1  # type: ignore[arg-type]


def test_a_group_that_is_silent_is_said_and_not_asked(
    subject: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject.turn(2)
    monkeypatch.setattr(subject.pipeline._delivery.connections.consumer, "silence_s", lambda: 25.0)
    subject.pipeline._delivery.connections._broker.fail_next("probe")  # type: ignore[attr-defined]
    subject.turn(2)
    assert subject.health.ready_answer() == (
        False,
        "the group to answer: it has been silent for 25 s",
    )
    assert subject.value("retries_total", error="TransactionFailed") == 0


def test_a_right_that_is_missing_ends_an_idle_service(subject: Worker) -> None:
    subject.turn(2)
    subject.pipeline._delivery.connections._broker.fail_next("probe", 1, AccessRefused("not yours"))  # type: ignore[attr-defined]
    with pytest.raises(AccessRefused, match="not yours"):
        subject.turn(2)
