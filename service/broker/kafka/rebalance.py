"""Calls of the rebalance listener by kafka-python,
including `lost` where the client would omit it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

from kafka import KafkaConsumer as Client
from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.future import Future

from eddycast.service.broker.port import RebalanceListener


def report_every_loss(client: Client) -> None:
    """Call `lost` also where the broker reports an expulsion only in its response to a join.

    The client (kafka-python 3.0) checks for a loss once, before the first request to join. It
    ignores one that is reported later, as to a process that was frozen while it joined: it joins
    again, claims the partitions it held before, and continues from its old positions although
    others have served them since. Checking at every attempt detects the loss; the Java client does
    the same.
    """
    coordinator = client._coordinator
    reset = coordinator.reset_generation

    def reset_and_look_again(*member_id: str, **named: str) -> None:
        reset(*member_id, **named)
        coordinator.rejoining = False

    coordinator.reset_generation = reset_and_look_again


class _ListenerErrors(logging.Filter):
    """Drops the client's stack trace of an error of the listener, which `poll` raises anyway."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("User provided")


logging.getLogger("kafka.coordinator.consumer").addFilter(_ListenerErrors())


class Relay(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Runs the listener outside the client's I/O thread,
    which keeps sending heartbeats and commits meanwhile.

    The polling thread is inside `poll` until the listener returns,
    so the listener may use the consumer and commit.
    """

    def __init__(
        self, capture: Callable[[], None], client: Client, listener: RebalanceListener
    ) -> None:
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
        """Stop calling the listener: closing the client revokes all partitions,
        which the port does not report."""
        self._silent = True

    def take_error(self) -> BaseException | None:
        """The error that the listener raised since the last call, if any."""
        error, self._error = self._error, None
        return error

    def _claim_nothing(self) -> None:
        """Join the group without claiming partitions.

        The client (kafka-python 3.0) claims its last assignment even after it has lost it. A member
        that resumes after its session would get partitions at once that others still serve and
        commit.
        """
        for assignor in self._client._coordinator._assignors.values():
            assignor.member_assignment = None

    async def _call(
        self, method: Callable[[Collection[int]], None], where: Collection[TopicPartition]
    ) -> None:
        if self._silent or not where:
            return
        done = Future()
        partitions = sorted(tp.partition for tp in where)
        threading.Thread(
            target=self._run, args=(method, partitions, done), name="rebalance", daemon=True
        ).start()
        await done

    def _run(
        self, method: Callable[[Collection[int]], None], partitions: list[int], done: Future
    ) -> None:
        try:
            self._capture()
            method(partitions)
        except BaseException as error:  # noqa: BLE001 - the client passes it to poll, which raises it again
            self._error = error
            self._resume(done.failure, error)
        else:
            self._resume(done.success, None)

    def _resume(self, settle: Callable[[Any], Any], outcome: BaseException | None) -> None:
        """Settle the future on the I/O loop. The client has no public call for this."""

        def on_the_loop() -> None:
            settle(outcome)

        self._client._net.call_soon_threadsafe(on_the_loop)
