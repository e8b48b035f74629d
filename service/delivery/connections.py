"""What a pipeline has of the broker: its membership of the group, two readers, and producers when they are needed.

Opened together and closed together; who decides what is sent through them stands elsewhere.
"""

from __future__ import annotations

from contextlib import ExitStack

from service.broker.port import Broker, Reader, RebalanceListener
from service.delivery.checkpoint import Checkpoint, Limits, Producers
from service.delivery.crash_points import FaultPoint
from service.delivery.options import Options
from service.delivery.restore import Restore
from service.delivery.start_positions import Positions
from service.errors import BrokerError
from service.observability.log import get_log
from service.state.store import Store


class Connections:
    """Belongs to the thread that polls."""

    def __init__(self, broker: Broker, options: Options, listener: RebalanceListener) -> None:
        """Joins the group. Raises BrokerUnavailable, BrokerError; nothing is left open then."""
        self._broker, self._options = broker, options
        self._readers: list[Reader] = []
        try:
            for topic in (options.changelog_topic, options.input_topic):
                self._readers.append(broker.reader(topic))
            self.consumer = broker.consumer(options.input_topic, options.group, listener, "none")
        except BrokerError:
            self._close_readers()
            raise

    def checkpoint(self, store: Store, passing: FaultPoint) -> Checkpoint:
        """Commits by transactions, with producers that are made when there is something to send."""
        broker, options = self._broker, self._options
        producers = Producers(
            lambda: broker.producer(options.transactional_id, options.commit_timeout_s),
            broker.producer if options.delivery == "at_least_once" else None,
        )
        topics = options.input_topic, options.changelog_topic
        limits = Limits(options.commit_interval_s, options.max_steps)
        return Checkpoint(producers, self.consumer, store, topics, limits, passing)

    def restore(self, store: Store, passing: FaultPoint) -> Restore:
        """Brings rows back from the changelog, and finds where the input goes on."""
        changelog, source = self._readers
        positions = Positions(source, self._options.input_topic, self._options.start_at, self._options.when_deleted)
        return Restore(self.consumer, changelog, positions, store, self._partitions(), passing)

    def _partitions(self) -> int:
        if self._options.partitions is not None:
            return self._options.partitions
        admin = self._broker.admin()
        try:
            return admin.partitions(self._options.changelog_topic) or 0
        finally:
            admin.close()

    def close(self) -> None:
        """Leave the group and give the connections up. Producers belong to the checkpoint."""
        try:
            self.consumer.close()
        except BrokerError as error:
            get_log().warning("the group was not left", reason=error.what)
        finally:
            self._close_readers()

    def _close_readers(self) -> None:
        with ExitStack() as all_of_them:
            for reader in self._readers:
                all_of_them.callback(reader.close)
