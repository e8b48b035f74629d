"""Our rebalance listener, called by kafka-python, and told of every loss."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

from kafka import KafkaConsumer as Client
from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.future import Future

from service.broker.port import RebalanceListener


def tell_of_every_loss(client: Client) -> None:
    """Let the listener hear `lost`, too, where the broker says only in its answer to a join that we were expelled.

    The client (kafka-python 3.0) looks for a loss once, before it sends the first request to join. One that it hears of
    after that, as a process does that was frozen while it joined, it passes over: it joins anew, claims what it held
    before, and goes on with it from where it was, although others have served it since. A look at every new attempt
    finds it, and the Java client does the same.
    """
    coordinator = client._coordinator
    reset = coordinator.reset_generation

    def reset_and_look_again(*member_id: str, **named: str) -> None:
        reset(*member_id, **named)
        coordinator.rejoining = False

    coordinator.reset_generation = reset_and_look_again


class _RaisedByUs(logging.Filter):
    """What our listener raises comes out of `poll`, with what to do; the client prints its stack trace besides."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("User provided")


logging.getLogger("kafka.coordinator.consumer").addFilter(_RaisedByUs())


class Relay(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Runs our listener off the client's I/O thread, which waits for it but goes on with heartbeats and commits.

    The polling thread is inside `poll` meanwhile, so the listener has the consumer to itself: it may commit.
    """

    def __init__(self, capture: Callable[[], None], client: Client, listener: RebalanceListener) -> None:
        self._capture = capture
        self._client = client
        self._listener = listener
        self._error: BaseException | None = None
        self._silent = False

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._call(self._listener.assigned, assigned)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._call(self._listener.revoked, revoked)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        self._claim_nothing()
        await self._call(self._listener.lost, lost)

    def silence(self) -> None:
        """Closing revokes everything as far as the client is concerned; the port does not report it."""
        self._silent = True

    def take_error(self) -> BaseException | None:
        """What the listener raised since the last call."""
        error, self._error = self._error, None
        return error

    def _claim_nothing(self) -> None:
        """Join as one that owns nothing.

        The client (kafka-python 3.0) claims what it was assigned last, also when it has lost it. A member that wakes
        after its session is then given partitions at once that others serve, while they are still committing for them.
        """
        for assignor in self._client._coordinator._assignors.values():
            assignor.member_assignment = None

    async def _call(self, method: Callable[[Collection[int]], None], where: Collection[TopicPartition]) -> None:
        if self._silent or not where:
            return
        done = Future()
        partitions = sorted(tp.partition for tp in where)
        threading.Thread(target=self._run, args=(method, partitions, done), name="rebalance", daemon=True).start()
        await done

    def _run(self, method: Callable[[Collection[int]], None], partitions: list[int], done: Future) -> None:
        try:
            self._capture()
            method(partitions)
        except BaseException as error:  # noqa: BLE001 - the client reports it to poll, which raises it again
            self._error = error
            self._resume(done.failure, error)
        else:
            self._resume(done.success, None)

    def _resume(self, settle: Callable[[Any], Any], outcome: BaseException | None) -> None:
        """Let the I/O loop go on. The client has no public call for this."""

        def on_the_loop() -> None:
            settle(outcome)

        self._client._net.call_soon_threadsafe(on_the_loop)
