"""Known defects of kafka-python's transactions, shown on its own state machine,
and their workarounds.

There is no broker: the client consists of its transaction manager alone,
and responses are made by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka import errors as vendor
from kafka.producer import sender as client
from kafka.producer.transaction_manager import (
    ProducerIdAndEpoch,
    TransactionManager,
    TransactionState,
)
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from eddycast.service.broker.kafka.transactions import Transactions, discard

OUT = TopicPartition("out", 0)
MEMBER = ConsumerGroupMetadata("g", 3, "member", None)


def a_manager() -> TransactionManager:
    manager = TransactionManager("id", 15_000, 20, (4, 1), None)
    manager.set_producer_id_and_epoch(ProducerIdAndEpoch(1, 0))
    manager._current_state = TransactionState.READY
    return manager


def open_transaction(manager: TransactionManager) -> None:
    manager.begin_transaction()
    manager._transaction_started = True
    manager._partitions_in_transaction.add(OUT)


def a_client(manager: TransactionManager) -> Any:
    network = SimpleNamespace(await_ready=refuse)
    return SimpleNamespace(
        _transaction_manager=manager, _sender=SimpleNamespace(wakeup=lambda: None, _client=network)
    )


def refuse(node: object, timeout_ms: float) -> bool:
    raise vendor.KafkaConnectionError("refused")


def guarded() -> tuple[Transactions, TransactionManager]:
    manager = a_manager()
    transactions = Transactions(a_client(manager))
    transactions.begin()
    manager._transaction_started = True
    manager._partitions_in_transaction.add(OUT)
    return transactions, manager


def a_batch() -> Any:
    return SimpleNamespace(topic_partition=OUT, producer_id=1, producer_epoch=0)


def fail_as_the_sender_does(manager: TransactionManager, error: Exception) -> None:
    """Handle a batch that cannot be sent again, as `Sender._dispatch_error` does."""
    kind = manager.classify_batch_error(error, a_batch())
    if kind == manager.ERROR_CLASS_NEEDS_EPOCH_BUMP:
        manager.bump_producer_id_and_epoch()
    elif kind == manager.ERROR_CLASS_FATAL:
        manager.transition_to_fatal_error(error)
    elif kind == manager.ERROR_CLASS_ABORTABLE:
        manager.transition_to_abortable_error(error)


def answer(manager: TransactionManager, **fields: Any) -> None:
    """The broker answers the request that comes next."""
    request = manager.next_request_handler(False)
    with manager._lock:
        request.handle_response(SimpleNamespace(error_code=0, **fields))


STALE = [
    vendor.InvalidProducerEpochError(),
    vendor.OutOfOrderSequenceNumberError(),
    vendor.UnknownProducerIdError(),
]


@pytest.mark.parametrize("error", STALE, ids=lambda error: type(error).__name__)
def test_defect_a_commit_succeeds_although_its_transaction_was_thrown_away(
    error: Exception,
) -> None:
    manager = a_manager()
    open_transaction(manager)
    asked = manager.begin_commit()
    fail_as_the_sender_does(manager, error)
    answer(manager, producer_id=1, producer_epoch=1)  # a new epoch: the broker aborts what was open
    with pytest.raises(vendor.KafkaError):  # on the sender's thread, which only logs it
        manager.next_request_handler(False)
    assert asked.succeeded


@pytest.mark.parametrize("error", STALE, ids=lambda error: type(error).__name__)
def test_guard_an_error_that_concerns_the_epoch_is_the_end(error: Exception) -> None:
    transactions, manager = guarded()
    asked = transactions.ask_for_commit()
    fail_as_the_sender_does(manager, error)
    manager.next_request_handler(False)
    assert manager._current_state == TransactionState.FATAL_ERROR
    with pytest.raises(vendor.KafkaError):
        transactions.await_commit(asked, 0.1)
    with pytest.raises(vendor.KafkaError):
        transactions.begin()


def test_guard_a_transaction_belongs_to_its_epoch() -> None:
    transactions, manager = guarded()
    manager.set_producer_id_and_epoch(ProducerIdAndEpoch(1, 1))
    with pytest.raises(vendor.ProducerFencedError, match="epoch"):
        transactions.ask_for_commit()


def test_defect_a_fenced_producer_asks_for_a_new_id_and_would_fence_its_successor() -> None:
    manager = a_manager()
    open_transaction(manager)
    fail_as_the_sender_does(manager, vendor.InvalidProducerEpochError())
    request = manager.next_request_handler(False).request
    assert (request.name, request.transactional_id) == ("InitProducerIdRequest", "id")


def test_guard_a_fenced_producer_asks_for_nothing() -> None:
    _, manager = guarded()
    fail_as_the_sender_does(manager, vendor.InvalidProducerEpochError())
    assert manager.next_request_handler(False) is None


@pytest.mark.parametrize(
    "error",
    [
        vendor.KafkaTimeoutError("expired"),
        vendor.NotEnoughReplicasError(),
        vendor.KafkaConnectionError("gone"),
    ],
)
def test_defect_a_batch_that_ran_out_of_time_does_not_fail_its_transaction(
    error: Exception,
) -> None:
    """The guard is `KafkaProducer.commit`, which looks at every result first:
    tests/broker/test_kafka_producer.py."""
    manager = a_manager()
    open_transaction(manager)
    fail_as_the_sender_does(manager, error)
    assert manager._current_state == TransactionState.IN_TRANSACTION
    manager.begin_commit()


def test_defect_the_offsets_of_a_refused_request_go_out_with_the_next_transaction() -> None:
    """The guard is that one producer sees one error: tests/broker/test_kafka_producer.py."""
    manager = a_manager()
    open_transaction(manager)
    stale, fresh = TopicPartition("in", 0), TopicPartition("in", 1)
    manager.send_offsets_to_transaction({stale: OffsetAndMetadata(77, "", -1)}, MEMBER)
    answer(manager)  # the group is part of the transaction
    refused = [("in", [(0, vendor.IllegalGenerationError.errno)])]
    answer(manager, topics=refused)
    manager.begin_abort()
    answer(manager)
    open_transaction(manager)
    manager.send_offsets_to_transaction({fresh: OffsetAndMetadata(5, "", -1)}, MEMBER)
    answer(manager)
    sent = manager.next_request_handler(False).offsets
    assert set(sent) == {stale, fresh}


@pytest.mark.parametrize(
    "call",
    [
        lambda transactions: transactions.send_offsets(
            {OUT: OffsetAndMetadata(1, "", -1)}, MEMBER, 0.05
        ),
        lambda transactions: transactions.await_commit(transactions.ask_for_commit(), 0.05),
        lambda transactions: transactions.abort(0.05),
    ],
    ids=["send_offsets", "commit", "abort"],
)
def test_guard_every_wait_ends(call: Callable[[Transactions], None]) -> None:
    transactions, _ = guarded()
    started = time.monotonic()
    with pytest.raises(vendor.KafkaTimeoutError):
        call(transactions)
    assert time.monotonic() - started < 2


class Sender(client.Sender):  # type: ignore[misc]
    """The client's own, as far as it sends transactional requests,
    with a coordinator that refuses connections."""

    def __init__(self, manager: TransactionManager, network: Any) -> None:
        self._running, self._force_close = True, False
        self._transaction_manager, self._client = manager, network
        self._accumulator = SimpleNamespace(has_incomplete=False)
        self.config = {"request_timeout_ms": 10, "client_id": "c", "transactional_id": "id"}


@pytest.mark.parametrize("guard", [False, True])
def test_defect_and_guard_a_request_is_forgotten_when_its_coordinator_refuses(guard: bool) -> None:
    manager = a_manager()
    a_client_of = a_client(manager)
    if guard:
        Transactions(a_client_of)
    open_transaction(manager)
    manager._transaction_coordinator = 1
    manager.begin_commit()
    Sender(manager, a_client_of._sender._client)._maybe_send_pending_request()
    waiting = [request.request.name for _, _, request in sorted(manager._pending_requests)]
    assert waiting == ["FindCoordinatorRequest"] + ["EndTxnRequest"] * guard


def test_guard_the_wait_for_the_id_ends() -> None:
    manager = TransactionManager("id", 15_000, 20, (4, 1), None)
    with pytest.raises(vendor.KafkaTimeoutError):
        Transactions(a_client(manager)).start(0.05)


class StuckClient:
    """A client that cannot close: `flush`, which comes first, does not end in time."""

    def __init__(self) -> None:
        self.cut_off = False
        self._closed = False
        self._sender = SimpleNamespace(is_alive=lambda: True, force_close=self._cut_off)

    def close(self, timeout: float) -> None:
        raise vendor.KafkaTimeoutError("not flushed")

    def _cut_off(self) -> None:
        self.cut_off = True


def test_guard_a_client_that_cannot_close_is_cut_off() -> None:
    client = StuckClient()
    discard(client, 0.0)
    assert client.cut_off and client._closed
