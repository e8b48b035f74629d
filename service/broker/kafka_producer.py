"""Columns out, through kafka-python's public calls. Only this file knows its producer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from kafka import KafkaProducer as Client
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata

from service.broker.kafka_consumer import KafkaConsumer
from service.broker.kafka_errors import translate, translated
from service.broker.port import Consumer, Headers
from service.errors import BrokerError, ProduceFailed, RecordTooLarge, TransactionFailed

log = logging.getLogger(__name__)

#: Bytes of one record beyond its key, value and headers, at most: the batch's head and the record's own lengths.
_OVERHEAD = 61 + 21 + 16


class KafkaProducer:
    """A `port.Producer` on kafka-python.

    Without a transactional id: after a failed flush the client is thrown away, with whatever it still held, and the
    next `produce` works on a new one; the caller goes back to its committed offsets and may repeat records.

    With one: any failure inside a transaction ends this object; every later call raises TransactionFailed, and only
    `close` is left. The owner asks the broker for a new producer with the same id, which aborts what was open.
    (An old client must not be used again: it can hang, or carry offsets of the failed transaction into the next.)
    """

    def __init__(self, config: Mapping[str, Any], timeout_s: float) -> None:
        self._config = config
        self._timeout_s = timeout_s
        self._transactional: str | None = config.get("transactional_id")
        self._limit: int = config["max_request_size"]
        self._queued: list[FutureRecordMetadata] = []
        self._rejected: BrokerError | None = None  # what `send` itself refused since the last flush
        self._broken: TransactionFailed | None = None
        self._open = False
        self._client: Client | None = self._connect()

    def produce(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None = None,
    ) -> None:
        """See `port.Producer`. A record with neither key nor value, which the client refuses, gets an empty value."""
        self._check_alive()
        if self._transactional and not self._open:
            raise TransactionFailed("no transaction is open")
        self._check_sizes(topic, keys, values, headers)
        if self._client is None:
            self._client = self._connect()
        send, queue = self._client.send, self._queued.append
        try:
            if headers is None:
                for key, value in zip(keys, values, strict=True):
                    queue(send(topic, b"" if key is None and value is None else value, key, None, partition))
            else:
                for key, value, own in zip(keys, values, headers, strict=True):
                    queue(send(topic, b"" if key is None and value is None else value, key, own, partition))
        except (KafkaError, ValueError) as error:  # ValueError: no such partition
            self._rejected = self._rejected or translate_record(error, topic, partition)

    def flush(self, timeout_s: float) -> None:
        """See `port.Producer`. Raises RecordTooLarge instead when that is why the broker refused a record."""
        self._check_alive()
        self._settle(timeout_s)
        queued, self._queued = self._queued, []
        failure, self._rejected = self._rejected, None
        for future in queued:
            if not future.is_done or future.exception is not None:
                failure = failure or _failure_of(future, timeout_s)
                break
        if failure is None:
            return
        if self._transactional:
            self._fail(failure)
        self._discard(0.0)
        raise failure

    def begin(self) -> None:
        """See `port.Producer`."""
        client = self._transaction_client()
        if self._open:
            raise TransactionFailed("a transaction is open already", "commit or abort it first")
        self._within("cannot begin a transaction", client.begin_transaction)
        self._open = True

    def send_offsets(self, topic: str, offsets: Mapping[int, int], consumer: Consumer) -> None:
        """See `port.Producer`. Fenced by the consumer's membership as of its last poll. Raises MembershipLost."""
        client = self._transaction_client(opened=True)
        if not isinstance(consumer, KafkaConsumer):
            raise TypeError("the offsets of a Kafka transaction come from a Kafka consumer")
        if offsets:
            args = (consumer.transaction_offsets(offsets), consumer.membership)
            self._within(f"cannot add offsets of {topic} to the transaction", client.send_offsets_to_transaction, *args)

    def commit(self) -> None:
        """See `port.Producer`. Every result is checked before the commit is asked for: the client may report a
        commit as done although the broker aborted it. A deadline bounds each wait."""
        client = self._transaction_client(opened=True)
        self.flush(self._timeout_s)
        self._within("cannot commit the transaction", client.commit_transaction)
        self._open = False

    def abort(self) -> None:
        """See `port.Producer`. The producer goes on only if nothing had failed; else it stays unusable."""
        if self._broken is not None or not self._open:
            return
        client = self._transaction_client(opened=True)
        self._queued.clear()
        self._rejected = None
        self._within("cannot abort the transaction", client.abort_transaction)
        self._open = False

    def close(self, timeout_s: float) -> None:
        """See `port.Producer`. Records that were not flushed may be lost."""
        deadline = time.monotonic() + timeout_s
        if self._open:
            try:
                self.abort()
            except BrokerError as error:
                log.warning("the transaction ends with its time-out: %s", error)
        self._queued.clear()
        self._discard(max(0.0, deadline - time.monotonic()))

    def _connect(self) -> Client:
        """A new client. With a transactional id the id's earlier owner is fenced and its transaction aborted."""
        with translated(f"cannot reach Kafka at {self._config['bootstrap_servers']}"):
            client = Client(**self._config)
        if self._transactional:
            self._client = client
            self._within(f"cannot start the transactional id {self._transactional!r}", client.init_transactions)
        return client

    def _settle(self, timeout_s: float) -> None:
        """Wait until every queued record has a result, or until the time is over. Raises nothing: results are checked.

        The client's flush allows each batch the whole time and stumbles over a batch that was split, so it is called
        until nothing is left.
        """
        deadline = time.monotonic() + timeout_s
        queued = self._queued
        while self._client is not None and any(not future.is_done for future in queued):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            try:
                self._client.flush(remaining)
            except KafkaError as error:
                log.debug("flush: %s", error)
                time.sleep(0.001)

    def _within(self, doing: str, call: Callable[..., Any], *args: Any) -> None:
        """Run one of the client's endless waits under a deadline. Any failure ends this producer."""
        outcome: list[BaseException | None] = []

        def attempt() -> None:
            try:
                call(*args)
                outcome.append(None)
            except BaseException as error:  # noqa: BLE001 - raised below, on the caller's thread
                outcome.append(error)

        worker = threading.Thread(target=attempt, name="transaction", daemon=True)
        worker.start()
        worker.join(self._timeout_s)
        error = outcome[0] if outcome else KafkaTimeoutError(f"no answer within {self._timeout_s:g} s")
        if error is not None:
            self._fail(translate(error, doing), error)

    def _fail(self, reason: Exception, cause: BaseException | None = None) -> NoReturn:
        """Nothing more goes through this producer: its transaction ends by its successor, or by its time-out."""
        failure = reason if isinstance(reason, TransactionFailed) else TransactionFailed(str(reason))
        self._broken = failure
        self._open = False
        self._queued.clear()
        self._discard(0.0)
        raise failure from (cause or reason)

    def _discard(self, timeout_s: float) -> None:
        """Close the client within `timeout_s`; one that cannot finish is cut off (`close` alone leaves its thread)."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            client.close(timeout=timeout_s)
        except KafkaError as error:
            log.debug("closing the producer: %s", error)
        sender = client._sender
        if sender.is_alive():
            sender.force_close()

    def _check_alive(self) -> None:
        if self._broken is not None:
            raise TransactionFailed(f"this producer failed before: {self._broken.what}", "build a new one")

    def _transaction_client(self, opened: bool = False) -> Client:
        self._check_alive()
        if not self._transactional or self._client is None:
            raise TransactionFailed("this producer has no transactional id")
        if opened and not self._open:
            raise TransactionFailed("no transaction is open")
        return self._client

    def _check_sizes(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
    ) -> None:
        """Raise RecordTooLarge for the first record beyond the limit, before any is sent."""
        room = self._limit - _OVERHEAD
        if headers is None and _longest(keys) + _longest(values) <= room:
            return
        for index, (key, value) in enumerate(zip(keys, values, strict=True)):
            own = headers[index] if headers is not None else []
            size = len(key or b"") + len(value or b"") + sum(len(name.encode()) + len(held) + 8 for name, held in own)
            if size > room:
                what = f"a record of {size + _OVERHEAD} bytes for {topic} exceeds the limit of {self._limit}"
                raise RecordTooLarge(what, "raise it and the topic's max.message.bytes, or shorten the horizon")


def _longest(column: Sequence[bytes | None]) -> int:
    return max((len(entry) for entry in column if entry), default=0)


def translate_record(error: BaseException, topic: str, partition: int) -> ProduceFailed | RecordTooLarge:
    """Why a record was not acknowledged, naming where it was going."""
    reason = translate(error, f"a record for {topic} partition {partition} was not acknowledged")
    return reason if isinstance(reason, RecordTooLarge) else ProduceFailed(reason.what, reason.action)


def _failure_of(future: FutureRecordMetadata, timeout_s: float) -> ProduceFailed | RecordTooLarge:
    topic, partition = future._produce_future.topic_partition
    error = future.exception or KafkaTimeoutError(f"no answer within {timeout_s:g} s")
    return translate_record(error, topic, partition)
