"""`feed kafka`: another topic, maybe of another cluster, into the input topic, exactly once.

    poll -> decode as the service does -> begin -> produce -> positions -> commit

Readings, dead letters and the offsets reached are one transaction of the cluster that is written
to, so a crash at any moment leaves all three or none. A new start takes over the transactional id,
which ends the transaction of an earlier process, and resumes at the offsets in the topic of
positions (`positions.py`). Two processes for one source therefore take turns in fencing each other:
nothing is written twice, but one is enough. Nothing is repaired in place: after a failure
everything is opened again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event

from eddycast.service.bridges.feed_metrics import FeedMetrics
from eddycast.service.bridges.kafka_source import Source, SourceTopic
from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.bridges.positions import Positions
from eddycast.service.bridges.rates import Rates
from eddycast.service.bridges.target import Target, ensured
from eddycast.service.bridges.translator import Translator
from eddycast.service.broker.port import Broker, Producer
from eddycast.service.delivery.connect import reach
from eddycast.service.delivery.topic_checks import CHANGELOG
from eddycast.service.errors import (
    BrokerError,
    OffsetGone,
    RecordRefused,
    SchemaRegistryError,
)
from eddycast.service.observability.log import get_log
from eddycast.service.observability.throttle import OUTAGE_S, Throttle
from eddycast.service.processing.decoding import RecordDecoder
from eddycast.service.records import PartitionBatch, next_offset
from eddycast.service.settings.settings import Settings

#: Pause after an outage, interval of looking the source up, s.
_AGAIN_S, _LOOK_UP_S = 1.0, 60.0


class KafkaFeed:
    """Feeds `settings.feed.topic` of `source` to the input topic of `target`."""

    def __init__(
        self,
        source: SourceTopic,
        target: Broker,
        settings: Settings,
        decoder: Callable[[], RecordDecoder],
        reached: Callable[[str], None],
        metrics: FeedMetrics | None = None,
    ) -> None:
        """`decoder` makes the decoder of each session."""
        self._source, self._target, self._settings = source, target, settings
        self._decoder, self._reached = decoder, reached
        self._rates = Rates(source.name, settings.feed.rates_s, metrics)

    def run(self, stop: Event, once: bool = False) -> None:
        """Feed until `stop`, or with `once` up to the present end of the source. Outages are waited
        out. Raises TopicMissing, OffsetGone, AccessRefused, RecordRefused, BrokerError,
        SchemaRegistryError."""
        throttle = Throttle(OUTAGE_S)
        while not stop.is_set():
            try:
                if self._session(stop, once):
                    break
            except (BrokerError, SchemaRegistryError) as error:
                if not self._can_resume(error):
                    raise
                if throttle.is_due():
                    get_log().warning("opening both topics again", reason=str(error))
                stop.wait(_AGAIN_S)
        self._rates.end()

    def _can_resume(self, error: BrokerError | SchemaRegistryError) -> bool:
        if isinstance(error, OffsetGone):
            return self._settings.kafka.when_deleted != "fail"
        return error.retriable and not isinstance(error, RecordRefused)

    def _session(self, stop: Event, once: bool) -> bool:
        """Open everything and feed. True if the end was reached, False once the source is another
        topic or has further partitions."""
        target, found = self._looked_up(stop), self._source.look_up(stop)
        if target is None or found is None:
            return True
        settings, within_s = self._settings, self._settings.waits.commit_s
        name = f"{settings.commit.transactional_prefix}-{settings.kafka.group}-feed-{found.id}"
        positions = Positions(self._target, settings.positions, self._source.name, found.id)
        with self._target.producer(name, within_s) as producer:
            held = positions.read(settings.waits.transactions_s)
            with self._source.opened(found, held) as source:
                session = _Session(
                    source, target, positions, producer, Translator(self._decoder()), within_s
                )
                return self._follow(session, stop, once)

    def _follow(self, session: _Session, stop: Event, once: bool) -> bool:
        look_up, commit, source = Throttle(_LOOK_UP_S), self._settings.commit, session.source
        look_up.put_off()
        while not stop.is_set():
            at_most = self._settings.kafka.max_poll_records
            if batches := source.gather(at_most, commit.interval_s):
                session.write(batches, self._rates, self._reached)
            if self._rates.is_due:
                self._rates.show(waiting=source.lag())
            if once and source.is_at_end:
                return True
            if look_up.is_due() and self._source.look_up(stop) not in (source.found, None):
                return False
        return True

    def _looked_up(self, stop: Event) -> Target | None:
        """The topics to write to, with that of the positions; None if stopped before."""
        admin = reach(self._target, stop, lambda _: None)
        if admin is None:
            return None
        with admin:
            target = Target.of(admin, self._settings)
            ensured(admin, self._settings, self._settings.positions, 1, CHANGELOG)
            return target


class _Session:
    """The clients and topics that are open from one failure to the next."""

    def __init__(
        self,
        source: Source,
        target: Target,
        positions: Positions,
        producer: Producer,
        translator: Translator,
        within_s: float,
    ) -> None:
        self.source = source
        self._target, self._positions, self._producer = target, positions, producer
        self._translator, self._within_s = translator, within_s

    def write(
        self, batches: Sequence[PartitionBatch], rates: Rates, reached: Callable[[str], None]
    ) -> None:
        """Write batches and the offsets after them in one transaction. Raises BrokerError."""
        outgoing = Outgoing(self._target)
        filtered = sum(self._translator.translate(batch, outgoing) for batch in batches)
        deadline = time.monotonic() + self._within_s
        self._producer.begin()
        outgoing.produce(self._producer)
        offsets = {batch.partition: next_offset(batch) for batch in batches}
        self._positions.produce(self._producer, offsets)
        self._producer.flush(self._within_s)
        reached("feed.1")
        self._producer.commit(max(0.0, deadline - time.monotonic()))
        reached("feed.2")
        rates.written(sum(map(len, batches)), filtered, outgoing)
