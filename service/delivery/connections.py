"""A pipeline's connections to the broker: membership of the group, two readers,
and producers when they are needed."""

from __future__ import annotations

import uuid
from contextlib import ExitStack

from eddycast.service.broker.port import Broker, RebalanceListener
from eddycast.service.delivery.checkpoint import Checkpoint, Producers
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.delivery.partition import Closable, Partitions
from eddycast.service.delivery.restore import Restore
from eddycast.service.delivery.start_positions import StartPositions
from eddycast.service.errors import BrokerError
from eddycast.service.observability.log import get_log
from eddycast.service.settings.settings import Settings
from eddycast.service.state.store import Store


class Connections:
    """Opened together and closed together. Used by the polling thread alone."""

    def __init__(self, broker: Broker, settings: Settings, listener: RebalanceListener) -> None:
        """Joins the group. Raises BrokerUnavailable, BrokerError; nothing is left open then."""
        self._broker, self._settings = broker, settings
        self.transactional_id = transactional_id(settings)
        with ExitStack() as opened:
            self._changelog = opened.enter_context(broker.reader(settings.changelog))
            self._input = opened.enter_context(broker.reader(settings.topics.input))
            self.consumer = broker.consumer(
                settings.topics.input, settings.kafka.group, listener, "none"
            )
            self._readers = opened.pop_all()

    def partitions(self, rows: Closable) -> Partitions:
        """A table of partitions that frees `rows` and stops reading the changelog as partitions are
        closed."""
        return Partitions(rows, self._changelog)

    def checkpoint(self, partitions: Partitions, store: Store, reached: CrashPoint) -> Checkpoint:
        """A checkpoint whose producers are created when there is something to send."""
        broker, settings = self._broker, self._settings
        producers = Producers(
            lambda: broker.producer(self.transactional_id, settings.waits.commit_s),
            broker.producer if settings.commit.delivery == "at_least_once" else None,
        )
        topics = settings.topics.input, settings.changelog
        return Checkpoint(
            partitions, producers, self.consumer, store, topics, settings.commit, reached
        )

    def restore(
        self, partitions: Partitions, store: Store, count: int, reached: CrashPoint
    ) -> Restore:
        """A restore from the changelog, with the start positions of the input,
        which has `count` partitions."""
        kafka = self._settings.kafka
        positions = StartPositions(
            self._input, self._settings.topics.input, kafka.start_at, kafka.when_deleted
        )
        return Restore(partitions, self.consumer, self._changelog, positions, store, count, reached)

    def close(self) -> None:
        """Leave the group and close the readers. The producers are closed by the checkpoint."""
        with self._readers:
            try:
                self.consumer.close()
            except BrokerError as error:
                get_log().warning("the group was not left", reason=error.what)


def transactional_id(settings: Settings) -> str:
    """Transactional id of a process: the same after a restart for a static member,
    a new one for a dynamic member."""
    process = settings.kafka.instance_id or uuid.uuid4().hex[:12]
    return f"{settings.commit.transactional_prefix}-{settings.kafka.group}-{process}"
