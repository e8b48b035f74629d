"""Columns written by kafka-python's producer: queued records, their results,
and when the client is discarded.

Records enter the client in `sending.py` and `bulk_writing.py`;
its transactions are in `transactions.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from kafka import KafkaProducer as Client
from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, TransactionAbortedError

from eddycast.service.broker.kafka.bulk_writing import append
from eddycast.service.broker.kafka.consumer import KafkaConsumer
from eddycast.service.broker.kafka.errors import (
    during_commit,
    in_transaction,
    translate_record,
    translated,
)
from eddycast.service.broker.kafka.sending import Result, check_sizes, send
from eddycast.service.broker.kafka.transactions import Transactions, discard
from eddycast.service.broker.port import Connection, Consumer
from eddycast.service.errors import BrokerError, BrokerUnavailable, TransactionFailed
from eddycast.service.records import Headers

log = logging.getLogger(__name__)


class KafkaProducer(Connection):
    """A `port.Producer` on kafka-python. With `bulk` a column is sent as whole batches,
    otherwise record by record.

    Without a transactional id, a failed flush discards the client together with its queue, and the
    next `produce` uses a new one; the caller returns to its committed offsets and may repeat
    records.

    With one, any failure inside a transaction is final: every later call raises TransactionFailed,
    and the producer can only be closed. A new producer with the same id aborts the open
    transaction.
    """

    def __init__(self, config: Mapping[str, Any], timeout_s: float, bulk: bool = True) -> None:
        self._config = config
        self._send = append if bulk else send
        self._transactional: str | None = config.get("transactional_id")
        self._limit: int = config["max_request_size"]
        self._queued: list[Result] = []
        #: First refusal by the client since the last flush, and what was being done.
        self._failure: tuple[BaseException, str] | None = None
        self._broken: TransactionFailed | None = None
        self._transactions: Transactions | None = None
        self._open = False
        self._client: Client | None = self._connect(timeout_s)

    def produce(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None = None,
    ) -> None:
        """See `port.Producer`. A record with neither key nor value gets an empty value,
        as the client refuses it."""
        self._check_alive()
        if self._transactional and not self._open:
            raise TransactionFailed("no transaction is open")
        check_sizes(self._limit, topic, keys, values, headers)
        if self._client is None:
            self._client = self._connect()
        if None in keys and None in values:
            values = [
                b"" if key is None and value is None else value
                for key, value in zip(keys, values, strict=True)
            ]
        limit = self._config["batch_size"]
        try:
            self._queued.extend(
                self._send(self._client, topic, partition, keys, values, headers, limit)
            )
        except (KafkaError, ValueError) as error:  # ValueError: no such partition
            self._failure = self._failure or (error, _doing((topic, partition)))

    def flush(self, timeout_s: float) -> None:
        """See `port.Producer`."""
        self._check_alive()
        self._settle(timeout_s)
        queued, self._queued = self._queued, []
        failure, self._failure = self._failure, None
        bad = next(
            (result for result in queued if not result.is_done or result.exception is not None),
            None,
        )
        if failure is None and bad is not None:
            failure = (
                bad.exception or KafkaTimeoutError(f"no answer within {timeout_s:g} s"),
                _doing(bad.place),
            )
        if failure is None:
            return
        if self._open:
            self._end(in_transaction(*failure), failure[0])
        self._discard(0.0)
        raise translate_record(*failure) from failure[0]

    def begin(self) -> None:
        """See `port.Producer`."""
        transactions = self._usable()
        if self._open:
            raise TransactionFailed("a transaction is open already", "commit or abort it first")
        try:
            transactions.begin()
        except KafkaError as error:
            self._end(in_transaction(error, "cannot begin a transaction"), error)
        self._open = True

    def send_offsets(
        self, topic: str, offsets: Mapping[int, int], consumer: Consumer, timeout_s: float = 10.0
    ) -> None:
        """See `port.Producer`. Raises InstanceFenced for a static member that was displaced."""
        transactions = self._usable(opened=True)
        if not isinstance(consumer, KafkaConsumer):
            raise TypeError("the offsets of a Kafka transaction come from a Kafka consumer")
        if not offsets:
            return
        found = consumer.transaction_offsets(offsets)
        try:
            transactions.send_offsets(found, consumer.membership, timeout_s)
        except KafkaError as error:
            self._end(
                in_transaction(error, f"cannot add offsets of {topic} to the transaction"), error
            )

    def probe(self, places: Collection[tuple[str, int]], timeout_s: float = 10.0) -> None:
        """See `port.Producer`."""
        self.begin()
        try:
            self._usable(opened=True).probe([TopicPartition(*place) for place in places], timeout_s)
        except KafkaError as error:
            self._end(
                in_transaction(error, f"cannot write to {', '.join(topic for topic, _ in places)}"),
                error,
            )
        self._open = False

    def commit(self, timeout_s: float = 10.0) -> None:
        """See `port.Producer`. `timeout_s` covers all steps. Every result is checked before the
        request to commit: the client would commit although a record was lost."""
        deadline = time.monotonic() + timeout_s
        transactions = self._usable(opened=True)
        doing = "cannot commit the transaction"
        self.flush(timeout_s)
        try:
            asked = transactions.ask_for_commit()
        except KafkaError as error:
            self._end(in_transaction(error, doing), error)
        try:
            transactions.await_commit(asked, max(0.0, deadline - time.monotonic()))
        except KafkaError as error:
            self._end(during_commit(error, doing), error)
        self._open = False

    def abort(self, timeout_s: float = 10.0) -> None:
        """See `port.Producer`. The producer stays usable only if nothing has failed."""
        if self._broken is not None or not self._open:
            return
        transactions = self._usable(opened=True)
        queued, self._queued = self._queued, []
        try:
            transactions.abort(timeout_s)
        except KafkaError as error:
            self._end(in_transaction(error, "cannot abort the transaction"), error)
        self._open = False
        if self._failure is not None or any(_has_failed(result) for result in queued):
            self._broken = TransactionFailed("a record of an aborted transaction was refused")
            self._discard(0.0)

    def close(self, timeout_s: float = 1.0) -> None:
        """See `port.Producer`. Records that were not flushed may be lost."""
        deadline = time.monotonic() + timeout_s
        if self._open:
            try:
                self.abort(timeout_s)
            except BrokerError as error:
                log.warning("the transaction stays open until its time-out: %s", error)
        self._queued = []
        self._discard(max(0.0, deadline - time.monotonic()))
        if self._transactional and self._broken is None:
            self._broken = TransactionFailed("closed")

    def _connect(self, timeout_s: float = 0.0) -> Client:
        """A new client. With a transactional id,
        the earlier owner is fenced and its transaction aborted."""
        deadline = time.monotonic() + timeout_s
        with translated(f"cannot reach Kafka at {self._config['bootstrap_servers']}"):
            client = Client(**self._config)
        if self._transactional:
            doing = f"cannot start the transactional id {self._transactional!r}"
            self._transactions = Transactions(client)
            try:
                self._transactions.start(max(0.0, deadline - time.monotonic()))
            except KafkaTimeoutError as error:
                discard(client, 0.0)
                raise BrokerUnavailable(f"{doing}: {error}") from error
            except KafkaError as error:
                discard(client, 0.0)
                raise in_transaction(error, doing) from error
        return client

    def _settle(self, timeout_s: float) -> None:
        """Wait until every queued record has a result, for at most `timeout_s`. Raises nothing:
        results are checked later.

        The client's flush allows the whole time for each batch and fails on a batch that was split,
        so it is repeated until no result is missing.
        """
        deadline = time.monotonic() + timeout_s
        queued = self._queued
        while self._client is not None and any(not result.is_done for result in queued):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            try:
                self._client.flush(remaining)
            except KafkaError as error:
                log.debug("flush: %s", error)
                time.sleep(0.001)

    def _end(self, reason: BrokerError, cause: BaseException) -> NoReturn:
        """Make this producer unusable: its transaction is ended by the next producer of the id,
        or by the time-out."""
        self._broken = TransactionFailed(reason.what)
        self._open = False
        self._queued = []
        self._discard(0.0)
        raise reason from cause

    def _discard(self, timeout_s: float) -> None:
        client, self._client = self._client, None
        if client is not None:
            discard(client, timeout_s)

    def _check_alive(self) -> None:
        if self._broken is not None:
            raise TransactionFailed(
                f"this producer failed before: {self._broken.what}", "create a new one"
            )

    def _usable(self, opened: bool = False) -> Transactions:
        self._check_alive()
        if self._transactions is None:
            raise TransactionFailed("this producer has no transactional id")
        if opened and not self._open:
            raise TransactionFailed("no transaction is open")
        return self._transactions


def _has_failed(result: Result) -> bool:
    """True if something other than the abort itself ended these records."""
    return result.exception is not None and not isinstance(
        result.exception, TransactionAbortedError
    )


def _doing(place: tuple[str, int]) -> str:
    return f"a record for {place[0]} partition {place[1]} was not acknowledged"
