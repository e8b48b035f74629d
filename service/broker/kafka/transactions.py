"""Transactions of kafka-python's producer, each call with a deadline.
Only this file knows its state machine.

Defects of the client (kafka-python 3.0), and their workarounds:

    its calls wait forever                     the same requests, with a wait that ends
    after an error about the epoch it fetches  disabled: such an error is fatal. A fenced producer
    a new epoch by itself                      would fence its successor, and a waiting commit
                                               would report success although the broker aborted
                                               the transaction
    the offsets of a refused request stay and  a producer is discarded after its first error
    are sent with the next transaction         (`KafkaProducer`)
    after one refused batch the next           the same
    transaction waits forever in a busy loop
    a batch that timed out does not fail the   every result is checked before the request to
    transaction                                commit (`KafkaProducer.commit`)
    a request is lost, and waits forever,      `await_ready` returns False instead of raising, as
    when its coordinator cannot be reached     it is documented to: then the client retries the
                                               request
    `close` flushes first, and does not close  `discard` forces it
    if that takes too long
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kafka import KafkaProducer as Client
from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, ProducerFencedError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

log = logging.getLogger(__name__)


class Transactions:
    """Transactions of one client. Raises the client's errors, KafkaTimeoutError at a deadline."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._manager: Any = client._transaction_manager
        self._manager._supports_epoch_bump = _never
        network = client._sender._client
        network.await_ready = _without_errors(network.await_ready)
        self._epoch: Any = None

    def start(self, timeout_s: float) -> None:
        """Acquire the transactional id: earlier owners are fenced,
        their open transaction is aborted."""
        self._await(self._manager.initialize_transactions(), timeout_s)

    def begin(self) -> None:
        """Begin a transaction, without a request."""
        self._epoch = self._manager.producer_id_and_epoch
        self._manager.begin_transaction()

    def send_offsets(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
        timeout_s: float,
    ) -> None:
        """Add offsets, fenced by `membership`, and wait until the broker has them."""
        self._await(self._manager.send_offsets_to_transaction(dict(offsets), membership), timeout_s)

    def probe(self, places: Iterable[TopicPartition], timeout_s: float) -> None:
        """Commit the empty transaction after these partitions were added to it."""
        for place in places:
            self._manager.maybe_add_partition_to_transaction(place)
        self._await(self._manager.begin_commit(), timeout_s)
        self._check_epoch()

    def ask_for_commit(self) -> Any:
        """Request the commit; pass the result to `await_commit`.
        An error raised here means that nothing was sent."""
        self._check_epoch()
        return self._manager.begin_commit()

    def await_commit(self, asked: Any, timeout_s: float) -> None:
        """Wait until the transaction is committed."""
        self._await(asked, timeout_s)
        self._check_epoch()

    def abort(self, timeout_s: float) -> None:
        """Abort the transaction and wait for the broker's answer."""
        self._await(self._manager.begin_abort(), timeout_s)

    def _check_epoch(self) -> None:
        """Raise ProducerFencedError if producer id or epoch differ from those at the begin of the
        transaction."""
        if self._manager.producer_id_and_epoch != self._epoch:
            raise ProducerFencedError(
                "the producer's epoch has changed since the transaction was begun"
            )

    def _await(self, asked: Any, timeout_s: float) -> None:
        self._client._sender.wakeup()
        if not asked.wait(timeout_s * 1000):
            raise KafkaTimeoutError(f"no answer within {timeout_s:g} s")


def discard(client: Client, timeout_s: float) -> None:
    """Close a client within about `timeout_s`; if it cannot finish in time, force it and drop its
    queue. Its thread ends soon after."""
    try:
        client.close(timeout=timeout_s)
    except KafkaError as error:
        log.debug("closing the producer: %s", error)
    sender = client._sender
    if sender.is_alive():
        sender.force_close()
    # otherwise its finalizer would close it again, and block whichever thread runs it
    client._closed = True


def _never() -> bool:
    return False


def _without_errors(await_ready: Callable[..., bool]) -> Callable[..., bool]:
    """`await_ready` that returns False instead of raising when a node cannot be reached."""

    def ready(*args: Any, **kwargs: Any) -> bool:
        try:
            return await_ready(*args, **kwargs)
        except KafkaError as error:
            log.debug("no connection: %s", error)
            return False

    return ready
