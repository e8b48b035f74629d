"""The transaction calls of kafka-python's producer, each under a deadline. Only this file knows its state machine.

What is known of it (kafka-python 3.0), and what is done about it:

    its calls wait for ever                        the same requests, and a wait that ends
    after an error that concerns the epoch it      forbidden: such an error is fatal. A producer that was fenced would
    fetches a new one by itself                    fence its successor by it; a commit that waits reports success
                                                   although the broker has thrown the transaction away
    the offsets of a refused request stay and      one producer sees one error and is thrown away
    go out with the next transaction               (`KafkaProducer`)
    one refused batch, and the next transaction    the same
    waits for ever, a core busy
    a batch that ran out of time does not fail     every result is looked at before the commit is asked for
    the transaction                                (`KafkaProducer.commit`)
    a request is forgotten when its coordinator    the wait for a connection says so instead of raising, as it is
    cannot be connected to, and waits for ever     documented to: then the request is tried again
    `close` flushes first, and stays undone when   `discard` cuts it off
    that takes too long
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
    """One client's transactions. Raises the client's own errors; KafkaTimeoutError when a deadline is over."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._manager: Any = client._transaction_manager
        self._manager._supports_epoch_bump = _never
        network = client._sender._client
        network.await_ready = _saying(network.await_ready)
        self._epoch: Any = None

    def start(self, timeout_s: float) -> None:
        """Become the owner of the transactional id: earlier owners are fenced, what they had open is aborted."""
        self._await(self._manager.initialize_transactions(), timeout_s)

    def begin(self) -> None:
        """Asks no broker."""
        self._epoch = self._manager.producer_id_and_epoch
        self._manager.begin_transaction()

    def send_offsets(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
        timeout_s: float,
    ) -> None:
        """Returns when the broker has them, fenced by `membership`."""
        self._await(self._manager.send_offsets_to_transaction(dict(offsets), membership), timeout_s)

    def probe(self, places: Iterable[TopicPartition], timeout_s: float) -> None:
        """Commits the transaction, which has no records, once these partitions are a part of it."""
        for place in places:
            self._manager.maybe_add_partition_to_transaction(place)
        self._await(self._manager.begin_commit(), timeout_s)
        self._check_epoch()

    def ask_for_commit(self) -> Any:
        """The commit, not answered yet: `await_commit` takes it. What is raised here left no trace at the broker."""
        self._check_epoch()
        return self._manager.begin_commit()

    def await_commit(self, asked: Any, timeout_s: float) -> None:
        """Returns when it is certain that the transaction is committed."""
        self._await(asked, timeout_s)
        self._check_epoch()

    def abort(self, timeout_s: float) -> None:
        """Returns when the broker has thrown the transaction away."""
        self._await(self._manager.begin_abort(), timeout_s)

    def _check_epoch(self) -> None:
        """A transaction belongs to the producer id and epoch that it was begun with."""
        if self._manager.producer_id_and_epoch != self._epoch:
            raise ProducerFencedError("the producer's epoch has changed since the transaction was begun")

    def _await(self, asked: Any, timeout_s: float) -> None:
        self._client._sender.wakeup()
        if not asked.wait(timeout_s * 1000):
            raise KafkaTimeoutError(f"no answer within {timeout_s:g} s")


def discard(client: Client, timeout_s: float) -> None:
    """Close a client within about `timeout_s`; one that cannot finish is cut off with what it still holds.

    Its thread ends soon after. The only place that does this.
    """
    try:
        client.close(timeout=timeout_s)
    except KafkaError as error:
        log.debug("closing the producer: %s", error)
    sender = client._sender
    if sender.is_alive():
        sender.force_close()
    client._closed = True  # else its finalizer tries once more, whoever's turn it then takes


def _never() -> bool:
    return False


def _saying(await_ready: Callable[..., bool]) -> Callable[..., bool]:
    """Whether a node can be sent to, without an error if it cannot."""

    def ready(*args: Any, **kwargs: Any) -> bool:
        try:
            return await_ready(*args, **kwargs)
        except KafkaError as error:
            log.debug("no connection: %s", error)
            return False

    return ready
