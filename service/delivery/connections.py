"""A pipeline's connections to the broker: membership of the group, two readers, and producers when they are needed."""

from __future__ import annotations

from contextlib import ExitStack

from service.broker.port import Broker, RebalanceListener
from service.delivery.checkpoint import Checkpoint, Limits, Producers
from service.delivery.crash_points import CrashPoint
from service.delivery.options import Options
from service.delivery.partition import Closable, Partitions
from service.delivery.restore import Restore
from service.delivery.start_positions import StartPositions
from service.errors import BrokerError
from service.observability.log import get_log
from service.state.store import Store


class Connections:
    """Opened together and closed together. Used by the polling thread alone."""

    def __init__(self, broker: Broker, options: Options, listener: RebalanceListener) -> None:
        """Joins the group. Raises BrokerUnavailable, BrokerError; nothing is left open then."""
        self._broker, self._options = broker, options
        with ExitStack() as opened:
            self._changelog = opened.enter_context(broker.reader(options.changelog_topic))
            self._input = opened.enter_context(broker.reader(options.input_topic))
            self.consumer = broker.consumer(options.input_topic, options.group, listener, "none")
            self._readers = opened.pop_all()

    def partitions(self, rows: Closable) -> Partitions:
        """A table of partitions that frees `rows` and stops reading the changelog as partitions are closed."""
        return Partitions(rows, self._changelog)

    def checkpoint(self, partitions: Partitions, store: Store, reached: CrashPoint) -> Checkpoint:
        """A checkpoint whose producers are created when there is something to send."""
        broker, options = self._broker, self._options
        producers = Producers(
            lambda: broker.producer(options.transactional_id, options.commit_timeout_s),
            broker.producer if options.delivery == "at_least_once" else None,
        )
        topics = options.input_topic, options.changelog_topic
        limits = Limits(options.commit_interval_s, options.max_steps)
        return Checkpoint(partitions, producers, self.consumer, store, topics, limits, reached)

    def restore(self, partitions: Partitions, store: Store, reached: CrashPoint) -> Restore:
        """A restore from the changelog, with the start positions of the input."""
        options = self._options
        positions = StartPositions(self._input, options.input_topic, options.start_at, options.when_deleted)
        return Restore(partitions, self.consumer, self._changelog, positions, store, self._count(), reached)

    def _count(self) -> int:
        if self._options.partitions is not None:
            return self._options.partitions
        with self._broker.admin() as admin:
            return admin.partitions(self._options.changelog_topic) or 0

    def close(self) -> None:
        """Leave the group and close the readers. The producers are closed by the checkpoint."""
        with self._readers:
            try:
                self.consumer.close()
            except BrokerError as error:
                get_log().warning("the group was not left", reason=error.what)
