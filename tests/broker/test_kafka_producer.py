"""Failures of the client as the producer reports them. There is no broker:
tests script a stand-in for the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka import errors as vendor
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata
from kafka.producer.transaction_manager import (
    ProducerIdAndEpoch,
    TransactionManager,
    TransactionState,
)
from kafka.structs import ConsumerGroupMetadata

from eddycast.service.broker.kafka import producer as kafka_producer
from eddycast.service.broker.kafka.consumer import KafkaConsumer
from eddycast.service.broker.kafka.producer import KafkaProducer
from eddycast.service.errors import (
    BrokerUnavailable,
    CommitUnknown,
    InstanceFenced,
    MembershipLost,
    ProduceFailed,
    ProducerFenced,
    RecordRefused,
    TransactionFailed,
)

CONFIG = {
    "transactional_id": "id",
    "max_request_size": 1 << 20,
    "batch_size": 1 << 19,
    "bootstrap_servers": ["h:1"],
}


class StandIn:
    """A client on a real transaction manager. `outcome` is the result of records: an error, None
    (acknowledged), or Ellipsis (never known); `replies` are the results of transactional requests,
    likewise."""

    made: list[StandIn]
    cut_off: bool

    def __init__(self, **config: Any) -> None:
        self.made.append(self)
        manager = TransactionManager(config.get("transactional_id"), 15_000, 20, (4, 1), None)
        manager.set_producer_id_and_epoch(ProducerIdAndEpoch(1, 0))
        self._transaction_manager = manager
        self._sender = SimpleNamespace(
            wakeup=self._reply,
            is_alive=lambda: not self.cut_off,
            force_close=self._cut,
            _client=SimpleNamespace(await_ready=None),
        )
        self.outcome: Any = None
        self.replies: dict[str, Any] = {}
        self.asked: list[str] = []
        self.cut_off = self._closed = False

    def send(
        self, topic: str, value: Any, key: Any, headers: Any, partition: int
    ) -> FutureRecordMetadata:
        whole = FutureProduceResult(TopicPartition(topic, partition))
        future = FutureRecordMetadata(whole, 0, 0, None, 1, 1, -1)
        outcome = self.outcome
        if outcome is not ...:
            whole.success((0, 0, None) if outcome is None else (-1, -1, lambda _: outcome))
        return future

    def flush(self, timeout: float) -> None:
        raise vendor.KafkaTimeoutError("not flushed")

    def close(self, timeout: float) -> None:
        self._closed = True

    def _cut(self) -> None:
        self.cut_off = True

    def _reply(self) -> None:
        """Answer the request that was just made."""
        manager = self._transaction_manager
        handler = manager._pending_requests.pop()[2]
        name = {
            "EndTxnRequest": "end",
            "AddOffsetsToTxnRequest": "offsets",
            "InitProducerIdRequest": "start",
        }[handler.request.name]
        self.asked.append(name)
        error = self.replies.get(name)
        if error is ...:
            return
        if error is not None:
            handler.fatal_error(error)
            return
        manager._current_state = (
            TransactionState.IN_TRANSACTION if name == "offsets" else TransactionState.READY
        )
        handler.result.done()


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[StandIn]]:
    """Every client made, in order."""
    StandIn.made = []
    monkeypatch.setattr(kafka_producer, "Client", StandIn)
    yield StandIn.made


def a_producer(**changes: Any) -> KafkaProducer:
    return KafkaProducer({**CONFIG, **changes}, timeout_s=1.0, bulk=False)


def opened() -> KafkaProducer:
    producer = a_producer()
    producer.begin()
    return producer


class Member(KafkaConsumer):
    """A member whose membership a test sets."""

    def __init__(self, generation: int = 3, member: str = "m") -> None:
        self._topic = "in"
        self._membership = ConsumerGroupMetadata("g", generation, member, None)


@pytest.mark.parametrize(
    ("outcome", "raised"),
    [
        (vendor.KafkaTimeoutError("expired"), TransactionFailed),
        (vendor.NotEnoughReplicasError(), TransactionFailed),
        (vendor.MessageSizeTooLargeError(), RecordRefused),
        (vendor.ProducerFencedError(), ProducerFenced),
        (..., TransactionFailed),
    ],
    ids=["expired", "replicas", "size", "fenced", "silence"],
)
def test_no_commit_is_asked_for_while_a_record_is_missing(
    clients: list[StandIn], outcome: Any, raised: type[TransactionFailed]
) -> None:
    producer = opened()
    producer.produce("out", 2, [b"k"], [b"fine"])
    clients[0].outcome = outcome
    producer.produce("out", 3, [b"k"], [b"lost"])
    with pytest.raises(raised, match="out partition 3") as caught:
        producer.commit(0.05)
    assert type(caught.value) is raised
    assert "end" not in clients[0].asked


@pytest.mark.parametrize(
    "reply", [..., vendor.ProducerFencedError(), vendor.InvalidTxnStateError()], ids=str
)
def test_a_commit_that_was_asked_for_and_not_confirmed_is_of_unknown_outcome(
    clients: list[StandIn], reply: Any
) -> None:
    producer = opened()
    producer.produce("out", 0, [b"k"], [b"v"])
    clients[0].replies["end"] = reply
    with pytest.raises(CommitUnknown):
        producer.commit(0.05)


def break_by_flush(producer: KafkaProducer, client: StandIn) -> None:
    client.outcome = vendor.NotEnoughReplicasError()
    producer.produce("out", 0, [b"k"], [b"v"])
    producer.flush(0.05)


def break_by_offsets(producer: KafkaProducer, client: StandIn) -> None:
    client.replies["offsets"] = vendor.CommitFailedError()
    producer.send_offsets("in", {0: 5}, Member(), 0.05)


def break_by_silence(producer: KafkaProducer, client: StandIn) -> None:
    client.replies["offsets"] = ...
    producer.send_offsets("in", {0: 5}, Member(), 0.05)


def break_by_commit(producer: KafkaProducer, client: StandIn) -> None:
    client.replies["end"] = ...
    producer.commit(0.05)


def break_by_abort(producer: KafkaProducer, client: StandIn) -> None:
    client.replies["end"] = ...
    producer.abort(0.05)


@pytest.mark.parametrize(
    "broken", [break_by_flush, break_by_offsets, break_by_silence, break_by_commit, break_by_abort]
)
def test_a_producer_that_saw_an_error_in_a_transaction_is_of_no_further_use(
    clients: list[StandIn], broken: Callable[[KafkaProducer, StandIn], None]
) -> None:
    producer = opened()
    with pytest.raises(TransactionFailed):
        broken(producer, clients[0])
    assert clients[0]._closed and clients[0].cut_off
    asked = list(clients[0].asked)
    for call in (
        producer.begin,
        lambda: producer.produce("out", 0, [b"k"], [b"v"]),
        lambda: producer.flush(0.05),
        lambda: producer.send_offsets("in", {0: 5}, Member(), 0.05),
        lambda: producer.commit(0.05),
    ):
        with pytest.raises(TransactionFailed, match="failed before"):
            call()
    producer.abort(0.05)
    producer.close(0.05)
    assert clients[0].asked == asked and len(clients) == 1


def test_an_abort_after_a_record_was_refused_unseen_ends_the_producer_too(
    clients: list[StandIn],
) -> None:
    producer = opened()
    clients[0].outcome = vendor.MessageSizeTooLargeError()
    producer.produce("out", 0, [b"k"], [b"v"])
    producer.abort(0.05)
    with pytest.raises(TransactionFailed, match="refused"):
        producer.begin()
    assert clients[0].cut_off


def test_an_abort_of_our_own_keeps_the_producer(clients: list[StandIn]) -> None:
    producer = opened()
    # the client's error for records that it had not sent
    clients[0].outcome = vendor.TransactionAbortedError()
    producer.produce("out", 0, [b"k"], [b"v"])
    producer.abort(0.05)
    producer.begin()
    producer.commit(0.05)
    assert clients[0].asked == ["start", "end", "end"] and not clients[0]._closed


@pytest.mark.parametrize("member", [Member(-1, "m"), Member(-1, ""), Member(3, "")])
def test_offsets_without_a_membership_are_not_sent_and_the_producer_goes_on(
    clients: list[StandIn], member: Member
) -> None:
    producer = opened()
    with pytest.raises(MembershipLost):
        producer.send_offsets("in", {0: 5}, member, 0.05)
    assert "offsets" not in clients[0].asked
    producer.commit(0.05)


def test_a_displaced_static_member_is_named_and_not_tried_again(clients: list[StandIn]) -> None:
    producer = opened()
    clients[0].replies["offsets"] = vendor.FencedInstanceIdError()
    with pytest.raises(InstanceFenced) as caught:
        producer.send_offsets("in", {0: 5}, Member(), 0.05)
    assert not caught.value.retriable and "instance id" in caught.value.action


def test_no_answer_at_the_start_is_a_broker_that_is_away(
    clients: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StandIn, "_reply", lambda self: None)
    with pytest.raises(BrokerUnavailable, match="'id'"):
        a_producer()
    assert clients[0].cut_off


def test_without_transactions_a_failure_costs_the_client_and_not_the_producer(
    clients: list[StandIn],
) -> None:
    producer = a_producer(transactional_id=None)
    clients[0].outcome = vendor.NotEnoughReplicasError()
    producer.produce("out", 0, [b"k"], [b"v"])
    with pytest.raises(ProduceFailed, match="out partition 0"):
        producer.flush(0.05)
    producer.produce("out", 0, [b"k"], [b"v"])
    producer.flush(0.05)
    assert len(clients) == 2 and clients[0].cut_off
